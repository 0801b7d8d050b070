"""Serves the model: the four functions the SageMaker scikit-learn container calls.

Needs numpy and the two modules beside it. A request is JSON, `{"instances": [{"name": "Punk IPA", "abv": 5.6, ...}]}`,
or CSV: with a header in any order, or without one in the order of features.INPUTS. Everything may be missing but one
number. `id` and `ibu` are accepted and ignored, so that rows of the cleaned table can be sent as they are.

The answer is `{"predictions": [{"ibu": 43.1, "low": 12.0, "high": 74.2, "class": "high"}], "model_version": 3}` in the
order of the instances, or CSV lines `ibu,low,high,class` without a header. [low, high] holds the truth 9 times in 10.
"""

import csv
import hashlib
import importlib
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from features import FEATURES, INPUTS, RANGES, feature_matrix, fill
from forest import BrokenForest, Forest, from_bytes, predict_trees

FORMAT = 1
MOST_ROWS = 10_000
LONGEST_NAME = 512
IGNORED = ("id", "ibu")

Columns = dict[str, list[Any]]


class BrokenModel(ValueError):
    """The folder does not hold a model of this format, or its bytes are not those that were trained."""


class RequestError(ValueError):
    """A request that cannot be answered: its text is JSON with error, field, row and hint; status is HTTP's."""

    def __init__(
        self, error: str, hint: str, field: str | None = None, row: int | None = None, status: int = 400
    ) -> None:
        super().__init__(json.dumps({"error": error, "field": field, "row": row, "hint": hint}))
        self.status = status


class Model(NamedTuple):
    """A loaded model: the forest, the training medians in the order of FEATURES, and model.json as it is."""

    forest: Forest
    medians: np.ndarray
    card: dict[str, Any]


def model_fn(model_dir: str) -> Model:
    """Loads model.json and model.npz; the hash is verified before the array file is parsed. Raises BrokenModel."""
    folder = Path(model_dir)
    try:
        card = json.loads((folder / "model.json").read_bytes())
        content = (folder / "model.npz").read_bytes()
        expected, names = card["sha256"], card["features"]
        if card["format"] != FORMAT:
            raise BrokenModel(f"format {card['format']} where {FORMAT} is served")
        if hashlib.sha256(content).hexdigest() != expected:
            raise BrokenModel("model.npz is not the file that was trained: its SHA-256 differs from model.json's")
        if tuple(names) != FEATURES:
            raise BrokenModel("the model was trained on other features than features.py makes")
        medians = np.array([card["medians"][name] for name in FEATURES], dtype=float)
        return Model(from_bytes(content, len(FEATURES)), medians, card)
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, BrokenForest) as error:
        raise BrokenModel(f"{folder} holds no model: {error!r}") from None


def input_fn(body: bytes | str, content_type: str) -> Columns:
    """The instances as columns by input name. Raises RequestError, with status 415 for other content types."""
    try:
        return parse(body, content_type)
    except RequestError as error:
        raise _as_answer(error) from None


def parse(body: bytes | str, content_type: str) -> Columns:
    """What input_fn does, whoever serves."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    read = {"application/json": _read_json, "text/csv": _read_csv}.get(media_type)
    if read is None:
        hint = "send application/json or text/csv"
        raise RequestError(f"content type {media_type or 'missing'} is not served", hint, status=415)
    try:
        text = body.decode("utf-8-sig") if isinstance(body, bytes | bytearray) else body
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8", "encode it as UTF-8") from None
    instances = read(text)
    if not 1 <= len(instances) <= MOST_ROWS:
        hint = f"send 1 to {MOST_ROWS} of them"
        raise RequestError(f"{len(instances)} instances", hint, field="instances")
    rows = [_check(instance, row) for row, instance in enumerate(instances)]
    return {name: [row[name] for row in rows] for name in INPUTS}


def predict_fn(columns: Columns, model: Model) -> dict[str, Any]:
    """The answer as it is sent, with values in IBU to one decimal."""
    ibu, low, high = (np.round(values, 1).tolist() for values in estimate(columns, model))
    predictions = [
        {"ibu": middle, "low": bottom, "high": top, "class": bitterness(middle, model.card["classes"])}
        for middle, bottom, top in zip(ibu, low, high, strict=True)
    ]
    version = os.environ.get("MODEL_VERSION", "")
    return {
        "predictions": predictions,
        "model_version": int(version) if version.isdecimal() else version or None,
    }


def output_fn(answer: dict[str, Any], accept: str) -> tuple[str, str]:
    """The body and its content type. Raises RequestError with status 406 for what is neither JSON nor CSV."""
    for wanted in (accept or "*/*").lower().split(","):
        media_type = wanted.partition(";")[0].strip()
        if media_type in ("application/json", "application/*", "*/*"):
            return json.dumps(answer), "application/json"
        if media_type in ("text/csv", "text/*"):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(row.values() for row in answer["predictions"])
            return text.getvalue(), "text/csv"
    hint = "accept application/json or text/csv"
    raise _as_answer(RequestError(f"cannot answer with {accept}", hint, status=406))


def estimate(columns: Columns, model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The estimate and the ends of its 90 % interval, three (n,) arrays in IBU."""
    matrix = fill(feature_matrix(columns), model.medians)
    return interval(quartiles(model.forest, matrix), model.card["interval"]["offset"])


