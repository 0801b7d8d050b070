"""Programs of images that run here under this interpreter, each as a script inside its job.

Only their files are named here: the endpoint does not import them, nor the packages that they need.
"""

from pathlib import Path

XGBOOST_TRAINING = Path(__file__).with_name("xgboost_algorithm.py")
XGBOOST_SERVING = Path(__file__).with_name("xgboost_serving.py")
TENSORFLOW_SERVING = Path(__file__).with_name("tensorflow_serving.py")
