"""Replay: failed records are transformed anew after a fix, and what is now clean goes into the table.

Each record enters the table once, however often this is run or killed. What an error object yields is one
object whose name is made from that error object's name and content, so doing it again overwrites it. Only
when that object is there are the error object's lines kept under errors/replayed/ and taken out of
errors/cleaned/. Two replays at the same time are not foreseen. Works with boto3's clients on AWS and on the
local endpoint alike.
"""

import base64
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from ingestion import record
from pipelines.authoring import snapshot
from pipelines.records.ledger import CLEANED, FAILED, REFUSED, Failure, failures_in, keys, read

REPLAYED = "errors/replayed/"
# What one invocation takes: as much as Firehose hands over by default, well below Lambda's 6 MB.
BATCH_RECORDS, BATCH_BYTES = 500, 1024 * 1024

ARROW_TYPES = {"integer": "int64", "text": "string", "number": "float64"}

# The time in an object's name, as Firehose writes it.
STAMP = re.compile(snapshot.STAMP)


class StillFailed(NamedTuple):
    """Why a record failed again. code: as Firehose has it. reason: the transform's own, where there is one."""

    code: str
    reason: str


# What the transform makes of a record: a line of the table, None when dropped, or why it failed again.
Result = bytes | None | StillFailed


def replay(s3: Any, lambdas: Any, bucket: str, function: str, since: str | None = None) -> dict[str, Any]:
    """Transform every failed record anew; return how many are now clean, dropped, and failed by reason.

    function: name or ARN of the transform Lambda. since: the first day (UTC, YYYY-MM-DD) to look at.
    """
    totals: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for key in list(keys(s3, bucket, FAILED, since)):
        body = read(s3, bucket, key)
        failures = list(failures_in(body))
        results = [
            result
            for batch in _batches(failures)
            for result in _transform(lambdas, function, [failure.record for failure in batch])
        ]
        _settle(s3, bucket, key, body, failures, results)
        for result in results:
            if isinstance(result, StillFailed):
                failed[result.reason] += 1
            else:
                totals["dropped" if result is None else "clean"] += 1
    return {"clean": totals["clean"], "dropped": totals["dropped"], "failed": dict(failed)}


def _batches(failures: list[Failure]) -> Iterator[list[Failure]]:
    batch: list[Failure] = []
    size = 0
    for failure in failures:
        size += len(failure.record)
        if batch and (len(batch) == BATCH_RECORDS or size > BATCH_BYTES):
            yield batch
            batch, size = [], len(failure.record)
        batch.append(failure)
    if batch:
        yield batch


def _transform(lambdas: Any, function: str, records: list[bytes]) -> list[Result]:
    """One result per record, by the rules of Firehose: exactly one answer per record id, or it failed."""
    event = {
        "invocationId": "replay",
        "records": [
            {"recordId": str(number), "data": base64.b64encode(content).decode()}
            for number, content in enumerate(records)
        ],
    }
    response = lambdas.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    answer = json.load(response["Payload"])
    if "FunctionError" in response or not isinstance(answer, dict) or "records" not in answer:
        return [_invalid("Lambda.FunctionError")] * len(records)
    answers: dict[str, list[dict[str, Any]]] = {}
    for answered in answer["records"]:
        answers.setdefault(answered["recordId"], []).append(answered)
    return [_result(content, answers.get(str(number), [])) for number, content in enumerate(records)]


def _result(content: bytes, answers: list[dict[str, Any]]) -> Result:
    if len(answers) != 1:
        return _invalid("Lambda.MissingRecordId" if not answers else "Lambda.DuplicatedRecordId")
    if answers[0]["result"] == "Ok":
        return base64.b64decode(answers[0]["data"])
    if answers[0]["result"] == "Dropped":
        return None
    outcome = record.to_row(content)
    return StillFailed(REFUSED, outcome.reason if isinstance(outcome, record.Failed) else REFUSED)


def _invalid(code: str) -> StillFailed:
    return StillFailed(code, code)


def _settle(s3: Any, bucket: str, key: str, body: bytes, failures: list[Failure], results: list[Result]) -> None:
    """Write the table's object first, and then the error object with what still failed, and with its new reason."""
    name = hashlib.sha256(key.encode() + b"\n" + body).hexdigest()[:32]
    day = min(failure.day for failure in failures)
    rows = [result for result in results if isinstance(result, bytes)]
    left = [
        _failed_again(failure, result)
        for failure, result in zip(failures, results, strict=True)
        if isinstance(result, StillFailed)
    ]
    # The snapshot takes a beer's newest row by the time in its object's name: that of the failure, not of the replay.
    found = STAMP.search(key.rpartition("/")[2])
    stamp = found[0] if found else f"{day}-00-00-00"
    _write_rows(s3, bucket, f"{CLEANED}dt={day}/replayed-{stamp}-{name}", rows)
    if len(left) < len(failures):
        s3.put_object(Bucket=bucket, Key=f"{REPLAYED}{key.removeprefix('errors/')}-{name}", Body=body)
    remaining = b"".join(line + b"\n" for line in left)
    if not remaining:
        s3.delete_object(Bucket=bucket, Key=key)
    elif remaining != body:
        s3.put_object(Bucket=bucket, Key=key, Body=remaining)


def _failed_again(failure: Failure, result: StillFailed) -> bytes:
    if failure.code == result.code:
        return failure.line
    return json.dumps({**json.loads(failure.line), "errorCode": result.code, "errorMessage": result.reason}).encode()


def _write_rows(s3: Any, bucket: str, target: str, rows: list[bytes]) -> None:
    """Put the rows' object, and remove what a killed replay with another transform left in its place."""
    key = None
    if rows:
        # The transform writes JSON lines exactly when the table is Parquet.
        parquet = rows[0].startswith(b"{")
        key = target + (".parquet" if parquet else ".csv")
        s3.put_object(Bucket=bucket, Key=key, Body=_parquet(rows) if parquet else b"".join(rows))
    for found in keys(s3, bucket, target):
        if found != key:
            s3.delete_object(Bucket=bucket, Key=found)


def _parquet(rows: list[bytes]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(column.name, ARROW_TYPES[column.kind]) for column in record.COLUMNS])
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist([json.loads(row) for row in rows], schema)
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()
