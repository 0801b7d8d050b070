"""Replay: failed records enter the table once, however often it is run, killed or given another transform."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.streams import Streams, transformed_by
from localaws.endpoint import Endpoint
from pipelines.records.failures import failures_in
from pipelines.records.ledger import ledger
from pipelines.records.replay import replay

INGESTION = Path(__file__).parents[3] / "ingestion"
CLEAN = {f"ingestion/{name}.py": (INGESTION / f"{name}.py").read_text() for name in ("clean", "record", "metrics")}
CLEAN["ingestion/__init__.py"] = ""

BEERS = [json.dumps({"id": number, "name": f"Beer {number}", "ibu": 40}).encode() + b"\n" for number in (1, 2, 3)]
ROWS = [b"1,Beer 1,,40,,,,,\n", b"2,Beer 2,,40,,,,,\n", b"3,Beer 3,,40,,,,,\n"]
NAMELESS, MESSAGE = b'{"id": 7}\n', b'{"message": "Too many requests"}\n'
KEY = "errors/cleaned/processing-failed/dt=2026-11-20/a"


def error(raw: bytes, code: str = "Lambda.FunctionError") -> bytes:
    line = {"errorCode": code, "rawData": base64.b64encode(raw).decode(), "arrivalTimestamp": 1795132800000}
    return json.dumps(line).encode() + b"\n"


class Failed:
    """A bucket with an error object of crashed batches, and the transform that would now do."""

    def __init__(self, streams: Streams, clean: str) -> None:
        self.streams = streams
        self.bucket = streams.name
        self.clean = clean

    def put(self, *records: bytes, key: str = KEY) -> None:
        self.streams.s3.put_object(Bucket=self.bucket, Key=key, Body=b"".join(map(error, records)))

    def replay(self, function: str | None = None, s3: Any = None) -> dict[str, Any]:
        return replay(s3 or self.streams.s3, self.streams.lambdas, self.bucket, function or self.clean)


def failed_again(streams: Streams) -> list[tuple[bytes, str]]:
    """The records and error codes in the error object that was put."""
    return [(failure.record, failure.code) for failure in failures_in(streams.objects()[KEY])]


@pytest.fixture(scope="module")
def clean(endpoint: Endpoint) -> str:
    """The ARN of the real transform."""
    return Streams(endpoint).packaged(CLEAN, "ingestion.clean.handler")


@pytest.fixture
def failed(endpoint: Endpoint, clean: str) -> Failed:
    return Failed(Streams(endpoint), clean)


def test_what_is_clean_now_enters_the_table_on_the_day_it_arrived(failed: Failed) -> None:
    failed.put(*BEERS)
    before = failed.streams.objects()
    assert failed.replay() == {"clean": 3, "dropped": 0, "failed": {}, "foreign": {}}
    [(table, rows), (stored, errors)] = sorted(failed.streams.objects().items())
    assert rows == b"".join(ROWS)
    assert table.startswith("cleaned/dt=2026-11-20/replayed-") and table.endswith(".csv")
    assert stored.startswith("errors/replayed/cleaned/processing-failed/dt=2026-11-20/a-")
    assert errors == before[KEY]


def test_a_second_replay_finds_nothing_to_do(failed: Failed) -> None:
    failed.put(*BEERS)
    failed.replay()
    before = failed.streams.objects()
    assert failed.replay() == {"clean": 0, "dropped": 0, "failed": {}, "foreign": {}}
    assert failed.streams.objects() == before


def test_what_still_fails_stays_failed_with_its_reason(failed: Failed) -> None:
    failed.put(BEERS[0], NAMELESS, BEERS[1], MESSAGE)
    assert failed.replay() == {"clean": 2, "dropped": 1, "failed": {"name_missing": 1}, "foreign": {}}
    assert failed.streams.bodies("cleaned/") == [ROWS[0] + ROWS[1]]
    assert failed_again(failed.streams) == [(NAMELESS, "Lambda.ProcessingFailedStatus")]
    assert failed.replay() == {"clean": 0, "dropped": 0, "failed": {"name_missing": 1}, "foreign": {}}
    assert failed.streams.bodies("cleaned/") == [ROWS[0] + ROWS[1]]


def test_nothing_moves_while_the_transform_crashes(failed: Failed) -> None:
    failed.put(*BEERS)
    before = failed.streams.objects()
    crashing = failed.streams.function("def handler(event, context): raise ValueError('still broken')")
    assert failed.replay(crashing) == {"clean": 0, "dropped": 0, "failed": {"Lambda.FunctionError": 3}, "foreign": {}}
    assert failed.streams.objects() == before


@pytest.mark.parametrize(
    ("answers", "reasons"),
    [
        ("records[1:]", {"Lambda.MissingRecordId": 1}),
        ("records + records[:1]", {"Lambda.DuplicatedRecordId": 1}),
        ("[dict(records[0], result='Perhaps')] + records[1:]", {"Lambda.JsonProcessingException": 1}),
    ],
)
def test_a_record_without_one_good_answer_stays_failed(failed: Failed, answers: str, reasons: dict[str, int]) -> None:
    code = f"""
