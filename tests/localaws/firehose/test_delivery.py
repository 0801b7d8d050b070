"""Firehose's delivery on the local endpoint: batches, the transform's contract, error objects, durability."""

import contextlib
import datetime
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.crash import wait_until_saved
from benchmarks.support.definitions import until
from benchmarks.support.streams import ACCOUNT, REGION, Streams, transformed_by
from localaws import endpoint as endpoints
from localaws.endpoint import Endpoint
from localaws.firehose.journal import Journal
from localaws.firehose.objects import object_key
from localaws.firehose.records import Entry, Hints, Queue
from localaws.workspace import TIME_SCALE, Workspace

DAY = r"dt=\d{4}-\d\d-\d\d/"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NAME = rf"-1-\d{{4}}-\d\d-\d\d-\d\d-\d\d-\d\d-{UUID}"


@pytest.fixture
def streams(endpoint: Endpoint) -> Streams:
    return Streams(endpoint)


# Buffering and objects


def test_what_is_put_one_by_one_becomes_one_object_in_order(streams: Streams) -> None:
    name = streams.deliver("raw/", CompressionFormat="GZIP")
    for number in range(20):
        streams.put(b"%d\n" % number)
    assert streams.objects() == {}
    streams.drain()
    [(key, body)] = streams.objects().items()
    assert body == b"".join(b"%d\n" % number for number in range(20))
    assert re.fullmatch(f"raw/{DAY}{name}{NAME}[.]gz", key)


def test_every_delivery_stream_of_a_stream_gets_every_record(streams: Streams) -> None:
    streams.deliver("one/")
    streams.deliver("two/", FileExtension=".txt")
    streams.put(b"a\n", b"b\n")
    streams.drain()
    assert streams.bodies("one/") == streams.bodies("two/") == [b"a\nb\n"]
    assert [key[-4:] for key in streams.objects("two/")] == [".txt"]


def test_an_object_is_cut_before_it_would_exceed_the_buffer_size(streams: Streams) -> None:
    streams.deliver("raw/", size=1)
    record = b"x" * (100 * 1024 - 1) + b"\n"
    streams.put(*[record] * 25)
    # Ten records of 100 KiB fit into a MiB, eleven do not; the last five wait for more.
    until(lambda: len(streams.objects()) == 2, "two objects")
    assert [len(body) for body in streams.bodies()] == [10 * len(record)] * 2
    streams.drain()
    assert sorted(len(body) for body in streams.bodies()) == [
        5 * len(record),
        10 * len(record),
        10 * len(record),
    ]


def test_a_small_batch_is_delivered_when_its_interval_has_passed(streams: Streams) -> None:
    streams.deliver("raw/", seconds=60)
    streams.put(b"a\n", b"b\n")
    assert streams.objects() == {}
    assert until(streams.bodies, "an object") == [b"a\nb\n"]


def test_records_put_on_a_delivery_stream_itself_are_buffered_too(streams: Streams) -> None:
    name = streams.deliver("raw/", direct=True)
    streams.firehose.put_record(DeliveryStreamName=name, Record={"Data": b"1\n"})
    answer = streams.firehose.put_record_batch(DeliveryStreamName=name, Records=[{"Data": b"2\n"}, {"Data": b"3\n"}])
    assert answer["FailedPutCount"] == 0
    assert streams.objects() == {}
    streams.drain()
    assert streams.bodies() == [b"1\n2\n3\n"]


def test_a_delimiter_is_appended_to_each_record_when_asked_for(streams: Streams) -> None:
    delimiter = {"ParameterName": "Delimiter", "ParameterValue": "\\n"}
    processors = [{"Type": "AppendDelimiterToRecord", "Parameters": [delimiter]}]
    streams.deliver("raw/", ProcessingConfiguration={"Enabled": True, "Processors": processors})
    streams.put(b"a", b"b")
    streams.drain()
    assert streams.bodies() == [b"a\nb\n"]


