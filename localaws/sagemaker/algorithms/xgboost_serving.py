"""The inference side of AWS's XGBoost algorithm, as inference code of the model server.

https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html#InputOutput-XGBoost
"""

import csv
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

CSV, LIBSVM = "text/csv", ("text/libsvm", "text/x-libsvm")


def model_fn(folder: str) -> Any:
    """The model in the folder: in XGBoost's own format, or pickled by images before 1.3."""
    import xgboost

    path = next(path for path in sorted(Path(folder).iterdir()) if path.is_file())
    model = xgboost.Booster()
    try:
        model.load_model(bytearray(path.read_bytes()))
    except xgboost.core.XGBoostError:
        return pickle.loads(path.read_bytes())
    return model


def input_fn(body: Any, content_type: str) -> Any:
    """The rows of a request: CSV without a label and a header, or libsvm."""
    text = body.decode() if isinstance(body, bytes) else body
    kind = (content_type or "").partition(";")[0].strip()
    if kind == CSV:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
        return np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows])
    if kind in LIBSVM:
        from sklearn.datasets import load_svmlight_file

        lines = text.splitlines()
        # The label is optional in a request.
        labelled = [line if ":" not in line.split(" ")[0] else f"0 {line}" for line in lines if line.strip()]
        return load_svmlight_file(io.BytesIO("\n".join(labelled).encode()), zero_based=True)[0].toarray()
    raise ValueError(f"Content type {content_type} is not supported.")


def predict_fn(rows: Any, model: Any) -> Any:
    """The predictions; trailing features that libsvm leaves out are 0."""
    import xgboost

    missing = model.num_features() - rows.shape[1]
    if missing > 0:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    return model.predict(xgboost.DMatrix(rows), validate_features=False)


def output_fn(predictions: Any, accept: str) -> tuple[str, str]:
    """A prediction per line in a batch transform, else all in one line; a row of class probabilities is a list."""
    texts = [str(each) for each in predictions.tolist()]
    if os.environ.get("SAGEMAKER_BATCH") == "true":
        return "\n".join(texts) + "\n", CSV
    return ",".join(texts), CSV
