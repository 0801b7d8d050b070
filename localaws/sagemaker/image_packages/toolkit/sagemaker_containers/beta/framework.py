"""The modules of the toolkit that inference code imports: content_types, encoders, errors and worker.

The others can be imported, which scripts do by habit, and have nothing in them.
https://github.com/aws/sagemaker-containers
"""

import csv
import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import werkzeug

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
OCTET_STREAM, ANY = "application/octet-stream", "*/*"


class ClientError(Exception):
    """The request cannot be answered, through the fault of its sender."""


class UnsupportedFormatError(Exception):
    """A content type that the toolkit neither reads nor writes."""

    def __init__(self, content_type: str) -> None:
        super().__init__(f'Content type "{content_type}" is not supported by this framework.')


class Response(werkzeug.Response):
    """A response, JSON unless its type is given. accept: has no effect, as in the toolkit."""

    default_mimetype = JSON

    def __init__(
        self,
        response: Any = None,
        accept: str | None = None,
        status: int = 200,
        headers: Any = None,
        mimetype: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        super().__init__(response, status, headers, mimetype, None, direct_passthrough)


def csv_to_numpy(text: str, dtype: Any = None) -> Any:
    """Rows as an array; a single row or column has one dimension."""
    rows = list(csv.reader(io.StringIO(text), strict=True))
    try:
        return np.array(rows).squeeze().astype(dtype)
    except ValueError as error:
        raise ClientError(f"Error while decoding csv: {error}") from error


def array_to_csv(values: Any) -> str:
    """A line per row; an array of one dimension is a column."""
    array, text = np.array(values), io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(array.reshape(-1, 1) if array.ndim == 1 else array)
    return text.getvalue()


def json_to_numpy(text: str, dtype: Any = None) -> Any:
    """A JSON list as an array."""
    return np.array(json.loads(text), dtype=dtype)


def array_to_json(values: Any) -> str:
    """An array, or anything that holds arrays, as JSON."""
    return json.dumps(values, default=lambda value: value.tolist())


def npy_to_numpy(content: bytes) -> Any:
    """An array in numpy's format."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def array_to_npy(values: Any) -> bytes:
    """An array as the content of a file in numpy's format."""
    raw = io.BytesIO()
    np.save(raw, np.asarray(values))
    return raw.getvalue()


def decode(content: Any, content_type: str) -> Any:
    """The array in a request's body. Raises UnsupportedFormatError."""
    if content_type not in DECODERS:
        raise UnsupportedFormatError(content_type)
    return DECODERS[content_type](content)


def encode(values: Any, content_type: str) -> Any:
    """A response's body. Raises UnsupportedFormatError."""
    if content_type not in ENCODERS:
        raise UnsupportedFormatError(content_type)
    return ENCODERS[content_type](values)


DECODERS: dict[str, Any] = {NPY: npy_to_numpy, CSV: csv_to_numpy, JSON: json_to_numpy}
ENCODERS: dict[str, Any] = {NPY: array_to_npy, CSV: array_to_csv, JSON: array_to_json}

content_types = SimpleNamespace(JSON=JSON, CSV=CSV, NPY=NPY, OCTET_STREAM=OCTET_STREAM, ANY=ANY, UTF8_TYPES=[JSON, CSV])
encoders = SimpleNamespace(
    decode=decode,
    encode=encode,
    csv_to_numpy=csv_to_numpy,
    array_to_csv=array_to_csv,
    json_to_numpy=json_to_numpy,
    array_to_json=array_to_json,
    npy_to_numpy=npy_to_numpy,
    array_to_npy=array_to_npy,
)
errors = SimpleNamespace(ClientError=ClientError, UnsupportedFormatError=UnsupportedFormatError)
worker = SimpleNamespace(Response=Response)
entry_point = env = files = functions = mapping = modules = params = SimpleNamespace()
process = runner = server = trainer = transformer = SimpleNamespace()
