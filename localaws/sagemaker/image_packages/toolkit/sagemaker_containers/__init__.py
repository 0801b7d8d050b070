"""The toolkit of AWS's older images, as far as scripts use it."""

import json
import os
from types import SimpleNamespace


def training_env() -> SimpleNamespace:
    """What the job is: hosts, channel_input_dirs, hyperparameters, model_dir and the like."""
    return SimpleNamespace(**json.loads(os.environ["SM_TRAINING_ENV"]))
