"""The inference side of AWS's XGBoost algorithm, as inference code of the model server.

https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html#InputOutput-XGBoost
https://github.com/aws/sagemaker-xgboost-container/blob/master/src/sagemaker_xgboost_container/algorithm_mode/serve.py
"""

import csv
import io
import json
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from werkzeug import Response

CSV, JSON = "text/csv", "application/json"
CSV_TYPES, LIBSVM_TYPES = (CSV, "csv"), ("libsvm", "text/libsvm", "text/x-libsvm")
# The container accepts further types, whose bodies it then fails to write: those are 500 there and here.
ACCEPTS = (CSV, JSON, "application/jsonlines", "application/x-recordio-protobuf")
# What the endpoint sets in the container's environment: the version in the image's tag.
IMAGE_VERSION = "LOCALAWS_IMAGE_VERSION"


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


def transform_fn(model: Any, body: Any, content_type: str, accept: str) -> Response:
    """Answer a request: 415 for rows that cannot be read, 400 for rows that do not fit, 406 for an unknown Accept."""
    if not body:
        return Response(status=204)
    try:
        rows = read_rows(body if isinstance(body, str) else body.decode(), content_type)
    except Exception as error:
        return _failed(415, str(error))
    try:
        predictions = _predict(model, rows)
    except Exception as error:
        return _failed(400, f"Unable to evaluate payload provided: {error}")
    if _first_images():
        return Response(_separated(predictions, "," if not _is_batch() else "\n"), mimetype=CSV)
    kind = accept.partition(";")[0].strip().lower()
    if kind not in ACCEPTS:
        return _failed(406, f"Accept type {accept} is not supported. Please use supported accept types: {ACCEPTS}.")
    if _is_batch():
        return Response(_separated(predictions, "\n"), mimetype=kind)
    if kind == JSON:
        scores = [{"score": each} for each in predictions]
        return Response(json.dumps({"predictions": scores}), mimetype=JSON)
    if kind == CSV:
        text = io.StringIO()
        np.savetxt(text, predictions, delimiter=",", fmt="%s")
        return Response(text.getvalue(), mimetype=CSV)
    raise ValueError(f"the response cannot be written as {kind}")


def read_rows(text: str, content_type: str) -> Any:
    """The rows of a request: CSV without a label and a header, or libsvm, which is the default."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in CSV_TYPES:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
        return np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows])
    if kind in LIBSVM_TYPES or not kind:
        return _read_libsvm(text.strip().split("\n"))
    raise ValueError(f"Content-type {content_type} is not supported.")


def _read_libsvm(lines: list[str]) -> Any:
    """Rows of `index:value`, with or without a label; a column per index, as in training."""
    found = [[each.split(":") for each in line.split(" ") if ":" in each] for line in lines]
    width = 1 + max((int(index) for row in found for index, _ in row), default=0)
    rows = np.zeros((len(lines), width))
    for number, row in enumerate(found):
        for index, value in row:
            rows[number, int(index)] = float(value)
    return rows


def _predict(model: Any, rows: Any) -> list[Any]:
    """The predictions; trailing features that libsvm leaves out are 0."""
    import xgboost

    missing = model.num_features() - rows.shape[1]
    if missing > 0:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    return list(model.predict(xgboost.DMatrix(rows), validate_features=False).tolist())


def _separated(predictions: list[Any], separator: str) -> str:
    """The predictions as texts; a row of class probabilities is a list."""
    return separator.join(map(str, predictions)) + ("\n" if separator == "\n" else "")


def _is_batch() -> bool:
    return os.environ.get("SAGEMAKER_BATCH") == "true"


def _first_images() -> bool:
    """Whether the image is older than 1.2: all predictions are in one line, whatever the request accepts."""
    return tuple(map(int, os.environ[IMAGE_VERSION].split("."))) < (1, 2)


def _failed(status: int, message: str) -> Response:
    traceback.print_exc()
    return Response(message, status, mimetype="text/html")
