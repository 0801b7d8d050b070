"""Lambda: beers from the Punk API onto a Kinesis stream.

The event says how: {"mode": "random", "count": 1} asks for so many random beers (this is the default, a
schedule's event included), {"mode": "catalogue"} for all pages. Environment: STREAM_NAME; API_URL, the
API's base URL with its version, for example https://host/v3.

Whatever was fetched is sent before an error is raised. Everything is counted: fetched = sent + refused, and
each refusal has a reason: one of REFUSED, or `http_<status>` for an answer with another status than 200.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ingestion import api, metrics
from ingestion.api import Answer, Api, ApiError, Record
from ingestion.retry import Deadline, remaining_seconds
from ingestion.stream import Stream, StreamError

PER_PAGE, MAX_PAGES, MAX_RANDOM = 80, 100, 1000
# Without a Lambda context, whose own limit holds otherwise.
SECONDS = 300.0
# The share of the time for fetching; the rest is for sending.
FETCHING_SHARE = 0.7
SECONDS_TO_REPORT = 1.0


REFUSED = {
    **api.REFUSED,
    "no_answer": "an API that did not answer in all tries",
    "not_sent": "a beer that the stream did not take in all tries",
}


class CollectError(Exception):
    """Something could not be fetched or sent after all tries; one line with the cause."""


def handler(event: Any, context: Any = None) -> dict[str, Any]:
    """Fetch and send; return {"mode", "fetched", "sent", "refused": {reason: n}, "retries"}.

    Raises CollectError after all tries, and ValueError for an event of another form.
    """
    mode, count = _read_event(event)
    seconds = remaining_seconds(context, otherwise=SECONDS)
    source = Api(os.environ["API_URL"], Deadline(seconds * FETCHING_SHARE))
    stream = Stream(os.environ["STREAM_NAME"], Deadline(seconds - SECONDS_TO_REPORT))
    records: list[Record] = []
    refused: Counter[str] = Counter()
    failures: list[Exception] = []
    try:
        for answer in _random(source, count) if mode == "random" else _catalogue(source):
            records += answer.records
            refused += answer.refused
    except ApiError as failure:
        failures.append(failure)
        refused["no_answer"] += 1
    try:
        stream.put(records)
    except StreamError as failure:
        failures.append(failure)
        refused["not_sent"] += len(records) - stream.sent
    report = {
        "mode": mode,
        "fetched": stream.sent + refused.total(),
        "sent": stream.sent,
        "refused": dict(sorted(refused.items())),
        "retries": source.retries + stream.retries,
    }
    _emit(report)
    if failures:
        raise CollectError("; ".join(map(str, failures)))
    return report


def _read_event(event: Any) -> tuple[str, int]:
    """The mode and the count that an event asks for."""
    given = event if isinstance(event, dict) else {}
    mode, count = given.get("mode", "random"), given.get("count", 1)
    if mode not in ("random", "catalogue"):
        raise ValueError(f"mode is {mode!r}, not random or catalogue")
    if type(count) is not int or not 1 <= count <= MAX_RANDOM:
        raise ValueError(f"count is {count!r}, not an integer from 1 to {MAX_RANDOM}")
    return mode, count


def _random(source: Api, count: int) -> Iterator[Answer]:
    for _ in range(count):
        yield source.fetch("beers/random")


def _catalogue(source: Api) -> Iterator[Answer]:
    """Page after page until one is not full, or the same as the one before: an API that ignores `page`."""
    before: list[Record] = []
    for page in range(1, MAX_PAGES + 1):
        answer = source.fetch(f"beers?page={page}&per_page={PER_PAGE}")
        if answer.records and answer.records == before:
            return
        yield answer
        if answer.entries < PER_PAGE:
            return
        before = answer.records


def _emit(report: dict[str, Any]) -> None:
    metrics.emit(
        {
            "Fetched": report["fetched"],
            "Sent": report["sent"],
            "Refused": sum(report["refused"].values()),
            "Retries": report["retries"],
        }
    )
    for reason, count in report["refused"].items():
        metrics.emit({"Refused": count}, Reason=reason)