def quartiles(forest: Forest, matrix: np.ndarray) -> np.ndarray:
    """(n, 3): first quartile, median and third quartile of what the trees say, in IBU; they predict log(1 + IBU)."""
    trees = predict_trees(forest, matrix)
    first, third = np.quantile(trees, (0.25, 0.75), axis=1)
    quarters: np.ndarray = np.expm1(np.column_stack([first, np.median(trees, axis=1), third]))
    return quarters


def interval(quarters: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, low and high: the quartiles moved apart by `offset` IBU, around the estimate and not below 0."""
    first, middle, third = quarters.T
    return middle, np.clip(first - offset, 0, middle), np.maximum(third + offset, middle)


def bitterness(ibu: float, classes: Iterable[Mapping[str, Any]]) -> str:
    """The name of the first class whose `below` lies above `ibu`; the last class has none."""
    return next(str(each["name"]) for each in classes if each["below"] is None or ibu < each["below"])


def _as_answer(error: RequestError) -> Exception:
    """The error to raise: in SageMaker's container one that Flask answers with our status and text, not with 500."""
    if "sagemaker_containers" not in sys.modules:
        return error
    werkzeug = importlib.import_module("werkzeug")
    response = werkzeug.Response(str(error), error.status, content_type="application/json")
    answer: Exception = importlib.import_module("werkzeug.exceptions").HTTPException(response=response)
    return answer


def _read_json(text: str) -> list[Any]:
    hint = 'send {"instances": [{"abv": 6.7, "target_og": 1062}]}'
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RequestError("the body is not JSON", hint) from None
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list):
        raise RequestError("there is no list of instances", hint, field="instances")
    return instances


def _read_csv(text: str) -> list[Any]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise RequestError(f"the body is not CSV: {error}", "quote values as RFC 4180 says") from None
    header: list[str] = list(INPUTS)
    if rows and set(rows[0]) <= {*INPUTS, *IGNORED}:
        header, *rows = rows
    for number, row in enumerate(rows):
        if len(row) != len(header):
            hint = f"the columns are {','.join(header)}"
            raise RequestError(f"{len(row)} values instead of {len(header)}", hint, row=number)
    return [{name: _csv_value(name, value) for name, value in zip(header, row, strict=True)} for row in rows]


def _csv_value(name: str, value: str) -> str | float | None:
    if name == "name" or not value.strip():
        return value or None
    try:
        return float(value)
    except ValueError:
        return value  # Refused later, with the field and the row.


def _check(instance: Any, row: int) -> dict[str, Any]:
    """The instance with every input and None for missing ones. Raises RequestError."""
    if not isinstance(instance, dict):
        raise RequestError("the instance is not an object", 'send {"abv": 6.7}', row=row)
    for field in instance:
        if field not in INPUTS and field not in IGNORED:
            raise RequestError("there is no such field", f"the fields are {', '.join(INPUTS)}", str(field), row)
    name = instance.get("name")
    if name is not None and not (isinstance(name, str) and len(name) <= LONGEST_NAME):
        raise RequestError("the name is not a text", f"send at most {LONGEST_NAME} characters", "name", row)
    numbers = {field: _number(instance.get(field), field, row) for field in RANGES}
    if all(value is None for value in numbers.values()):
        raise RequestError("the instance has no number", f"send one of {', '.join(RANGES)} at least", row=row)
    fg, og = numbers["target_fg"], numbers["target_og"]
    if fg is not None and og is not None and fg > og:
        hint = "fermentation lowers gravity: swap target_fg and target_og"
        raise RequestError("the final gravity is above the original one", hint, "target_fg", row)
    return {"name": name, **numbers}


def _number(value: Any, field: str, row: int) -> float | None:
    if value is None:
        return None
    low, high = RANGES[field]
    hint = f"send a number from {low:g} to {high:g}, or null"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{field} is not a number", hint, field, row)
    # Compared before it is converted: an integer may be too large for a float.
    if not (low <= value <= high) or not math.isfinite(value):
        raise RequestError(f"{field} is out of range", hint, field, row)
    return float(value)


def _refuse_constant(token: str) -> float:
    raise ValueError(f"{token} is not JSON")
