"""Evaluates the XGBoost model on the test rows."""

import json
import pathlib
import pickle
import tarfile

import numpy as np
import pandas as pd
import xgboost

if __name__ == "__main__":
    with tarfile.open("/opt/ml/processing/model/model.tar.gz") as tar:
        tar.extractall(path=".")
    model = pickle.loads(pathlib.Path("xgboost-model").read_bytes())
    table = pd.read_csv("/opt/ml/processing/test/test.csv", header=None).to_numpy()
    predictions = model.predict(xgboost.DMatrix(table[:, 1:]))
    errors = predictions - table[:, 0]
    report = {
        "regression_metrics": {"mse": {"value": float(np.mean(errors**2)), "standard_deviation": float(np.std(errors))}}
    }
    folder = pathlib.Path("/opt/ml/processing/evaluation")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
