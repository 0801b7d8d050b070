"""A scikit-learn script: fits a ridge regression and prints its error."""

import argparse
import os

import joblib
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    given = parser.parse_args()
    rows = pd.read_csv(os.path.join(given.train, "train.csv"), header=None).to_numpy()
    model = Ridge(alpha=given.alpha).fit(rows[:, 1:], rows[:, 0])
    print(f"train:mae={mean_absolute_error(rows[:, 0], model.predict(rows[:, 1:]))};")
    joblib.dump(model, os.path.join(given.model_dir, "model.joblib"))
