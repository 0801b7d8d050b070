"""What a transformation Lambda's answer means for each record, by Firehose's rules.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html: every record id once, result Ok, Dropped or
ProcessingFailed, data in base64. Error codes are spelt as in Firehose's CloudWatch log messages. Where AWS does not
document whether one malformed record fails its batch, it fails alone.
"""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

FUNCTION_ERROR = "Lambda.FunctionError"
PROCESSING_FAILED = "Lambda.ProcessingFailedStatus"
MISSING = "Lambda.MissingRecordId"
DUPLICATED = "Lambda.DuplicatedRecordId"
MALFORMED = "Lambda.JsonProcessingException"


class Failure(NamedTuple):
    """Why a record failed, as Firehose names it, and after how many attempts."""

    code: str
    message: str
    attempts: int = 1


# The result of a record: its new bytes, None when dropped, or why it failed.
Result = bytes | None | Failure


def match_records(record_ids: Sequence[str], answers: Sequence[Any], attempts: int = 1) -> list[Result]:
    """Match the answers to the records by id; a record fails whose answer is missing, repeated or malformed."""
    by_id: dict[Any, list[dict[str, Any]]] = {}
    for answer in answers:
        if isinstance(answer, dict) and isinstance(answer.get("recordId"), str):
            by_id.setdefault(answer["recordId"], []).append(answer)
    return [_result(by_id.get(each, []), attempts) for each in record_ids]


def _result(answered: list[dict[str, Any]], attempts: int) -> Result:
    if not answered:
        return Failure(MISSING, "The record id was not returned.", attempts)
    if len(answered) > 1:
        return Failure(DUPLICATED, "The record id was returned more than once.", attempts)
    (answer,) = answered
    result = answer.get("result")
    if result == "Dropped":
        return None
    if result == "ProcessingFailed":
        return Failure(PROCESSING_FAILED, "ProcessingFailed status set for record", attempts)
    if result != "Ok":
        message = f"The record's result is {result!r:.60}, not Ok, Dropped or ProcessingFailed."
        return Failure(MALFORMED, message, attempts)
    try:
        return base64.b64decode(answer["data"], validate=True)
    except (KeyError, TypeError, ValueError):
        return Failure(MALFORMED, "The record is Ok but its data is missing or not base64.", attempts)
