"""The failed records in the error objects that Firehose, the batch lane and the replay write."""

import base64
import datetime
import json
from collections.abc import Iterator
from typing import NamedTuple

from ingestion import record
from ingestion.names import FAILED, FAILED_STATUS, ForeignObject
from pipelines.records.objects import Objects


class FailedRecord(NamedTuple):
    """A failed record: its bytes (its row as JSON when only the conversion to Parquet failed), and why.

    code, message: Firehose's. line: the error object's own. arrival: UTC.
    """

    record: bytes
    code: str
    message: str
    line: bytes
    arrival: datetime.datetime

    @property
    def day(self) -> str:
        """The day of arrival, YYYY-MM-DD."""
        return f"{self.arrival:%Y-%m-%d}"

    @property
    def reason(self) -> str:
        """The transform's reason where it failed the record, otherwise Firehose's code."""
        outcome = record.to_row(self.record)
        return outcome.reason if self.code == FAILED_STATUS and isinstance(outcome, record.Failed) else self.code


def failures_in(body: bytes) -> list[FailedRecord]:
    """The failed records of an error object, of the transformation and of the conversion alike.

    Raises ForeignObject when a line is not an error of Firehose.
    """
    lines = [line for line in body.split(b"\n") if line]
    try:
        return [_failure(line) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ForeignObject("not an error object of Firehose") from error


def failed_objects(objects: Objects) -> Iterator[tuple[str, bytes, list[FailedRecord]]]:
    """The error objects of the cleaned table: key, content and failed records."""
    for key, body in objects.bodies(FAILED):
        try:
            yield key, body, failures_in(body)
        except ForeignObject as error:
            objects.foreign[key] = str(error)


def _failure(line: bytes) -> FailedRecord:
    error = json.loads(line)
    code = error.get("errorCode") or error["lastErrorCode"]
    message = error.get("errorMessage") or error.get("lastErrorMessage") or ""
    arrival = datetime.datetime.fromtimestamp(error["arrivalTimestamp"] / 1000, datetime.UTC)
    return FailedRecord(base64.b64decode(error["rawData"], validate=True), code, message, line, arrival)
