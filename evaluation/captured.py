"""Reads captured requests of an endpoint with their answers.

A file holds JSON lines of SageMaker's data capture, or {"lines": [...]} with such lines from an endpoint's log.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from artifact import Instance, Served


class Answered(NamedTuple):
    """An answered row of a request: its inputs, and the predicted bitterness (IBU)."""

    inputs: Instance
    predicted: float


def read(folder: Path, model: Served) -> tuple[list[Answered], int]:
    """The answered rows of all requests below the folder, and the number of requests that cannot be read."""
    found: list[Answered] = []
    unreadable = 0
    for line in lines(folder):
        try:
            found += answered(json.loads(line)["captureData"], model)
        except (ValueError, LookupError, TypeError, AttributeError):
            unreadable += 1
    return found, unreadable


def lines(folder: Path) -> Iterator[str]:
    """Each captured request, as JSON text."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".json":
            yield from json.loads(path.read_text(encoding="utf-8"))["lines"]
        else:
            with path.open(encoding="utf-8") as file:
                yield from filter(str.strip, file)


def answered(data: dict[str, Any], model: Served) -> list[Answered]:
    """The answered rows of one request; none of one that was refused or too large for the log."""
    body, answer = text(data["endpointInput"]), text(data["endpointOutput"])
    rows = model.read(body, data["endpointInput"]["observedContentType"]) if body else []
    predictions = predicted(answer, data["endpointOutput"]["observedContentType"]) if answer else []
    pairs = zip(rows, predictions, strict=True) if rows and predictions else ()
    return [Answered(inputs, value) for inputs, value in pairs if inputs is not None and value is not None]


def text(side: dict[str, Any]) -> str:
    """The body of one side."""
    data = str(side.get("data", ""))
    return base64.b64decode(data).decode() if side.get("encoding") == "BASE64" else data


def predicted(answer: str, media_type: str) -> list[float | None]:
    """The bitterness of each row of an answer; None where it is an error."""
    if media_type.startswith("text/csv"):
        return [float(row[0]) if row[0] else None for row in csv.reader(io.StringIO(answer)) if row]
    return [each.get("ibu") for each in json.loads(answer)["predictions"]]
