"""What happens to a batch in each stage of a delivery stream, and when a batch is due there.

`transform` turns records into records to deliver and error lines; `deliver` writes one object of them, as
they are or as Parquet; the two error stages write objects of error lines under the error prefix.
"""

import time
from typing import Any, NamedTuple

from localaws.firehose import objects, parquet
from localaws.firehose.answers import Failure
from localaws.firehose.journal import Journal
from localaws.firehose.records import Entry, Hints, Queue, Row
from localaws.firehose.transform import REQUEST_BYTES, transform
from localaws.ministack import patches

MEBIBYTE = 1024 * 1024
TRANSFORM, DELIVER = "transform", "deliver"
# Seconds on AWS's clock before a Lambda is invoked again; doubled each time.
INVOCATION_PAUSE = 1.0
# What a Lambda event holds besides its records, and a margin.
ENVELOPE_BYTES = 2000

Stream = dict[str, Any]


class Transformation(NamedTuple):
    """The Lambda of a delivery stream. function: its ARN. size (bytes) and seconds: its buffering hints."""

    function: str
    size: int
    seconds: float
    retries: int


def find_stream(arn: str) -> Stream | None:
    """MiniStack's record of a delivery stream."""
    _, _, _, region, account, resource = arn.split(":", 5)
    streams = patches.module("services.firehose")._streams
    found: Stream | None = streams.get_scoped(account, region, resource.partition("/")[2])
    return found


def streams_reading(source: str) -> list[Stream]:
    """The delivery streams to S3 whose source is this Kinesis stream (ARN)."""
    return [
        stream
        for stream in patches.module("services.firehose")._streams.all_values()
        if (stream.get("kinesis_source") or {}).get("KinesisStreamARN") == source and destination(stream)
    ]


def destination(stream: Stream) -> dict[str, Any]:
    """The configuration of the stream's S3 destination, or {}."""
    for found in stream["destinations"]:
        if found["type"] in ("ExtendedS3", "S3"):
            return dict(found["config"])
    return {}


def processors(stream: Stream) -> dict[str, dict[str, str]]:
    """The parameters of the stream's enabled processors, by their type."""
    configuration = destination(stream).get("ProcessingConfiguration") or {}
    if not objects.is_on(configuration.get("Enabled")):
        return {}
    return {
        found["Type"]: {item["ParameterName"]: item["ParameterValue"] for item in found.get("Parameters") or []}
        for found in configuration.get("Processors") or []
    }


def transformation(stream: Stream) -> Transformation | None:
    """The stream's Lambda, with Firehose's defaults (1 MB, 60 seconds, 3 retries), or None."""
    given = processors(stream).get("Lambda")
    if given is None:
        return None
    return Transformation(
        given["LambdaArn"],
        int(float(given.get("BufferSizeInMBs", 1)) * MEBIBYTE),
        float(given.get("BufferIntervalInSeconds", 60)),
        int(given.get("NumberOfRetries", 3)),
    )


def delimiter(stream: Stream) -> bytes:
    """What the stream appends to each record (AppendDelimiterToRecord, with escapes written out)."""
    given = processors(stream).get("AppendDelimiterToRecord")
    if given is None:
        return b""
    return given.get("Delimiter", "\\n").encode().decode("unicode_escape").encode()


def first_queue(stream: Stream) -> Queue:
    """Where a record enters a delivery stream."""
    return Queue(stream["arn"], TRANSFORM if transformation(stream) else DELIVER)


def hints(queue: Queue, time_scale: float) -> Hints | None:
    """When a batch of the queue is due, by the stream's configuration as it is now; None without a stream."""
    stream = find_stream(queue.stream)
    if stream is None:
        return None
    chosen = transformation(stream)
    if queue.stage == TRANSFORM and chosen:
        return Hints(chosen.size, chosen.seconds * time_scale, REQUEST_BYTES - ENVELOPE_BYTES)
    given = destination(stream).get("BufferingHints") or {}
    size = int(given.get("SizeInMBs", 5)) * MEBIBYTE
    return Hints(size, float(given.get("IntervalInSeconds", 300)) * time_scale)


def process(journal: Journal, queue: Queue, rows: list[Row], time_scale: float) -> list[Queue]:
    """Do the stage's work on a batch and settle it; return the queues that got something.

    Raise when S3 does not take the object: the batch is then still in the journal.
    """
    stream = find_stream(queue.stream)
    if stream is None:
        return []
    _, _, _, region, account, _ = queue.stream.split(":", 5)
    with patches.module("core.responses").request_scope(account, region):
        if queue.stage == TRANSFORM:
            becomes = _transformed(stream, rows, time_scale)
        elif queue.stage == DELIVER:
            becomes = _delivered(journal, queue, stream, rows)
        else:
            _write(journal, queue, stream, rows, b"".join(row.data for row in rows))
            becomes = []
    journal.settle(queue, rows, becomes)
    return list({entry.queue for entry in becomes})


