"""The objects Firehose writes to S3: names, prefixes, compression, and the lines of failed records."""

import base64
import datetime
import functools
import gzip
import json
import time
import uuid
import zoneinfo
from typing import Any

from localaws.firehose.answers import Failure
from localaws.firehose.parquet import ConversionError
from localaws.firehose.records import Row
from localaws.ministack import patches

PROCESSING_FAILED = "processing-failed"
CONVERSION_FAILED = "format-conversion-failed"


def object_key(stream: dict[str, Any], config: dict[str, Any], arrival: float, error_type: str | None) -> str:
    """Prefix and name of an object whose oldest record arrived at `arrival` (epoch seconds).

    error_type: the error output type of an object of failed records, or None for delivered data.
    """
    firehose = patches.module("services.firehose")
    zone = zoneinfo.ZoneInfo(config.get("CustomTimeZone") or "UTC")
    when = datetime.datetime.fromtimestamp(arrival, zone).timetuple()
    if error_type is None:
        prefix = firehose._evaluate_prefix(config.get("Prefix"), when)
    elif config.get("ErrorOutputPrefix"):
        prefix = firehose._evaluate_prefix(config["ErrorOutputPrefix"], when, error_type=error_type)
    else:
        prefix = firehose._evaluate_prefix(f"{config.get('Prefix', '')}{error_type}/", when)
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", when)
    return f"{prefix}{stream['name']}-{stream['version']}-{stamp}-{uuid.uuid4()}{extension(config, error_type)}"


def extension(config: dict[str, Any], error_type: str | None) -> str:
    """What ends an object's name: FileExtension, or what conversion or compression adds of itself."""
    if error_type is not None:
        return ""
    if config.get("FileExtension"):
        return str(config["FileExtension"])
    if conversion(config):
        return ".parquet"
    return ".gz" if config.get("CompressionFormat") == "GZIP" else ""


def conversion(config: dict[str, Any]) -> dict[str, Any] | None:
    """The record format conversion's configuration when it is on."""
    found = config.get("DataFormatConversionConfiguration") or {}
    return found if found and is_on(found.get("Enabled", True)) else None


def is_on(value: Any) -> bool:
    """A switch of a configuration, which CloudFormation may hand over as text."""
    return str(value).lower() == "true"


def compressed(data: bytes, config: dict[str, Any]) -> bytes:
    """Apply the destination's CompressionFormat; raise ValueError for one that is not implemented here."""
    chosen = config.get("CompressionFormat") or "UNCOMPRESSED"
    if chosen == "UNCOMPRESSED":
        return data
    if chosen == "GZIP":
        return gzip.compress(data, compresslevel=1, mtime=0)
    raise ValueError(f"CompressionFormat {chosen} is not implemented here (have: UNCOMPRESSED, GZIP)")


def processing_error(row: Row, failure: Failure, function: str) -> bytes:
    """The line Firehose writes for a record its transformation failed on; rawData is the record as it was put."""
    return _line(
        {
            "attemptsMade": failure.attempts,
            "arrivalTimestamp": int(row.arrival * 1000),
            "errorCode": failure.code,
            "errorMessage": failure.message,
            "attemptEndingTimestamp": int(time.time() * 1000),
            "rawData": base64.b64encode(row.data).decode(),
            "lambdaArn": function,
        }
    )


def conversion_error(row: Row, error: ConversionError, schema: dict[str, Any]) -> bytes:
    """The line Firehose writes for a record it could not convert; rawData is what was to be converted."""
    source = json.loads(row.source) if row.source else {}
    return _line(
        {
            "attemptsMade": 1,
            "arrivalTimestamp": int(row.arrival * 1000),
            "lastErrorCode": error.code,
            "lastErrorMessage": str(error),
            "attemptEndingTimestamp": int(time.time() * 1000),
            "rawData": base64.b64encode(row.data).decode(),
            "sequenceNumber": source.get("sequenceNumber"),
            "subSequenceNumber": 0 if source else None,
            "dataCatalogTable": {
                "catalogId": schema.get("CatalogId"),
                "databaseName": schema.get("DatabaseName"),
                "tableName": schema.get("TableName"),
                "region": schema.get("Region"),
                "versionId": schema.get("VersionId", "LATEST"),
            },
        }
    )


def put(bucket: str, key: str, body: bytes) -> None:
    """Put an object as S3's own API does (events, persistence); raise OSError unless S3 answers 200.

    For threads other than the server's own loop; the request scope must be the delivery stream's.
    """
    app, s3 = patches.module("app"), patches.module("services.s3")
    if app._MAIN_LOOP is None or not app._MAIN_LOOP.is_running():
        raise OSError("the endpoint is stopping")
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(len(body)),
        "host": "s3.localhost",
    }
    handler = functools.partial(s3.handle_request, internal=True)
    status, _, answer = app.call_service_handler_sync(handler, "PUT", f"/{bucket}/{key}", headers, body, {}, timeout=60)
    if status != 200:
        raise OSError(f"S3 answered {status} for s3://{bucket}/{key}: {answer[:300]!r}")


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
