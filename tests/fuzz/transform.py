"""Fuzz the transform: any bytes as a record, alone and between two good ones, and as base64.

python -m tests.fuzz.transform --seconds 60
"""

import base64
import csv
import io
import json
import sys
from pathlib import Path

try:
    import atheris

    with atheris.instrument_imports(include=["ingestion.record", "ingestion.clean"]):
        from ingestion import record
        from ingestion.clean import handler
except ModuleNotFoundError:
    from ingestion import record
    from ingestion.clean import handler

from tests.fuzz.campaign import main

GOOD = base64.b64encode(b'{"id": 1, "name": "Buzz", "ibu": 60}').decode()
WORDS = [
    *(f'"{name}":'.encode() for name in record.NAMES),
    *(b'"statusCode":', b'"message":', b"null", b"true", b"NaN", b"-Infinity", b"1e999", b'"4.5"', b"-0.0"),
    *(b"\\ud800", b"\\u202e", b"\\u2028", b"\\n", b"\\\\", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'\\"', b",", b"{", b"[["),
]


def check(data: bytes) -> None:
    """Nothing raises, every record is answered for itself, and what is clean is one sound line."""
    outcome = record.to_row(data)
    if isinstance(outcome, record.Clean):
        _check_row(outcome.row)
    # A whole batch and its metrics take thirty times as long as a record: one input in sixteen has to do.
    if len(data) % 16 == 0:
        _check_batch(data, clean=isinstance(outcome, record.Clean))


def _check_batch(data: bytes, *, clean: bool) -> None:
    middle = [base64.b64encode(data).decode(), data.decode("latin-1")]
    entries = [{"recordId": str(number), "data": item} for number, item in enumerate([GOOD, *middle, GOOD])]
    answers = handler({"records": entries})["records"]
    assert [answer["recordId"] for answer in answers] == ["0", "1", "2", "3"]
    assert answers[0]["result"] == answers[3]["result"] == "Ok"
    assert (answers[1]["result"] == "Ok") == clean


def _check_row(row: record.Row) -> None:
    line = record.to_csv(row)
    assert len(line.splitlines()) == 1 and line.endswith("\n")
    [fields] = csv.reader(io.StringIO(line))
    assert fields == ["" if value is None else str(value) for value in row]
    assert record.to_row(record.to_json(row).encode()) == record.Clean(row)


def seeds() -> list[bytes]:
    """A whole beer, the columns of a few, and each word."""
    catalogue = Path(__file__).parents[2] / "pipelines" / "local" / "catalogue" / "beers.json"
    beers = json.loads(catalogue.read_bytes())[:20]
    columns = [{name: beer[name] for name in record.NAMES} for beer in beers]
    return [json.dumps(beer).encode() for beer in [beers[0], *columns]] + WORDS


if __name__ == "__main__":
    sys.exit(main("transform", check, seeds(), WORDS))