def _transformed(stream: Stream, rows: list[Row], time_scale: float) -> list[Entry]:
    chosen = transformation(stream)
    deliver, failed = Queue(stream["arn"], DELIVER), Queue(stream["arn"], objects.PROCESSING_FAILED)
    if chosen is None:
        # The processor was removed while records waited for it: they are no longer to be transformed.
        return [Entry(deliver, row.arrival, row.data, row.source) for row in rows]
    outcomes = transform(rows, stream, chosen.function, chosen.retries, INVOCATION_PAUSE * time_scale)
    becomes, dropped = [], 0
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome is None:
            dropped += 1
        elif isinstance(outcome, Failure):
            becomes.append(Entry(failed, row.arrival, objects.processing_error(row, outcome, chosen.function)))
        else:
            becomes.append(Entry(deliver, row.arrival, outcome, row.source))
    _publish(stream, {"SucceedProcessing.Records": sum(not isinstance(outcome, Failure) for outcome in outcomes)})
    # Firehose itself has no metric of the records that its Lambda dropped.
    _publish(stream, {"Dropped": dropped}, namespace="Tapline/Delivery")
    return becomes


def _delivered(journal: Journal, queue: Queue, stream: Stream, rows: list[Row]) -> list[Entry]:
    config = destination(stream)
    conversion = objects.conversion(config)
    end = delimiter(stream)
    if conversion is None:
        data = b"".join(row.data + end for row in rows)
        _write(journal, queue, stream, rows, objects.compressed(data, config))
        return []
    schema = conversion.get("SchemaConfiguration") or {}
    data, errors = _converted(rows, conversion, schema)
    if data:
        _write(journal, queue, stream, rows, data)
    failed = Queue(stream["arn"], objects.CONVERSION_FAILED)
    lines = {index: objects.conversion_error(rows[index], errors[index], schema) for index in sorted(errors)}
    return [Entry(failed, rows[index].arrival, line) for index, line in lines.items()]


def _converted(
    rows: list[Row], conversion: dict[str, Any], schema: dict[str, Any]
) -> tuple[bytes, dict[int, parquet.ConversionError]]:
    """The batch as one Parquet file, and the rows that do not fit."""
    table = patches.module("services.glue")._tables.get(f"{schema.get('DatabaseName')}/{schema.get('TableName')}")
    serializer = (conversion.get("OutputFormatConfiguration") or {}).get("Serializer") or {}
    try:
        if not table:
            raise parquet.ConversionError(
                "DataFormatConversion.EntityNotFound", "The specified table/database could not be found."
            )
        if "ParquetSerDe" not in serializer:
            raise parquet.ConversionError(
                "DataFormatConversion.InvalidConfiguration", "Only the ParquetSerDe is implemented here."
            )
        compression = serializer["ParquetSerDe"].get("Compression", "SNAPPY").replace("UNCOMPRESSED", "NONE")
        columns = table["StorageDescriptor"]["Columns"]
        return parquet.convert([row.data for row in rows], columns, compression.lower())
    except parquet.ConversionError as error:
        return b"", dict.fromkeys(range(len(rows)), error)


def _write(journal: Journal, queue: Queue, stream: Stream, rows: list[Row], body: bytes) -> None:
    """Put one object under a key that stays the same however often this batch is tried again."""
    config = destination(stream)
    error_type = None if queue.stage == DELIVER else queue.stage
    arrival = min(row.arrival for row in rows)
    bucket = patches.module("services.firehose")._s3_bucket_from_arn(config["BucketARN"])
    key = journal.plan(queue, rows[-1].number, objects.object_key(stream, config, arrival, error_type))
    objects.put(bucket, key, body)
    if error_type is None:
        figures = {
            "Records": len(rows),
            "Bytes": len(body),
            "Success": 1,
            "DataFreshness": time.time() - arrival,
        }
        _publish(stream, {f"DeliveryToS3.{name}": value for name, value in figures.items()})


def _publish(stream: Stream, figures: dict[str, float], namespace: str = "AWS/Firehose") -> None:
    for name, value in figures.items():
        unit = "Seconds" if name.endswith("DataFreshness") else "Count"
        patches.module("services.cloudwatch").record_metric(
            namespace, name, value, unit, {"DeliveryStreamName": stream["name"]}
        )
