"""Requests of the XGBoost images as matrices.

https://github.com/aws/sagemaker-xgboost-container/blob/master/src/sagemaker_xgboost_container/encoder.py
"""

import csv
import json
from typing import Any

import numpy as np
import xgboost
from sagemaker_containers.beta.framework import UnsupportedFormatError

LIBSVM_TYPES = ("text/libsvm", "text/x-libsvm")


def decode(content: Any, content_type: str) -> Any:
    """A request's body, CSV or libsvm, as a DMatrix. Raises UnsupportedFormatError."""
    kind = content_type.partition(";")[0].strip()
    if kind == "text/csv":
        return csv_to_dmatrix(content)
    if kind in LIBSVM_TYPES:
        return libsvm_to_dmatrix(content)
    raise UnsupportedFormatError(kind)


def csv_to_dmatrix(content: str | bytes, dtype: Any = None) -> Any:
    """Rows without a header; an empty cell is a missing value."""
    text = content.decode() if isinstance(content, bytes) else content
    delimiter = csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter
    separator = "," if delimiter.isalnum() else delimiter
    rows = [["nan" if cell == "" else cell for cell in line.split(separator)] for line in text.split("\n")]
    return xgboost.DMatrix(np.array(rows).astype(dtype or float))


def libsvm_to_dmatrix(content: str | bytes) -> Any:
    """Rows of `index:value`; indices that begin with 1 are moved to 0."""
    text = content.decode() if isinstance(content, bytes) else content
    rows = [
        {int(index): float(value) for index, _, value in (each.partition(":") for each in line.split() if ":" in each)}
        for line in text.strip().split("\n")
    ]
    indices = [index for row in rows for index in row]
    first = 1 if indices and min(indices) >= 1 else 0
    data = np.zeros((len(rows), max(indices) - first + 1)) if indices else np.empty((0, 0))
    for number, row in enumerate(rows):
        for index, value in row.items():
            data[number, index - first] = value
    return xgboost.DMatrix(data)


def json_to_jsonlines(content: Any) -> bytes:
    """The list in a JSON object of one member, an entry a line."""
    document = content if isinstance(content, dict) else json.loads(content)
    if len(document) != 1:
        raise ValueError("JSON response is not compatible for conversion to jsonlines.")
    (entries,) = document.values()
    return "".join(f"{json.dumps(each)}\n" for each in entries).encode()
