"""How the AWS SDKs for authoring are imported: late, and without their notices.

Importing the SageMaker SDK sends nothing, but it sets up logging, warns of its end of life (2027-07-06) and
replaces Python's traceback printer. Telemetry is switched off where a session is made (definition.py).
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Import the SDKs inside this."""
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    # Otherwise boto3 may ask an EC2 instance's metadata service for credentials.
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    hook, disabled = sys.excepthook, logging.root.manager.disable
    handlers, level = list(logging.root.handlers), logging.root.level
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:], logging.root.level = handlers, level
        sys.excepthook = hook
