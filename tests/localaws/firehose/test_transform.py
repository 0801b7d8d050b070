"""Firehose's contract with its transforming Lambda: the event, its batches, and every way an answer can be wrong."""

import base64
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.support.streams import ACCOUNT, REGION, Streams, transformed_by, without_times
from localaws.endpoint import Endpoint


@pytest.fixture
def streams(endpoint: Endpoint) -> Streams:
    return Streams(endpoint)


ECHO = """
import base64, json
def handler(event, context):
    first = event["records"][0]
    described = dict(event, records=len(event["records"]), first=first, bytes=len(json.dumps(event)))
    answers = [{"recordId": r["recordId"], "result": "Dropped", "data": r["data"]} for r in event["records"]]
    answers[0].update(result="Ok", data=base64.b64encode(json.dumps(described).encode() + b"\\n").decode())
    return {"records": answers}
"""


def test_the_transform_is_invoked_with_firehoses_event(streams: Streams) -> None:
    name = streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(streams.function(ECHO), seconds="900"))
    streams.put(b"first\n", b"second\n", b"third\n")
    streams.drain()
    [body] = streams.bodies("cleaned/")
    event = json.loads(body)
    first, _ = event.pop("first"), event.pop("bytes")
    arrival = first.pop("approximateArrivalTimestamp")
    assert abs(arrival / 1000 - time.time()) < 60
    assert re.fullmatch(r"\d{56}", first.pop("recordId"))
    assert re.fullmatch(r"\d+", first["kinesisRecordMetadata"].pop("sequenceNumber"))
    assert first == {
        "data": base64.b64encode(b"first\n").decode(),
        "kinesisRecordMetadata": {
            "shardId": "shardId-000000000000",
            "partitionKey": "key",
            "approximateArrivalTimestamp": arrival,
            "subsequenceNumber": "",
        },
    }
    assert re.fullmatch(r"[0-9a-f-]{36}", event.pop("invocationId"))
    assert event == {
        "deliveryStreamArn": f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{name}",
        "region": REGION,
        "sourceKinesisStreamArn": streams.source,
        "records": 3,
    }


def events_for(streams: Streams, records: list[bytes], size: str) -> list[dict[str, Any]]:
    """The events with which a transform with this buffer size (MB) is invoked."""
    function = streams.function(ECHO)
    streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(function, size=size, seconds="900"))
    streams.put(*records)
    streams.drain()
    return [json.loads(line) for body in streams.bodies("cleaned/") for line in body.splitlines()]


def test_the_transforms_batches_are_cut_by_the_buffers_size(streams: Streams) -> None:
    events = events_for(streams, [b"x" * 100 * 1024] * 12, size="0.5")
    assert sorted(event["records"] for event in events) == [2, 5, 5]


def test_an_event_of_many_small_records_stays_below_six_megabytes(streams: Streams) -> None:
    events = events_for(streams, [b"x"] * 20_000, size="3")
    assert sum(event["records"] for event in events) == 20_000
    assert 5.5e6 < max(event["bytes"] for event in events) <= 6 * 1024 * 1024


# A transform that answers in upper case, except where a record asks for something else.
MOODY = """
import base64, os, time

def answer(entry):
    data = base64.b64encode(base64.b64decode(entry["data"]).upper()).decode()
    return {"recordId": entry["recordId"], "result": "Ok", "data": data}

def crash(): os._exit(1)
def sleep(): time.sleep(60)
def fail(): raise ValueError("on purpose")

BATCH = {
    b"crash": crash,
    b"sleep": sleep,
    b"raise": fail,
    b"null": lambda: None,
    b"text": lambda: "records",
    b"no records": lambda: {"answers": []},
    b"not a list": lambda: {"records": {}},
    b"not json": lambda: {"records": {1, 2}},
    b"too large": lambda: {"records": [], "more": "x" * 6_300_000},
}
RECORD = {
    b"dropped": {"result": "Dropped"},
    b"failed": {"result": "ProcessingFailed"},
    b"wrong result": {"result": "ok"},
    b"no result": {"result": None},
    b"data null": {"data": None},
    b"data not base64": {"data": "?!"},
    b"another id": {"recordId": "1"},
    b"id not text": {"recordId": 7},
}

def handler(event, context):
    answers = []
    for entry in event["records"]:
        mood = base64.b64decode(entry["data"]).strip()
        if mood in BATCH:
            return BATCH[mood]()
        answers.append(answer(entry) | RECORD.get(mood, {}))
        if mood == b"no answer":
            answers.pop()
        if mood == b"not an object":
            answers[-1] = "Ok"
        if mood == b"no data":
            del answers[-1]["data"]
        if mood == b"twice":
            answers.append(answers[-1])
        if mood == b"extra":
            answers.append(answers[-1] | {"recordId": "2"})
    return {"records": answers}
"""

ERROR_RESULT = "The Lambda function was successfully invoked but it returned an error result."
NO_RECORDS = "The Lambda function's answer has no list of records."
NOT_RETURNED = "The record id was not returned."
NO_DATA = "The record is Ok but its data is missing or not base64."