def test_a_delivered_object_is_an_event_and_a_metric(streams: Streams) -> None:
    sqs, events, cloudwatch = (streams.client(name) for name in ("sqs", "events", "cloudwatch"))
    queue = sqs.create_queue(QueueName=streams.name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{streams.name}"
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [streams.name]}}}
    events.put_rule(Name=streams.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=streams.name, Targets=[{"Id": "queue", "Arn": arn}])
    streams.s3.put_bucket_notification_configuration(
        Bucket=streams.name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    name = streams.deliver("raw/")
    streams.put(b"a\n", b"b\n")
    streams.drain()
    [message] = until(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"), "the event")
    event = json.loads(message["Body"])
    assert (event["detail-type"], event["detail"]["object"]["size"]) == ("Object Created", 4)
    assert event["detail"]["object"]["key"] == next(iter(streams.objects()))
    now = datetime.datetime.now(datetime.UTC)
    delivered = cloudwatch.get_metric_statistics(
        Namespace="AWS/Firehose",
        MetricName="DeliveryToS3.Records",
        Dimensions=[{"Name": "DeliveryStreamName", "Value": name}],
        StartTime=now - datetime.timedelta(hours=1),
        EndTime=now + datetime.timedelta(hours=1),
        Period=86400,
        Statistics=["Sum"],
    )
    assert [point["Sum"] for point in delivered["Datapoints"]] == [2.0]


NAMES = {
    "a day of its own": (
        {"Prefix": "raw/dt=!{timestamp:yyyy-MM-dd}/"},
        None,
        f"raw/dt=2026-11-19/beers-3-2026-11-19-23-59-59-{UUID}",
    ),
    "no expression": ({"Prefix": "raw/"}, None, f"raw/2026/11/19/23/beers-3-2026-11-19-23-59-59-{UUID}"),
    "another time zone": (
        {"Prefix": "raw/!{timestamp:yyyy-MM-dd-HH}/", "CustomTimeZone": "Asia/Tokyo"},
        None,
        f"raw/2026-11-20-08/beers-3-2026-11-20-08-59-59-{UUID}",
    ),
    "compressed": (
        {"Prefix": "!{timestamp:yyyy}/", "CompressionFormat": "GZIP"},
        None,
        f"2026/beers-3-2026-11-19-23-59-59-{UUID}[.]gz",
    ),
    "an extension": (
        {"Prefix": "!{timestamp:yyyy}/", "CompressionFormat": "GZIP", "FileExtension": ".json.gz"},
        None,
        f"2026/beers-3-2026-11-19-23-59-59-{UUID}[.]json[.]gz",
    ),
    "failed records": (
        {"ErrorOutputPrefix": "errors/!{firehose:error-output-type}/!{timestamp:yyyy}/", "FileExtension": ".csv"},
        "processing-failed",
        f"errors/processing-failed/2026/beers-3-2026-11-19-23-59-59-{UUID}",
    ),
    "failed records without an error prefix": (
        {"Prefix": "raw/"},
        "processing-failed",
        f"raw/processing-failed/2026/11/19/23/beers-3-2026-11-19-23-59-59-{UUID}",
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_an_object_is_named_after_the_arrival_of_its_oldest_record(case: str) -> None:
    config, error_type, expected = NAMES[case]
    arrival = datetime.datetime(2026, 11, 19, 23, 59, 59, 999_000, datetime.UTC).timestamp()
    assert re.fullmatch(expected, object_key({"name": "beers", "version": 3}, config, arrival, error_type))


# Nothing is lost


def test_what_s3_refuses_is_stored_and_delivered_later(streams: Streams) -> None:
    name = streams.deliver("raw/")
    streams.s3.delete_bucket(Bucket=streams.name)
    streams.put(b"a\n", b"b\n")
    assert streams.endpoint.control("drain", seconds=0.3)["drained"] is False
    assert streams.endpoint.control("status")["waiting"][name] == {"deliver": 2}
    streams.s3.create_bucket(Bucket=streams.name)
    streams.drain()
    assert streams.bodies() == [b"a\nb\n"]


@contextlib.contextmanager
def full_journal(endpoint: Endpoint) -> Iterator[None]:
    """Let every append to the journal fail, as on a full disk."""
    with contextlib.closing(sqlite3.connect(endpoint.workspace.root / "delivery.db", isolation_level=None)) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON row BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        try:
            yield
        finally:
            database.execute("DROP TRIGGER full")


def test_what_cannot_be_journalled_is_not_acknowledged(streams: Streams) -> None:
    direct = streams.deliver("direct/", direct=True)
    streams.deliver("raw/")
    with full_journal(streams.endpoint):
        with pytest.raises(ClientError) as refusal:
            streams.put(b"a\n", b"b\n")
        with pytest.raises(ClientError) as refused:
            streams.firehose.put_record(DeliveryStreamName=direct, Record={"Data": b"1\n"})
        answer = streams.firehose.put_record_batch(DeliveryStreamName=direct, Records=[{"Data": b"1\n"}])
    for each in (refusal, refused):
        assert each.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert each.value.response["Error"]["Message"] == "The workspace cannot be used: disk full"
    assert (answer["FailedPutCount"], answer["RequestResponses"][0]["ErrorMessage"]) == (1, "disk full")
    streams.put(b"c\n")
    streams.drain()
    assert [body for _, body in streams.objects().items()] == [b"c\n"]


def test_a_deleted_delivery_stream_forgets_what_it_held(streams: Streams) -> None:
    name = streams.deliver("raw/")
    streams.put(b"a\n")
    streams.firehose.delete_delivery_stream(DeliveryStreamName=name)
    assert name not in streams.endpoint.control("status")["waiting"]
    streams.drain()
    assert streams.objects() == {}


UPPER = """
import base64
def handler(event, context):
    data = {each["recordId"]: base64.b64decode(each["data"]).upper() for each in event["records"]}
    return {"records": [{"recordId": key, "result": "Ok", "data": base64.b64encode(value).decode()}
                        for key, value in data.items()]}
"""


def stop(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=20)


def restarted(
    streams: Streams, workspace: Workspace, time_scale: float = TIME_SCALE
) -> "tuple[Endpoint, subprocess.Popen[str]]":
    endpoint, process = endpoints.start(workspace, time_scale=time_scale, detached=False)
    streams.connect(endpoint)
    return endpoint, process


def lines_of(streams: Streams, prefix: str) -> list[bytes]:
    return sorted(line for body in streams.bodies(prefix) for line in body.splitlines(keepends=True))


@pytest.mark.release
def test_what_is_buffered_when_the_endpoint_stops_is_delivered_by_the_next(workspace: Workspace) -> None:
    # In AWS's time the buffer does not fill up however long a start takes.
    endpoint, process = endpoints.start(workspace, time_scale=1, detached=False)
    streams = Streams(endpoint)
    streams.deliver("raw/")
    streams.put(b"a\n", b"b\n")
    stop(process)
    endpoint, process = restarted(streams, workspace, time_scale=1)
    assert streams.objects() == {}
    streams.drain()
    assert streams.bodies() == [b"a\nb\n"]
    stop(process)


def test_a_killed_endpoint_loses_and_repeats_nothing_it_acknowledged(workspace: Workspace) -> None:
    endpoint, process = endpoints.start(workspace, detached=False)
    streams = Streams(endpoint)
    streams.deliver("raw/", size=1)
    cleaned = streams.deliver("cleaned/", size=1, ProcessingConfiguration=transformed_by(streams.function(UPPER)))
    wait_until_saved(workspace, cleaned)
    records = [b"%06d%s\n" % (number, b"x" * 993) for number in range(4_000)]
    streams.put(*records)
    # Some objects are written by now, and some batch is under way.
    process.kill()
    process.wait()
    endpoint, process = restarted(streams, workspace)
    streams.drain()
    assert lines_of(streams, "raw/") == records
    assert lines_of(streams, "cleaned/") == [record.upper() for record in records]
    stop(process)


def test_an_object_is_written_again_under_the_same_key_when_the_journal_did_not_hear_of_it(
    tmp_path: Path,
) -> None:
    queue, hints = Queue("stream", "deliver"), Hints(size=2, seconds=0)
    first = Journal(tmp_path / "journal.db")
    first.append(Entry(queue, float(number), b"%d" % number) for number in range(5))
    rows = first.take(queue, lambda: hints)
    assert [row.data for row in rows] == [b"0", b"1"]
    assert first.plan(queue, rows[-1].number, "planned") == "planned"
    second = Journal(tmp_path / "journal.db")
    assert second.take(queue, lambda: hints._replace(size=100)) == rows
    assert second.plan(queue, rows[-1].number, "another") == "planned"
    second.settle(queue, rows)
    again = second.take(queue, lambda: hints)
    assert [row.data for row in again] == [b"2", b"3"]
    assert second.plan(queue, again[-1].number, "another") == "another"


def test_what_a_batch_becomes_replaces_it_together_or_not_at_all(tmp_path: Path) -> None:
    source, target = Queue("stream", "transform"), Queue("stream", "deliver")
    journal = Journal(tmp_path / "journal.db")
    journal.append([Entry(source, 1.0, b"a"), Entry(source, 1.0, b"b")])
    rows = journal.take(source, lambda: Hints(size=2, seconds=0))
    with pytest.raises(TypeError):
        journal.settle(source, rows, [Entry(target, 1.0, b"A"), Entry(target, 1.0, None)])  # type: ignore[arg-type]
    assert journal.waiting() == {source: 2}
    assert Journal(tmp_path / "journal.db").waiting() == {source: 2}
    journal.settle(source, rows, [Entry(target, 1.0, b"A"), Entry(target, 1.0, b"B")])
    assert journal.waiting() == {target: 2}
    assert Journal(tmp_path / "journal.db").waiting() == {target: 2}


def test_a_batch_under_way_when_its_stream_is_deleted_leaves_nothing_behind(tmp_path: Path) -> None:
    queue, hints = Queue("stream", "transform"), Hints(size=10, seconds=0)
    journal = Journal(tmp_path / "journal.db")
    journal.append([Entry(queue, 1.0, b"old"), Entry(queue, 1.0, b"old")])
    old = journal.take(queue, lambda: hints)
    journal.discard("stream")
    journal.append([Entry(queue, 2.0, b"new")])
    assert journal.plan(queue, old[-1].number, "old") == "old"
    journal.settle(queue, old, [Entry(Queue("stream", "deliver"), 1.0, b"OLD")])
    assert journal.waiting() == {queue: 1}
    new = journal.take(queue, lambda: hints)
    assert [row.data for row in new] == [b"new"]
    assert journal.plan(queue, new[-1].number, "new") == "new"
