"""The ledger: accepted = clean + dropped + failed, from objects that are complete, missing, repeated or foreign."""

import base64
import gzip
import itertools
import json
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import record
from pipelines.account.clients import Clients
from pipelines.records.accepted import KnownRecords, records_in
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
    "foreign": {},
}

# Lines of raw/, rows of cleaned/, lines of errors/cleaned/, and the ledger.
CASES: dict[str, tuple[list[bytes], list[bytes], list[bytes], dict[str, Any]]] = {
    "nothing": ([], [], [], {}),
    "one of each": (
        [beer(1), NAMELESS, MESSAGE],
        [row(1)],
        [error(NAMELESS + b"\n")],
        {"accepted": 3, "clean": 1, "dropped": {"api_message": 1}, "failed": {"name_missing": 1}},
    ),
    "nothing but white space": (
        [beer(1), b" \t", beer(2)],
        [row(1), row(2)],
        [],
        {"accepted": 3, "clean": 2, "dropped": {"empty": 1}},
    ),
    "an empty record before all others": (
        [b"", beer(1)],
        [row(1)],
        [],
        {"accepted": 2, "clean": 1, "dropped": {"empty": 1}},
    ),
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


def pretty(number: int) -> bytes:
    return json.dumps(
        {"id": number, "name": f"Beer {number}", "abv": 4.5, "ibu": 40, "boil": {"a": 1}}, indent=2
    ).encode()


LATIN = pretty(9).replace(b"Beer", b"K\xf6lsch")
# Records as producers put them; all of them end up in the ledger, whatever is between them.
SHAPES: dict[str, tuple[list[bytes], int]] = {
    "without a newline": ([beer(1), beer(2), NAMELESS], 2),
    "with a newline": ([beer(1) + b"\n", beer(2) + b"\n", NAMELESS + b"\n"], 2),
    "with and without": ([beer(1), beer(2) + b"\n", NAMELESS, beer(3) + b"\r\n", beer(4)], 4),
    "pretty-printed": ([pretty(1), beer(2), pretty(3) + b"\n", pretty(4)], 4),
    "pretty-printed and failed": ([json.dumps({"id": 7}, indent=2).encode(), pretty(1)], 1),
    "pretty-printed and dropped": ([json.dumps({"message": "slow down"}, indent=1).encode(), pretty(1)], 1),
    "several objects in one record": ([beer(1) + beer(2), beer(3)], 1),
    "several objects on lines of one record": ([beer(1) + b"\n" + beer(2) + b"\n" + NAMELESS, beer(3), beer(1)], 2),
    "a list of beers": ([b"[" + beer(1) + b",\n" + beer(2) + b"]", beer(3)], 1),
    "gzip": ([gzip.compress(b"\n".join(map(beer, range(50)))), beer(1), gzip.compress(beer(2), mtime=10)], 1),
    "bytes that are mostly newlines": ([b"\n\xff\n\n\xfe", beer(1)], 1),
    "not UTF-8 over several lines": ([LATIN, beer(1)], 1),
    "cut off": ([beer(1)[:-5], pretty(2)[:-3], beer(3)], 1),
    "of a MiB": ([json.dumps({"id": 1, "name": "Large", "x": ["y" * 60] * 15_000}, indent=1).encode(), beer(2)], 2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_records_of_any_shape_are_counted_as_they_were_put(clients: Clients, bucket: str, shape: str) -> None:
    records, clean = SHAPES[shape]
    outcomes = [record.to_row(each) for each in records]
    rows = [record.to_csv(each.row).encode() for each in outcomes if isinstance(each, record.Clean)]
    failed = [each for each, outcome in zip(records, outcomes, strict=True) if isinstance(outcome, record.Failed)]
    fill(clients, bucket, records, rows, [error(each) for each in failed])
    account = ledger(clients.s3, bucket)
    assert {name: account[name] for name in ("accepted", "clean", "difference", "unexplained", "duplicates")} == {
        "accepted": len(records),
        "clean": clean,
        "difference": 0,
        "unexplained": 0,
        "duplicates": 0,
    }
    assert (sum(account["failed"].values()), account["foreign"]) == (len(failed), {})


def test_objects_without_a_delimiter_between_them_are_records_each_unless_they_failed_together(
    clients: Clients, bucket: str
) -> None:
    put(clients, bucket, f"raw/{DAY}a.json", [beer(1) + beer(2) + b"\n"])
    put(clients, bucket, f"cleaned/{DAY}a.csv", [row(1), row(2)])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 2, "clean": 2}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([each for records, _ in SHAPES.values() for each in records if len(each) < 9_000])))
def test_any_sequence_of_records_is_split_into_the_same_records(records: list[bytes]) -> None:
    known = KnownRecords(each for each in records if isinstance(record.to_row(each), record.Failed))
    found = [content for content, _ in records_in(b"".join(each + b"\n" for each in records), known)]
    assert [each.rstrip(b"\n") for each in found] == [each.rstrip(b"\n") for each in records]


