"""XGBoost in script mode: trains on CSV rows, the label first; serves without a request's reader of its own."""

import argparse
import json
import os
import pathlib

import pandas as pd
import xgboost
from sagemaker_containers.beta.framework import worker


def model_fn(folder):
    """The booster."""
    model = xgboost.Booster()
    model.load_model(os.path.join(folder, "model.json"))
    return model


def output_fn(prediction, accept):
    """Predictions, one a line. The request was read as a matrix, as the XGBoost image does it."""
    return worker.Response("\n".join(f"{each:.1f}" for each in prediction), mimetype=accept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_round", type=int)
    parser.add_argument("--output-data-dir", default=os.environ["SM_OUTPUT_DATA_DIR"])
    given, others = parser.parse_known_args()
    rows = pd.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "rows.csv"), header=None).to_numpy()
    data = xgboost.DMatrix(rows[:, 1:], label=rows[:, 0])
    model = xgboost.train({"max_depth": 4}, data, given.num_round, [(data, "train")])
    model.save_model(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"))
    pathlib.Path(given.output_data_dir, "others.json").write_text(json.dumps(others))