# What a record does, what then arrives of the batch [good, it, good], and the failed ones: attempts, code, message.
INVOCATIONS_THAT_FAIL = {
    "crash": ("Lambda.FunctionError", f"{ERROR_RESULT} Worker process died"),
    "sleep": ("Lambda.FunctionTimedOut", f"{ERROR_RESULT} Task timed out after 1.00 seconds"),
    "raise": ("Lambda.FunctionError", f"{ERROR_RESULT} on purpose"),
    "null": ("Lambda.JsonProcessingException", NO_RECORDS),
    "text": ("Lambda.JsonProcessingException", NO_RECORDS),
    "no records": ("Lambda.JsonProcessingException", NO_RECORDS),
    "not a list": ("Lambda.JsonProcessingException", NO_RECORDS),
    "not json": ("Lambda.FunctionError", f"{ERROR_RESULT} Object of type set is not JSON serializable"),
    "too large": (
        "Lambda.FunctionError",
        "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    ),
}
RECORDS_THAT_FAIL = {
    "failed": ("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record"),
    "wrong result": (
        "Lambda.JsonProcessingException",
        "The record's result is 'ok', not Ok, Dropped or ProcessingFailed.",
    ),
    "no result": (
        "Lambda.JsonProcessingException",
        "The record's result is None, not Ok, Dropped or ProcessingFailed.",
    ),
    "data null": ("Lambda.JsonProcessingException", NO_DATA),
    "no data": ("Lambda.JsonProcessingException", NO_DATA),
    "data not base64": ("Lambda.JsonProcessingException", NO_DATA),
    "another id": ("Lambda.MissingRecordId", NOT_RETURNED),
    "id not text": ("Lambda.MissingRecordId", NOT_RETURNED),
    "no answer": ("Lambda.MissingRecordId", NOT_RETURNED),
    "not an object": ("Lambda.MissingRecordId", NOT_RETURNED),
    "twice": ("Lambda.DuplicatedRecordId", "The record id was returned more than once."),
}


class Moody(NamedTuple):
    streams: Streams
    function: str


@pytest.fixture(scope="module")
def moody(endpoint: Endpoint) -> Moody:
    streams = Streams(endpoint)
    function = streams.function(MOODY, timeout=1)
    streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(function, seconds="900", retries="1"))
    return Moody(streams, function)


def delivered(streams: Streams, *records: bytes) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Put one batch; the cleaned objects and the error lines it became, which are then removed."""
    streams.put(*records)
    streams.drain()
    found = streams.objects()
    for key in found:
        streams.s3.delete_object(Bucket=streams.name, Key=key)
    errors = [body for key, body in found.items() if key.startswith("errors/cleaned/processing-failed/dt=")]
    lines = [json.loads(line) for body in errors for line in body.splitlines()]
    return [body for key, body in found.items() if key.startswith("cleaned/dt=")], lines


def error_line(function: str, record: bytes, code: str, message: str, attempts: int) -> dict[str, Any]:
    return {
        "attemptsMade": attempts,
        "errorCode": code,
        "errorMessage": message,
        "rawData": base64.b64encode(record).decode(),
        "lambdaArn": function,
    }


@pytest.mark.parametrize(("mood", "code", "message"), [(m, *error) for m, error in INVOCATIONS_THAT_FAIL.items()])
def test_a_batch_whose_invocations_fail_goes_to_the_error_prefix_whole(
    moody: Moody, mood: str, code: str, message: str
) -> None:
    records = [b"good 1\n", mood.encode(), b"good 2\n"]
    cleaned, errors = delivered(moody.streams, *records)
    assert cleaned == []
    assert list(map(without_times, errors)) == [error_line(moody.function, each, code, message, 2) for each in records]


def test_a_record_that_fails_costs_itself_alone(moody: Moody) -> None:
    failing = [mood.encode() for mood in RECORDS_THAT_FAIL]
    cleaned, errors = delivered(moody.streams, b"good 1\n", *failing, b"good 2\n")
    assert cleaned == [b"GOOD 1\nGOOD 2\n"]
    assert list(map(without_times, errors)) == [
        error_line(moody.function, mood.encode(), code, message, 1)
        for mood, (code, message) in RECORDS_THAT_FAIL.items()
    ]


def test_a_dropped_record_leaves_nothing(moody: Moody) -> None:
    assert delivered(moody.streams, b"good 1\n", b"dropped", b"good 2\n") == (
        [b"GOOD 1\nGOOD 2\n"],
        [],
    )


def test_an_answer_nobody_asked_for_is_ignored(moody: Moody) -> None:
    assert delivered(moody.streams, b"good 1\n", b"extra", b"good 2\n") == (
        [b"GOOD 1\nEXTRAGOOD 2\n"],
        [],
    )


def test_a_missing_function_is_tried_four_times_and_fails_the_batch(streams: Streams) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:none"
    streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(function))
    cleaned, errors = delivered(streams, b"good\n")
    message = f"The Lambda function was not found: {function}"
    assert cleaned == []
    assert list(map(without_times, errors)) == [error_line(function, b"good\n", "Lambda.ResourceNotFound", message, 4)]


def test_a_throttled_function_fails_the_batch(streams: Streams) -> None:
    function = streams.function(MOODY)
    streams.lambdas.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(function))
    cleaned, errors = delivered(streams, b"good\n")
    assert cleaned == []
    message = "The Lambda concurrent execution limit is exceeded."
    assert list(map(without_times, errors)) == [
        error_line(function, b"good\n", "Lambda.InvokeLimitExceeded", message, 4)
    ]


def test_an_invocation_that_fails_twice_and_then_works_delivers_the_batch_once(
    streams: Streams, tmp_path: Path
) -> None:
    code = f"""
import pathlib
def handler(event, context):
    tries = pathlib.Path({str(tmp_path / "tries")!r})
    with tries.open("a") as file:
        file.write("x")
    if tries.stat().st_size < 3:
        raise ValueError("not yet")
    return {{"records": [dict(each, result="Ok") for each in event["records"]]}}
"""
    streams.deliver("cleaned/", ProcessingConfiguration=transformed_by(streams.function(code)))
    assert delivered(streams, b"a\n") == ([b"a\n"], [])
    assert (tmp_path / "tries").read_text() == "xxx"