# Objects that this project did not write.
FOREIGN = {
    f"raw/{DAY}_SUCCESS": "hidden: begins with _ or .",
    f"raw/{DAY}broken.json.gz": "does not decompress: it is cut off",
    "raw/": "a folder",
    "cleaned/": "a folder",
    f"cleaned/{DAY}": "a folder",
    f"cleaned/{DAY}_committed_42": "hidden: begins with _ or .",
    f"cleaned/{DAY}.DS_Store": "hidden: begins with _ or .",
    f"cleaned/{DAY}_temporary/a.csv": "hidden: begins with _ or .",
    f"cleaned/{DAY}broken.parquet": "not readable as Parquet",
    "cleaned/notes.txt": "not in a folder dt=YYYY-MM-DD/",
    "cleaned/dt=2026-13-40/a.csv": "not in a folder dt=YYYY-MM-DD/",
    "errors/cleaned/": "a folder",
    f"errors/cleaned/processing-failed/{DAY}.DS_Store": "hidden: begins with _ or .",
    f"errors/cleaned/processing-failed/{DAY}notes.txt": "not an error object of Firehose",
    f"errors/cleaned/processing-failed/{DAY}list.json": "not an error object of Firehose",
    f"errors/cleaned/processing-failed/{DAY}bytes": "not an error object of Firehose",
}
BODIES = {
    "broken.json.gz": gzip.compress(beer(1))[:-9],
    "broken.parquet": b"PAR1 and no more",
    "list.json": b"[1]",
    "notes.txt": b"remember the milk",
}


def put_foreign(clients: Clients, bucket: str) -> None:
    """Every object of FOREIGN."""
    for key in FOREIGN:
        body = b"" if key.endswith("/") else BODIES.get(key.rpartition("/")[2], b"\x00\x01Bud1\xff")
        clients.s3.put_object(Bucket=bucket, Key=key, Body=body)


def test_foreign_objects_are_reported_and_passed_over(clients: Clients, bucket: str) -> None:
    fill(clients, bucket, [beer(1), NAMELESS], [row(1)], [error(NAMELESS)])
    put_foreign(clients, bucket)
    account = ledger(clients.s3, bucket)
    assert {key: reason[: len(FOREIGN[key])] for key, reason in account.pop("foreign").items()} == FOREIGN
    expected = NOTHING | {"accepted": 2, "clean": 1, "failed": {"name_missing": 1}}
    assert account == {name: value for name, value in expected.items() if name != "foreign"}
    assert render(account | {"foreign": {"cleaned/": "a folder"}}).splitlines()[-2:] == [
        "foreign             1   (objects that were passed over)",
        "    cleaned/: a folder",
    ]


# Rows that were written under an earlier schema, and the records as the current schema reads them.
EARLIER: dict[str, tuple[bytes, bytes]] = {
    "a column fewer": (beer(1), b"1,Beer 1,4.5,40,,,,\n"),
    "three columns": (beer(1), b"1,Beer 1,4.5\n"),
    "a value that is out of range now": (b'{"id": 1, "name": "Beer 1", "ph": 79, "ibu": 40}', b"1,Beer 1,,40,,,,,79\n"),
    "a record that fails now": (b'{"id": 1, "name": "Beer, 1", "ibu": -4}', b'1,"Beer, 1",,-4,,,,,\n'),
}


@pytest.mark.parametrize("case", EARLIER)
def test_a_row_of_an_earlier_schema_is_that_of_its_record(clients: Clients, bucket: str, case: str) -> None:
    content, line = EARLIER[case]
    fill(clients, bucket, [content, content, beer(2)], [line, row(2), line], [])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 3, "clean": 3}
    fill(clients, bucket, [content, beer(2)], [row(2)], [])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 2, "clean": 1, "difference": 1}


def test_a_row_with_another_value_is_not_that_of_the_record(clients: Clients, bucket: str) -> None:
    fill(clients, bucket, [beer(1)], [row(1).replace(b"4.5", b"5.5")], [])
    assert ledger(clients.s3, bucket) == NOTHING | {"accepted": 1, "difference": 1, "unexplained": 1}


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


def test_days_before_since_and_objects_that_are_left_out_do_not_count(clients: Clients, bucket: str) -> None:
    for day, number in (("2026-11-19", 1), ("2026-11-20", 2)):
        put(clients, bucket, f"raw/dt={day}/a.json", [beer(number) + b"\n", NAMELESS + b"\n"])
        put(clients, bucket, f"cleaned/dt={day}/a.csv", [row(number)])
        put(clients, bucket, f"errors/cleaned/processing-failed/dt={day}/a", [error(NAMELESS)])
    later = NOTHING | {"accepted": 2, "clean": 1, "failed": {"name_missing": 1}}
    assert ledger(clients.s3, bucket, since="2026-11-20") == later
    put(clients, bucket, "landing/a.json", [beer(3) + b"\n"])
    keys = {each["Key"] for each in clients.s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert ledger(clients.s3, bucket, without={key for key in keys if "2026-11-20" not in key}) == later


def test_replayed_records_do_not_count_as_failed(clients: Clients, bucket: str) -> None:
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
