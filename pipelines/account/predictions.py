"""Predictions of the endpoint for beers as lines of CSV, which its container reads: one beer, or a file of them."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ingestion import record
from ingestion.batches import batches as in_batches
from localaws.errors import NOT_FOUND, WRONG_USAGE, ExpectedError
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.serving import Serving
from pipelines.cli.output import Document

Line = Sequence[str]
# Rows and bytes of one request: a serverless endpoint accepts 4 MB and answers within 60 s.
BATCH_ROWS, BATCH_BYTES = 500, 1_000_000
# What a beer is described by: every column but its number and the label.
FEATURES = [column for column in record.COLUMNS if column.role == "feature" or column.kind == "text"]


def read(path: Path, clients: Clients) -> list[Line]:
    """The lines of a CSV file; raises ExpectedError where it cannot be read or has no beers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            lines = [line for line in csv.reader(handle, strict=True) if line]
        if len(lines) > len(header(lines)):
            return list(lines)
        error = "it has no beers"
    except (OSError, ValueError, csv.Error) as failed:
        error = str(getattr(failed, "strerror", None) or failed)
    raise ExpectedError(
        f"the file cannot be read: {error}",
        where=str(path),
        hint=clients.command("registry", "predict", "--help"),
        code=WRONG_USAGE,
    )


def header(lines: Sequence[Line]) -> list[Line]:
    """The first line where it names columns, by the container's rule (training/instances.py); a test compares them."""
    first = lines[0] if lines else []
    named = any(cell.strip().lower() in record.NAMES for cell in first)
    return [first] if named and not any(map(is_number, first)) else []


def is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        return float(cell) - float(cell) == 0
    except ValueError:
        return False


def predict(serving: Serving, lines: Sequence[Line], show: Callable[[str], None] = lambda text: None) -> Document:
    """{"model_version": n, "predictions": [{"beer", ...}]} in the order of the lines; beer is the name, or the number.

    lines: with a header or in the order of the table's columns or of FEATURES. model_version: of the last batch.
    """
    names = header(lines)
    beers, version = lines[len(names) :], None
    predictions: list[Document] = []
    for batch in batches(beers):
        answer = invoke(serving, text([*names, *batch]))
        predictions += answer["predictions"]
        version = answer.get("model_version")
        show(f"{len(predictions)} of {len(beers)} beers")
    labels = [name(line, names) or str(number) for number, line in enumerate(beers, start=1)]
    rows = [{"beer": label, **each} for label, each in zip(labels, predictions, strict=True)]
    return {"model_version": version, "predictions": rows}


def name(line: Line, names: Sequence[Line]) -> str:
    """The beer's name in a line, on one line."""
    usual = record.NAMES if len(line) != len(FEATURES) else [column.name for column in FEATURES]
    columns = [cell.strip().lower() for cell in (names[0] if names else usual)]
    return " ".join(dict(zip(columns, line, strict=False)).get("name", "").split())


def batches(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The lines in batches of one request each."""
    return in_batches(lines, BATCH_ROWS, BATCH_BYTES, lambda line: len(text([line]).encode()))


def text(lines: Sequence[Line]) -> str:
    """Lines as CSV."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(lines)
    return written.getvalue()


def invoke(serving: Serving, body: str) -> Document:
    """The container's answer, also one in which every row is refused; raises ExpectedError without predictions."""
    import botocore.exceptions

    name = serving.endpoint()
    runtime = serving.clients["sagemaker-runtime"]
    with aws_errors(f"invoking the endpoint {name}"):
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=name, ContentType="text/csv", Accept="application/json", Body=body.encode()
            )
        except botocore.exceptions.ClientError as error:
            refused = _refusal(error)
            if "predictions" in refused:
                return refused
            _raise_expected(serving, error, refused)
            raise
    content: Document = json.loads(answer["Body"].read())
    return content


def _refusal(error: object) -> Document:
    """The container's answer of status 400 as an object; an empty one for any other error.

    Clients get a container's 4xx as ModelError with status 424.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
    """
    response = getattr(error, "response", {})
    if response.get("Error", {}).get("Code") != "ModelError":
        return {}
    try:
        content = json.loads(response.get("OriginalMessage", ""))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _raise_expected(serving: Serving, error: Exception, refused: Document) -> None:
    """Raise ExpectedError for a missing endpoint and for a request that the container refuses as a whole."""
    where, message = f"endpoint {serving.endpoint()}", str(getattr(error, "response", {})["Error"].get("Message", ""))
    if "error" in refused:
        subject = f": {refused['field']}" if refused.get("field") else ""
        raise ExpectedError(
            f"{refused['error']}{subject} ({refused.get('hint')})",
            where=where,
            hint=serving.clients.command("registry", "predict", "--help"),
            code=WRONG_USAGE,
        ) from error
    if message.endswith("not found."):
        raise ExpectedError(
            f"no model serves: {message}",
            where=where,
            hint=serving.clients.command("registry", "list"),
            code=NOT_FOUND,
        ) from error
