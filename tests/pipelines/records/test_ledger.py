"""The ledger: accepted = clean + dropped + failed from the objects in S3, whatever is missing or there twice."""

import base64
import gzip
import itertools
import json
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ingestion import record
from pipelines.account.clients import Clients
from pipelines.records.ledger import ledger, render

_numbers = itertools.count(1)

DAY = "dt=2026-11-20/"


def beer(number: int) -> bytes:
    return json.dumps({"id": number, "name": f"Beer {number}", "abv": 4.5, "ibu": 40}).encode()


def row(number: int) -> bytes:
    return b"%d,Beer %d,4.5,40,,,,,\n" % (number, number)


def error(raw: bytes, code: str = "Lambda.ProcessingFailedStatus") -> bytes:
    """A line of an error object, of the transformation or of the conversion."""
    prefix = "lastError" if code.startswith("DataFormatConversion") else "error"
    line = {f"{prefix}Code": code, "rawData": base64.b64encode(raw).decode(), "arrivalTimestamp": 1795132800000}
    return json.dumps(line).encode() + b"\n"


NAMELESS, MESSAGE = b'{"id": 7}', b'{"message": "Too many requests"}'
CRASHED, CONVERSION = "Lambda.FunctionError", "DataFormatConversion.MalformedData"
NOTHING: dict[str, Any] = {
    "accepted": 0,
    "clean": 0,
    "dropped": {},
    "failed": {},
    "duplicates": 0,
    "unexplained": 0,
    "difference": 0,
}

# Lines of raw/, rows of cleaned/, lines of errors/cleaned/, and what the ledger makes of them.
CASES: dict[str, tuple[list[bytes], list[bytes], list[bytes], dict[str, Any]]] = {
    "nothing": ([], [], [], {}),
    "one of each": (
        [beer(1), NAMELESS, MESSAGE],
        [row(1)],
        [error(NAMELESS + b"\n")],
        {"accepted": 3, "clean": 1, "dropped": {"api_message": 1}, "failed": {"name_missing": 1}},
    ),
    "an empty line is a record": ([beer(1), b""], [row(1)], [], {"accepted": 2, "clean": 1, "dropped": {"empty": 1}}),
    "a row is missing": ([beer(1), beer(2)], [row(1)], [], {"accepted": 2, "clean": 1, "difference": 1}),
    "an error line is missing": ([NAMELESS], [], [], {"accepted": 1, "difference": 1}),
    "a row twice": ([beer(1)], [row(1), row(1)], [], {"accepted": 1, "clean": 1, "duplicates": 1}),
    "an error line twice": (
        [NAMELESS],
        [],
        [error(NAMELESS), error(NAMELESS)],
        {"accepted": 1, "failed": {"name_missing": 1}, "duplicates": 1},
    ),
    "the same beer three times": ([beer(1)] * 3, [row(1)] * 3, [], {"accepted": 3, "clean": 3}),
    "the same beer three times, once lost": (
        [beer(1)] * 3,
        [row(1)] * 2,
        [],
        {"accepted": 3, "clean": 2, "difference": 1},
    ),
    "the same beer three times, once in a batch that crashed": (
        [beer(1)] * 3,
        [row(1)] * 2,
        [error(beer(1), CRASHED)],
        {"accepted": 3, "clean": 2, "failed": {CRASHED: 1}},
    ),
    "two records of one row": (
        [beer(1), beer(1).replace(b"4.5", b"4.50")],
        [row(1)] * 2,
        [],
        {"accepted": 2, "clean": 2},
    ),
    "a batch that crashed": (
        [beer(1), NAMELESS, MESSAGE],
        [],
        [error(beer(1), CRASHED), error(NAMELESS, CRASHED), error(MESSAGE, CRASHED)],
        {"accepted": 3, "failed": {CRASHED: 3}},
    ),
    "a batch that crashed and was delivered": (
        [beer(1)],
        [row(1)],
        [error(beer(1), CRASHED)],
        {"accepted": 1, "clean": 1, "duplicates": 1},
    ),
    "a row that did not fit the Parquet table": (
        [beer(1)],
        [],
        [error(record.to_json((1, "Beer 1", 4.5, 40, None, None, None, None, None)).encode(), CONVERSION)],
        {"accepted": 1, "failed": {CONVERSION: 1}},
    ),
    "a row and an error of no record": (
        [beer(1)],
        [row(1), row(2)],
        [error(NAMELESS)],
        {"accepted": 1, "clean": 1, "unexplained": 2},
    ),
    "a bad record that reads like the row of another": (
        [beer(1), row(1).rstrip()],
        [row(1)],
        [error(row(1))],
        {"accepted": 2, "clean": 1, "failed": {"not_json": 1}},
    ),
}


