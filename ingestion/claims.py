"""The objects that a batch of the batch lane becomes, written once whichever files hold the batch.

The rows of a batch are one object of cleaned/, its failed records one of errors/cleaned/, both named after the time of
its file and its content, so that a repetition overwrites them. Equal content counts once, with the earliest time: an
object under loaded/batches/ is the claim on it, which S3's conditional writes keep right among Lambdas that race
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
"""

import base64
import datetime
import json
import time
from collections import Counter
from typing import Any, NamedTuple

from ingestion import record
from ingestion.landing import Batch
from ingestion.names import CLEANED, FAILED, FAILED_STATUS, LOADED, STAMP_FORMAT

CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict")
MISSING = ("NoSuchKey", "404")


class Time(NamedTuple):
    """How old rows are: their time, and the day (YYYY-MM-DD) at which their file landed; earlier ones are less."""

    stamp: str
    day: str


class Store:
    """Documents and objects of the data bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3 = s3
        self.bucket = bucket

    def read(self, key: str) -> tuple[dict[str, Any] | None, str]:
        """A JSON document and its ETag; None where there is none."""
        import botocore.exceptions

        try:
            found = self.s3.get_object(Bucket=self.bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None, ""
            raise
        return json.loads(found["Body"].read()), found["ETag"]

    def write(self, key: str, document: dict[str, Any], **conditions: str) -> bool:
        """Write a document; False where a condition (IfMatch, IfNoneMatch) does not hold."""
        import botocore.exceptions

        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(document).encode(), **conditions)
        except botocore.exceptions.ClientError as error:
            if conditions and error.response["Error"]["Code"] in CONFLICTS:
                return False
            raise
        return True

    def put(self, key: str, lines: list[bytes]) -> None:
        """Write an object of lines; without any there is none."""
        if lines:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=b"".join(lines))
        else:
            self.remove(key)

    def remove(self, key: str) -> None:
        """Delete an object where there is one: the deletion of none leaves a marker in a versioned bucket."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=key).get("Contents", [])
        for found in listed:
            if found["Key"] == key:
                self.s3.delete_object(Bucket=self.bucket, Key=key)


def load_batch(store: Store, batch: Batch, mine: Time, owner: str) -> Counter[str]:
    """Write a batch's rows and failed records; returns the counts of its records.

    owner: the chunk of a file. A batch that another chunk has claimed, at the same or an earlier time, is repeated.
    """
    key = f"{LOADED}batches/{batch.content}.json"
    claim, before = _claim(store, key, {"owner": owner, "stamp": mine.stamp, "day": mine.day, "done": False})
    counts, wanted = Counter(records=len(batch.records), repeated=len(batch.records)), _time(claim)
    if claim["owner"] == owner or not claim["done"]:
        rows, failures, found = transformed(batch.records, wanted)
        counts = found if claim["owner"] == owner else counts
        # Also for an owner that was killed: the content is the same.
        if not claim["done"]:
            store.put(rows_key(batch.content, wanted), rows)
            store.put(failures_key(batch.content, wanted), failures)
    for each in {mine, before} - {wanted}:
        _remove(store, batch.content, each)
    latest, etag = store.read(key)
    if latest is not None and _time(latest) != wanted:
        # Another file with the same content and an earlier time came meanwhile, and may have removed too early.
        _remove(store, batch.content, wanted)
    elif latest is not None and not latest["done"]:
        store.write(key, {**latest, "done": True}, IfMatch=etag)
    return counts


def _claim(store: Store, key: str, mine: dict[str, Any]) -> tuple[dict[str, Any], Time]:
    """The claim that holds, and the time of the one before it (its own where there was none)."""
    while True:
        claim, etag = store.read(key)
        if claim is None:
            if store.write(key, mine, IfNoneMatch="*"):
                return mine, _time(mine)
        elif _time(mine) >= _time(claim):
            return claim, _time(claim)
        elif store.write(key, mine, IfMatch=etag):
            return mine, _time(claim)


def _time(claim: dict[str, Any]) -> Time:
    return Time(claim["stamp"], claim["day"])


def _remove(store: Store, content: str, at: Time) -> None:
    store.remove(rows_key(content, at))
    store.remove(failures_key(content, at))


def rows_key(content: str, at: Time) -> str:
    """The object of a batch's rows."""
    return f"{CLEANED}dt={at.day}/landed-{at.stamp}-{content}.csv"


def failures_key(content: str, at: Time) -> str:
    """The object of a batch's failed records."""
    return f"{FAILED}processing-failed/dt={at.day}/landed-{at.stamp}-{content}"


def transformed(records: list[bytes], at: Time) -> tuple[list[bytes], list[bytes], Counter[str]]:
    """The rows, the lines of the error object, and the counts of some records."""
    rows, failures = [], []
    for content in records:
        outcome = record.to_row(content)
        if isinstance(outcome, record.Clean):
            rows.append(record.to_csv(outcome.row).encode())
        elif isinstance(outcome, record.Failed):
            failures.append(error_line(content, FAILED_STATUS, outcome.reason, at))
    clean, failed = len(rows), len(failures)
    dropped = len(records) - clean - failed
    return rows, failures, Counter(records=len(records), clean=clean, dropped=dropped, failed=failed)


def error_line(content: bytes, code: str, message: str, at: Time) -> bytes:
    """The line that Firehose would write for a record that its transform fails."""
    arrival = datetime.datetime.strptime(at.stamp, STAMP_FORMAT).replace(tzinfo=datetime.UTC)
    line = {
        "attemptsMade": 1,
        "arrivalTimestamp": int(arrival.timestamp() * 1000),
        "errorCode": code,
        "errorMessage": message,
        "attemptEndingTimestamp": int(time.time() * 1000),
        "rawData": base64.b64encode(content).decode(),
    }
    return json.dumps(line).encode() + b"\n"