from ingestion import clean
def handler(event, context):
    records = clean.handler(event, context)["records"]
    return {{"records": {answers}}}
"""
    failed.put(*BEERS)
    function = failed.streams.packaged({**CLEAN, "wrong.py": code}, "wrong.handler")
    assert failed.replay(function) == {"clean": 2, "dropped": 0, "failed": reasons, "foreign": {}}
    assert failed.streams.bodies("cleaned/") == [ROWS[1] + ROWS[2]]
    assert failed_again(failed.streams) == [(BEERS[0], next(iter(reasons)))]


def test_more_records_than_one_invocation_takes_are_all_replayed(failed: Failed) -> None:
    many = [json.dumps({"id": number, "name": "Beer", "ibu": 40}).encode() for number in range(1, 1_202)]
    failed.put(*many)
    assert failed.replay() == {"clean": 1_201, "dropped": 0, "failed": {}, "foreign": {}}
    assert failed.streams.bodies("cleaned/") == [b"".join(b"%d,Beer,,40,,,,,\n" % n for n in range(1, 1_202))]


class Killed(BaseException):
    """Stands for kill -9: nothing in the code may catch it."""


def dying_client(streams: Streams, calls: int) -> Any:
    """An S3 client that dies after so many calls that change something."""
    client = streams.client("s3")
    left = iter(range(calls))

    def die(**_: Any) -> None:
        if next(left, None) is None:
            raise Killed

    for operation in ("PutObject", "DeleteObject"):
        client.meta.events.register(f"before-call.s3.{operation}", die)
    return client


def without_names(objects: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Objects by their folder, for buckets whose error objects differ in nothing but time."""
    return sorted((key.rpartition("/")[0], body) for key, body in objects.items())


@pytest.mark.parametrize("calls", range(7))
def test_a_replay_killed_at_any_write_is_completed_by_the_next(failed: Failed, calls: int) -> None:
    failed.put(BEERS[0], NAMELESS, BEERS[1])
    failed.put(BEERS[2], key=KEY + "2")
    try:
        failed.replay(s3=dying_client(failed.streams, calls))
    except Killed:
        failed.replay()
    assert failed_again(failed.streams) == [(NAMELESS, "Lambda.ProcessingFailedStatus")]
    failed.streams.s3.delete_object(Bucket=failed.bucket, Key=KEY)
    assert without_names(failed.streams.objects()) == [
        ("cleaned/dt=2026-11-20", ROWS[0] + ROWS[1]),
        ("cleaned/dt=2026-11-20", ROWS[2]),
        (
            "errors/replayed/cleaned/processing-failed/dt=2026-11-20",
            error(BEERS[0]) + error(NAMELESS) + error(BEERS[1]),
        ),
        ("errors/replayed/cleaned/processing-failed/dt=2026-11-20", error(BEERS[2])),
    ]


