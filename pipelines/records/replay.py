"""Replay: failed records are transformed again after a fix, and those that are now clean go into the table.

Each record enters the table once, however often this is run or killed. The rows of an error object go into one
object whose name is made from that error object's name and content, so that a repetition overwrites it. When that
object is written, the error object's lines are stored under errors/replayed/ and removed from errors/cleaned/. Two
replays must not run at the same time. Works with boto3's clients on AWS and on the local endpoint alike.
"""

import base64
import hashlib
import json
from collections import Counter
from typing import Any

from ingestion import record
from ingestion.batches import batches
from ingestion.claims import Store
from ingestion.names import CLEANED, REFUSED_FILE, REPLAYED, stamp_of
from localaws.firehose.answers import FUNCTION_ERROR, Failure, Result, match_records
from pipelines.records.failures import FailedRecord, failed_objects
from pipelines.records.objects import Objects

# What one invocation takes: as much as Firehose hands over by default, well below Lambda's 6 MB.
BATCH_RECORDS, BATCH_BYTES = 500, 1024 * 1024


def replay(s3: Any, lambdas: Any, bucket: str, function: str, since: str | None = None) -> dict[str, Any]:
    """Transform every failed record again; return how many are now clean, dropped, and failed by reason.

    function: name or ARN of the transform Lambda. since: the first day (UTC, YYYY-MM-DD). foreign: the objects that
    were passed over, with the reason.
    """
    totals: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    objects = Objects(s3, bucket, since)
    for key, body, failures in list(failed_objects(objects)):
        if not failures or failures[0].code == REFUSED_FILE:
            # A refused file is corrected and put under landing/ again.
            continue
        results = [
            result
            for batch in batches(failures, BATCH_RECORDS, BATCH_BYTES, lambda failure: len(failure.record))
            for result in _transform(lambdas, function, [failure.record for failure in batch])
        ]
        _settle(s3, bucket, key, body, failures, results)
        for failure, result in zip(failures, results, strict=True):
            if isinstance(result, Failure):
                failed[failure._replace(code=result.code).reason] += 1
            else:
                totals["dropped" if result is None else "clean"] += 1
    return {
        "clean": totals["clean"],
        "dropped": totals["dropped"],
        "failed": dict(failed),
        "foreign": objects.foreign,
    }


def _transform(lambdas: Any, function: str, records: list[bytes]) -> list[Result]:
    """The transform's result for each record, by the rules of Firehose."""
    ids = [str(number) for number in range(len(records))]
    entries = [
        {"recordId": name, "data": base64.b64encode(content).decode()}
        for name, content in zip(ids, records, strict=True)
    ]
    event = {"invocationId": "replay", "records": entries}
    response = lambdas.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    answer = json.load(response["Payload"])
    answered = answer.get("records") if isinstance(answer, dict) and "FunctionError" not in response else None
    if not isinstance(answered, list):
        return [Failure(FUNCTION_ERROR, "The Lambda function returned an error.")] * len(records)
    return match_records(ids, answered)


def _settle(s3: Any, bucket: str, key: str, body: bytes, failures: list[FailedRecord], results: list[Result]) -> None:
    """Write the table's object first, and then the error object with what still failed, and with its new reason."""
    name = hashlib.sha256(key.encode() + b"\n" + body).hexdigest()[:32]
    day = min(failure.day for failure in failures)
    rows = [_csv(result) for result in results if isinstance(result, bytes)]
    left = [
        _failed_again(failure, result)
        for failure, result in zip(failures, results, strict=True)
        if isinstance(result, Failure)
    ]
    # The snapshot takes a beer's newest row by the time in its object's name: that of the failure, not of the replay.
    stamp = stamp_of(key, day)
    Store(s3, bucket).put(f"{CLEANED}dt={day}/replayed-{stamp}-{name}.csv", rows)
    if len(left) < len(failures):
        s3.put_object(Bucket=bucket, Key=f"{REPLAYED}{key.removeprefix('errors/')}-{name}", Body=body)
    remaining = b"".join(line + b"\n" for line in left)
    if not remaining:
        s3.delete_object(Bucket=bucket, Key=key)
    elif remaining != body:
        s3.put_object(Bucket=bucket, Key=key, Body=remaining)


def _csv(row: bytes) -> bytes:
    """A row as a line of CSV, which is what is written directly; where Firehose writes Parquet the row is JSON."""
    outcome = record.to_row(row) if row.startswith(b"{") else None
    return record.to_csv(outcome.row).encode() if isinstance(outcome, record.Clean) else row


def _failed_again(failure: FailedRecord, result: Failure) -> bytes:
    """The line of the error object for a record that failed again."""
    if failure.code == result.code:
        return failure.line
    return json.dumps({**json.loads(failure.line), "errorCode": result.code, "errorMessage": result.message}).encode()
