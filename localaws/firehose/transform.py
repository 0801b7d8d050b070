"""Firehose's data transformation: a batch goes to the Lambda, each record comes back Ok, Dropped or failed.

The rules are those of Firehose's guide: every record id once, result Ok, Dropped or ProcessingFailed, data
in base64, 6 MB each way, three retries when an invocation fails, then the whole batch is unsuccessfully
processed. A record never passes untransformed. Error codes are spelt as Firehose's CloudWatch log messages
spell them. Where AWS does not document whether one malformed record fails its batch, it costs that record alone.
"""

import base64
import json
import time
import uuid
from typing import Any

from localaws.firehose.answers import FUNCTION_ERROR, MALFORMED, Failure, Result, match_records
from localaws.firehose.records import Row
from localaws.ministack import patches

# Lambda's limits for a synchronous invocation (its answer may be 100 bytes longer than its request).
REQUEST_BYTES = 6 * 1024 * 1024
ANSWER_BYTES = REQUEST_BYTES + 100

LIMIT_EXCEEDED = "Lambda.InvokeLimitExceeded"


class InvocationError(Exception):
    """An invocation that gave no usable answer; Firehose tries again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def record_id(row: Row) -> str:
    """An id as long as Firehose's, of its own among all records that wait."""
    return f"{row.number:056d}"


def event(rows: list[Row], stream: dict[str, Any]) -> dict[str, Any]:
    """The event Firehose invokes a transformation Lambda with."""
    source = stream.get("kinesis_source") or {}
    records: list[dict[str, Any]] = []
    for row in rows:
        record = {
            "recordId": record_id(row),
            "approximateArrivalTimestamp": int(row.arrival * 1000),
            "data": base64.b64encode(row.data).decode(),
        }
        if row.source:
            record["kinesisRecordMetadata"] = json.loads(row.source)
        records.append(record)
    return {
        "invocationId": str(uuid.uuid4()),
        "deliveryStreamArn": stream["arn"],
        "region": stream["arn"].split(":")[3],
        **({"sourceKinesisStreamArn": source["KinesisStreamARN"]} if source else {}),
        "records": records,
    }


def transform(rows: list[Row], stream: dict[str, Any], function: str, retries: int, pause: float) -> list[Result]:
    """One outcome per row, in order. function: the Lambda's ARN. pause: seconds before the first retry."""
    request = event(rows, stream)
    for attempt in range(1, retries + 2):
        try:
            answers = invoke(function, request)
        except InvocationError as error:
            failure = Failure(error.code, str(error), attempt)
            if attempt <= retries:
                time.sleep(pause * 2 ** (attempt - 1))
        else:
            return match_records([record_id(row) for row in rows], answers, attempt)
    return [failure] * len(rows)


def invoke(function: str, request: dict[str, Any]) -> list[Any]:
    """Invoke the Lambda and return its answer's records, or raise InvocationError."""
    lambdas, responses = patches.module("services.lambda_svc"), patches.module("core.responses")
    _, _, _, region, account, *_ = function.split(":")
    with responses.request_scope(account, region):
        record, _, name = lambdas._get_func_record_for_ref(function)
        if record is None:
            raise InvocationError("Lambda.ResourceNotFound", f"The Lambda function was not found: {function}")
        started = time.monotonic()
        result = lambdas._execute_function(record, request)
        milliseconds = (time.monotonic() - started) * 1000
        if result.get("throttle"):
            raise InvocationError("Lambda.InvokeLimitExceeded", "The Lambda concurrent execution limit is exceeded.")
        lambdas._emit_lambda_metrics(name, milliseconds, bool(result.get("error")), False)
    return answered_records(result)


def answered_records(result: dict[str, Any]) -> list[Any]:
    """The `records` of an invocation's result; raise InvocationError when it has none."""
    body = result.get("body")
    if result.get("error"):
        details = body if isinstance(body, dict) else {}
        code = "Lambda.FunctionTimedOut" if details.get("errorType") == "Sandbox.Timedout" else FUNCTION_ERROR
        raise InvocationError(
            code,
            "The Lambda function was successfully invoked but it returned an error result."
            f" {details.get('errorMessage', '')}".rstrip(),
        )
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list):
        raise InvocationError(MALFORMED, "The Lambda function's answer has no list of records.")
    if len(json.dumps(body)) > ANSWER_BYTES:
        raise InvocationError(
            FUNCTION_ERROR,
            f"Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES} bytes).",
        )
    return records