def test_rows_of_a_killed_replay_go_when_the_next_transform_fails_their_records(failed: Failed) -> None:
    failed.put(*BEERS)
    with pytest.raises(Killed):
        failed.replay(s3=dying_client(failed.streams, 1))
    assert failed.streams.bodies("cleaned/") == [b"".join(ROWS)]
    crashing = failed.streams.function("def handler(event, context): raise ValueError('broken again')")
    failed.replay(crashing)
    assert failed.streams.bodies("cleaned/") == []
    assert failed.replay() == {"clean": 3, "dropped": 0, "failed": {}, "foreign": {}}
    assert failed.streams.bodies("cleaned/") == [b"".join(ROWS)]


def test_rows_that_the_transform_answers_as_json_are_written_as_csv(failed: Failed) -> None:
    failed.put(*BEERS)
    function = failed.streams.packaged(CLEAN, "ingestion.clean.handler", CLEANED_FORMAT="json")
    assert failed.replay(function) == {"clean": 3, "dropped": 0, "failed": {}, "foreign": {}}
    [(key, body)] = failed.streams.objects("cleaned/").items()
    assert key.endswith(".csv")
    assert body == b"".join(b"%d,Beer %d,,40,,,,,\n" % (number, number) for number in (1, 2, 3))


# From the stream to the table with a transform that crashes until it is fixed.

CRASHING = """
from ingestion import clean
def handler(event, context):
    raise MemoryError("until somebody gives it more")
"""


@pytest.fixture
def broken(endpoint: Endpoint) -> Iterator[tuple[Streams, str]]:
    streams = Streams(endpoint)
    function = streams.packaged({**CLEAN, "broken.py": CRASHING}, "broken.handler")
    streams.deliver("raw/", CompressionFormat="GZIP")
    streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(function, retries="0"))
    yield streams, function


def test_every_record_of_a_crashing_transform_is_in_the_ledger_and_after_the_replay_in_the_table(
    broken: tuple[Streams, str], clean: str
) -> None:
    streams, _ = broken
    streams.put(*BEERS, NAMELESS, MESSAGE)
    streams.drain()
    balanced = {"accepted": 5, "duplicates": 0, "unexplained": 0, "difference": 0, "foreign": {}}
    assert ledger(streams.s3, streams.name) == balanced | {
        "clean": 0,
        "dropped": {},
        "failed": {"Lambda.FunctionError": 5},
    }
    assert replay(streams.s3, streams.lambdas, streams.name, clean) == {
        "clean": 3,
        "dropped": 1,
        "failed": {"name_missing": 1},
        "foreign": {},
    }
    assert ledger(streams.s3, streams.name) == balanced | {
        "clean": 3,
        "dropped": {"api_message": 1},
        "failed": {"name_missing": 1},
    }
    assert streams.bodies("cleaned/") == [b"".join(ROWS)]


def test_foreign_objects_are_reported_and_stay(failed: Failed) -> None:
    failed.put(*BEERS)
    prefix = "errors/cleaned/processing-failed/dt=2026-11-20/"
    foreign = {f"{prefix}.DS_Store": b"\x00Bud1", f"{prefix}notes.txt": b"remember", "errors/cleaned/": b""}
    for key, body in foreign.items():
        failed.streams.s3.put_object(Bucket=failed.bucket, Key=key, Body=body)
    reasons = {
        f"{prefix}.DS_Store": "hidden: begins with _ or .",
        f"{prefix}notes.txt": "not an error object of Firehose",
        "errors/cleaned/": "a folder",
    }
    assert failed.replay() == {"clean": 3, "dropped": 0, "failed": {}, "foreign": reasons}
    assert failed.streams.objects("errors/cleaned/") == foreign
