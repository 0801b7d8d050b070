"""Serves the model: the four functions that the SageMaker scikit-learn container calls.

Needs numpy and the modules beside it. A request is JSON, `{"instances": [{"name": "Punk IPA", "abv": 5.6, ...}]}`, or
CSV: with a header in any order, or without one in the order of the table's columns or of features.INPUTS. Every value
may be missing but one. `id` and `ibu` are accepted and ignored, so that rows of the cleaned table can be sent.

The answer is `{"predictions": [{"ibu": 43.1, "low": 12.0, "high": 74.2, "class": "high"}], "model_version": 3}` in the
order of the instances, or CSV lines `ibu,low,high,class,error` without a header. [low, high] holds the label of 9 in 10
new beers. `repaired` lists the values of a row that were swapped or emptied, `warnings` those outside the training
range. A row that cannot be answered is `{"error": ..., "field": ...}`; the status is 200 if any row is answered, else
400. With `"explain": true` in the request a prediction also has `probabilities` by class and `nearest`, the three
nearest training beers.

The environment variable MODEL_VERSION is the answer's model_version. With CAPTURE_TO_LOG=true every request is printed
in data capture's format.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import capture
import numpy as np
from explain import calibrated, class_votes, named, nearest
from features import INPUTS, RANGES, feature_matrix, fill
from forest import predict_trees
from instances import Request, RequestError, Row, parse
from model import BrokenModel, Model, load
from response import Response

__all__ = ["BrokenModel", "Model", "RequestError", "input_fn", "model_fn", "output_fn", "predict_fn"]

Columns = Mapping[str, list[Any]]


class Answer(NamedTuple):
    """The content to send with its HTTP status, and the request it answers, None for one that was refused."""

    content: dict[str, Any]
    status: int
    request: Request | None


def model_fn(model_dir: str) -> Model:
    """Loads the model folder; every file's hash is verified before it is read. Raises BrokenModel."""
    return load(model_dir)


def input_fn(body: object, content_type: str | None) -> Request | RequestError:
    """The request's rows, or the refusal of the whole request: an exception would reach the client as status 500."""
    try:
        return parse(body, content_type)
    except RequestError as error:
        return error


def predict_fn(request: Request | RequestError, model: Model) -> Answer:
    """The answer, with values in IBU to one decimal."""
    if isinstance(request, RequestError):
        return Answer(json.loads(str(request)), request.status, None)
    usable = [row for row in request.rows if row.error is None]
    answered = iter(_predictions(usable, model, request.explain) if usable else [])
    predictions = [
        next(answered) if row.error is None else {"error": row.error, "field": row.field} for row in request.rows
    ]
    version = os.environ.get("MODEL_VERSION", "")
    content = {"predictions": predictions, "model_version": int(version) if version.isdecimal() else version or None}
    return Answer(content, 200 if usable else 400, request)


def output_fn(answer: Answer, accept: str | None) -> tuple[str, str] | Response:
    """The body and its media type, or a Response where the status is not 200; 406 for neither JSON nor CSV."""
    text, media_type, status = _encode(answer, accept)
    if answer.request and os.environ.get("CAPTURE_TO_LOG") == "true":
        capture.write(answer.request.body, answer.request.content_type, text, media_type)
    return (text, media_type) if status == 200 else Response(text, status, media_type)


def _encode(answer: Answer, accept: str | None) -> tuple[str, str, int]:
    if answer.request is None:  # Always JSON: it has no rows that CSV could hold.
        return json.dumps(answer.content), "application/json", answer.status
    for wanted in (accept or "*/*").lower().split(","):
        media_type = wanted.partition(";")[0].strip()
        if media_type in ("application/json", "application/*", "*/*"):
            return json.dumps(answer.content), "application/json", answer.status
        if media_type in ("text/csv", "text/*"):
            return _to_csv(answer.content["predictions"]), "text/csv", answer.status
    refusal = RequestError(f"cannot answer with {accept}", "accept application/json or text/csv", status=406)
    return str(refusal), "application/json", refusal.status


def _to_csv(predictions: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = ("ibu", "low", "high", "class", "error")
    csv.writer(text, lineterminator="\n").writerows([row.get(name, "") for name in columns] for row in predictions)
    return text.getvalue()


def _predictions(rows: list[Row], model: Model, explain: bool) -> list[dict[str, Any]]:
    """One prediction per row."""
    columns = {name: [row.values[name] for row in rows] for name in INPUTS}
    matrix = fill(feature_matrix(columns), model.medians)
    trees = predict_trees(model.forest, matrix)
    values = interval(quartiles_of(trees), model.card["interval"]["offset"])
    ibu, low, high = (np.round(each, 1).tolist() for each in values)
    classes = model.card["classes"]
    predictions: list[dict[str, Any]] = [
        {"ibu": middle, "low": bottom, "high": top, "class": bitterness(middle, classes)}
        for middle, bottom, top in zip(ibu, low, high, strict=True)
    ]
    for prediction, row in zip(predictions, rows, strict=True):
        warnings = row.warnings + _outside(row.values, model)
        prediction |= {"repaired": row.repaired} if row.repaired else {}
        prediction |= {"warnings": warnings} if warnings else {}
    if explain:
        votes = class_votes(trees, [each["below"] for each in classes[:-1]])
        probabilities = named(calibrated(votes, model.card["probabilities"]), classes)
        for prediction, table, near in zip(predictions, probabilities, nearest(model.known, matrix), strict=True):
            prediction |= {"probabilities": table, "nearest": near}
    return predictions


def _outside(values: Mapping[str, Any], model: Model) -> list[str]:
    """A warning for each value below or above all that the model was trained on."""
    profile = model.card["profile"]
    return [
        f"{name}_outside_training_range"
        for name in RANGES
        if values[name] is not None and not profile[name]["low"] <= values[name] <= profile[name]["high"]
    ]


def estimate(columns: Columns, model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The estimate and the ends of its 90 % interval, three (n,) arrays in IBU."""
    trees = predict_trees(model.forest, fill(feature_matrix(columns), model.medians))
    return interval(quartiles_of(trees), model.card["interval"]["offset"])


def quartiles_of(trees: np.ndarray) -> np.ndarray:
    """(n, 3): first quartile, median and third quartile in IBU of (n, trees) predictions of log(1 + IBU)."""
    quarters: np.ndarray = np.expm1(np.quantile(trees, (0.25, 0.5, 0.75), axis=1).T)
    return quarters


def interval(quarters: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, low and high: the quartiles moved apart by `offset` IBU, around the estimate and not below 0."""
    first, middle, third = quarters.T
    return middle, np.clip(first - offset, 0, middle), np.maximum(third + offset, middle)


def bitterness(ibu: float, classes: Iterable[Mapping[str, Any]]) -> str:
    """The name of the first class whose `below` lies above `ibu`; the last class has none."""
    return next(str(each["name"]) for each in classes if each["below"] is None or ibu < each["below"])