@pytest.fixture
def bucket(clients: Clients) -> str:
    name = f"ledger-{next(_numbers)}"
    clients.s3.create_bucket(Bucket=name)
    return name


def put(clients: Clients, bucket: str, key: str, lines: list[bytes]) -> None:
    if lines:
        clients.s3.put_object(Bucket=bucket, Key=key, Body=b"".join(lines))


def fill(clients: Clients, bucket: str, raw: list[bytes], rows: list[bytes], errors: list[bytes]) -> None:
    put(clients, bucket, f"raw/{DAY}a.json.gz", [gzip.compress(b"".join(line + b"\n" for line in raw))])
    put(clients, bucket, f"cleaned/{DAY}a.csv", rows)
    put(clients, bucket, f"errors/cleaned/processing-failed/{DAY}a", errors)


@pytest.mark.parametrize("case", CASES)
def test_the_ledger_accounts_for_each_record(clients: Clients, bucket: str, case: str) -> None:
    raw, rows, errors, expected = CASES[case]
    fill(clients, bucket, raw, rows, errors)
    assert ledger(clients.s3, bucket) == NOTHING | expected


def test_records_are_counted_over_all_objects(clients: Clients, bucket: str) -> None:
    for number in (1, 2, 3):
        put(clients, bucket, f"raw/{DAY}{number}.json", [beer(number) + b"\n"])
    put(clients, bucket, f"cleaned/{DAY}a.csv", [row(3), row(1)])
    put(clients, bucket, f"cleaned/{DAY}b.csv", [row(2)])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 3, "clean": 3}


def test_a_parquet_table_is_read_like_a_csv_one(clients: Clients, bucket: str) -> None:
    rows = [(1, "Beer 1", 4.5, 40.0, None, None, None, None, None), (2, "A, B", 5.0, None, *[None] * 5)]
    types = {"integer": "int64", "text": "string", "number": "float64"}
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in record.COLUMNS])
    table = pyarrow.Table.from_pylist([dict(zip(record.NAMES, each, strict=True)) for each in rows], schema)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    fill(clients, bucket, [beer(1), b'{"id": 2, "name": "A, B", "abv": 5}'], [sink.getvalue().to_pybytes()], [])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 2, "clean": 2}


def test_days_before_since_are_left_out(clients: Clients, bucket: str) -> None:
    for day, number in (("2026-11-19", 1), ("2026-11-20", 2)):
        put(clients, bucket, f"raw/dt={day}/a.json", [beer(number) + b"\n", NAMELESS + b"\n"])
        put(clients, bucket, f"cleaned/dt={day}/a.csv", [row(number)])
        put(clients, bucket, f"errors/cleaned/processing-failed/dt={day}/a", [error(NAMELESS)])
    assert ledger(clients.s3, bucket, since="2026-11-20") == NOTHING | {
        "accepted": 2,
        "clean": 1,
        "failed": {"name_missing": 1},
    }


def test_what_was_replayed_counts_no_more_as_failed(clients: Clients, bucket: str) -> None:
    fill(clients, bucket, [beer(1)], [row(1)], [])
    put(clients, bucket, f"errors/replayed/cleaned/processing-failed/{DAY}a", [error(beer(1), CRASHED)])
    put(clients, bucket, f"errors/raw/processing-failed/{DAY}a", [error(beer(1), CRASHED)])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 1, "clean": 1}


def test_a_ledger_reads_as_a_table() -> None:
    account = NOTHING | {
        "accepted": 1_012,
        "clean": 1_000,
        "dropped": {"empty": 2},
        "failed": {"name_missing": 3, "not_json": 6},
        "duplicates": 5,
        "difference": 1,
    }
    assert render(account).splitlines() == [
        "accepted        1,012",
        "= clean         1,000",
        "+ dropped           2",
        "    empty                                    2",
        "+ failed            9",
        "    not_json                                 6",
        "    name_missing                             3",
        "difference          1",
        "duplicates          5   (delivered more than once)",
    ]
    assert render(account | {"unexplained": 4}).splitlines()[-1] == (
        "unexplained         4   (delivered, but not in raw/)"
    )
