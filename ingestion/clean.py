"""Lambda: transforms a Firehose batch of raw beers; each record is answered Ok, Dropped or ProcessingFailed.

It raises for no input: an exception costs the whole batch, a ProcessingFailed costs one record, which
Firehose writes under its error prefix. The reasons are those of `record.to_row` and REASONS.
A batch leaves one line of metrics (records Clean, Dropped, Failed and Flagged) and one line for each reason;
no payload is ever logged. Environment: CLEANED_FORMAT, csv (the default) or json.
"""

import os
from binascii import a2b_base64, b2a_base64
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ingestion import metrics, record

OK, DROPPED, FAILED = "Ok", "Dropped", "ProcessingFailed"

REASONS = {
    "no_record_id": "an entry without a recordId",
    "no_data": "an entry without data",
    "not_base64": "data that is not base64",
    "answer_too_large": "clean, but beyond the size that an answer may have",
}

# Firehose makes Parquet of JSON lines, not of CSV.
WRITERS = {"csv": record.to_csv, "json": record.to_json, "parquet": record.to_json}

# Above 6 MB Lambda refuses the answer and Firehose fails the whole batch. Bytes of JSON:
# https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
MAX_CLEANED, MAX = 5_500_000, 5_900_000
_FRAME = len('{"recordId": "", "result": "ProcessingFailed", "data": ""}, ')

Writer = Callable[[record.Row], str]


class Answer(NamedTuple):
    """The answer to an entry: its result, base64 data, and the reasons (of an Ok: the flags)."""

    record_id: Any
    result: str
    data: str
    reasons: tuple[str, ...] = ()


def handler(event: Any, context: Any = None) -> dict[str, list[dict[str, Any]]]:
    """Answer a Firehose transformation event: the same recordIds in the same order, each exactly once."""
    write = WRITERS[os.environ.get("CLEANED_FORMAT", "csv")]
    entries = event.get("records") if isinstance(event, dict) else None
    if not isinstance(entries, list):
        entries = []
    answers = [transform(entry, write) for entry in entries]
    if sum([_size(answer) for answer in answers]) > MAX_CLEANED:
        answers = _fit(answers, entries)
    _report(answers)
    return {"records": [{"recordId": id_, "result": result, "data": data} for id_, result, data, _ in answers]}


def transform(entry: Any, write: Writer) -> Answer:
    """The answer to one entry of a batch."""
    try:
        record_id, data = entry["recordId"], entry["data"]
        raw = a2b_base64(data, strict_mode=True)
    except (KeyError, TypeError, ValueError):
        return _unreadable(entry)
    if not isinstance(record_id, str):
        return _unreadable(entry)
    outcome = record.to_row(raw)
    if isinstance(outcome, record.Clean):
        line = b2a_base64(write(outcome.row).encode(), newline=False).decode()
        return Answer(record_id, OK, line, outcome.flags)
    result = DROPPED if isinstance(outcome, record.Dropped) else FAILED
    return Answer(record_id, result, data, (outcome.reason,))


def _unreadable(entry: Any) -> Answer:
    entry = entry if isinstance(entry, dict) else {}
    record_id, data = entry.get("recordId"), entry.get("data")
    if not isinstance(data, str):
        return Answer(record_id, FAILED, "", ("no_data",))
    return Answer(record_id, FAILED, data, ("not_base64" if isinstance(record_id, str) else "no_record_id",))


def _size(answer: Answer) -> int:
    """Bytes of an answer's JSON; a recordId is ASCII."""
    return _FRAME + len(str(answer.record_id)) + len(answer.data)


def _fit(answers: list[Answer], entries: list[Any]) -> list[Answer]:
    """Fail what is clean beyond MAX_CLEANED. Beyond MAX send no data back: the raw copy still holds it."""
    fitting, size = [], 0
    for answer, entry in zip(answers, entries, strict=True):
        if answer.result == OK and size + _size(answer) > MAX_CLEANED:
            answer = Answer(answer.record_id, FAILED, entry["data"], ("answer_too_large",))
        if size + _size(answer) > MAX:
            answer = answer._replace(data="")
        size += _size(answer)
        fitting.append(answer)
    return fitting


def _report(answers: list[Answer]) -> None:
    results = Counter(answer.result for answer in answers)
    with_reasons = [answer for answer in answers if answer.reasons]
    flagged = sum(answer.result == OK for answer in with_reasons)
    counts = {
        "Clean": results[OK],
        "Dropped": results[DROPPED],
        "Failed": results[FAILED],
        "Flagged": flagged,
    }
    metrics.emit(counts)
    metric = {OK: "Flagged", DROPPED: "Dropped", FAILED: "Failed"}
    reasons = Counter((metric[answer.result], reason) for answer in with_reasons for reason in answer.reasons)
    for (name, reason), count in sorted(reasons.items()):
        metrics.emit({name: count}, Reason=reason)
