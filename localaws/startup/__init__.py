"""What a Python program on the local endpoint loads at its start. This folder is on such a program's PYTHONPATH.

sitecustomize.py   sends AWS clients with a hard-coded address of AWS to the local endpoint
sagemaker.yaml     the SageMaker SDK's defaults: no telemetry
"""

from pathlib import Path

FOLDER = Path(__file__).parent
SAGEMAKER_CONFIG = FOLDER / "sagemaker.yaml"
