"""Lambda: sends beers from the Punk API to a Kinesis stream.

Its event has a mode: {"mode": "random", "count": 1} for some random beers (the default, and what a schedule's
event means), {"mode": "catalogue"} for all pages, {"mode": "page", "page": 1} for one page of a catalogue that takes
longer than one invocation. Environment: STREAM_NAME; API_URL, the API's base URL with its version, for example
https://host/v3.

Beers are sent while the pages are read, so that a catalogue of any size needs the memory of a few pages. Everything
is counted: fetched = sent + refused, and each refusal has a reason: one of REFUSED, or `http_<status>`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ingestion import api, metrics
from ingestion.api import Answer, Api, ApiError, Record
from ingestion.retry import Deadline, remaining_seconds
from ingestion.stream import MAX_RECORDS, Stream, StreamError

PER_PAGE, MAX_RANDOM = 80, 1000
# Without a Lambda context, whose own limit holds otherwise.
SECONDS = 300.0
# The share of the time for fetching; the rest is for sending.
FETCHING_SHARE = 0.7
SECONDS_TO_REPORT = 1.0

REFUSED = {
    **api.REFUSED,
    "no_answer": "an API that did not answer in all tries",
    "no_time": "the pages that were not read before the deadline, counted as one",
    "not_sent": "a beer that the stream refused in all tries",
}


class CollectError(Exception):
    """Something could not be fetched or sent after all tries; one line with the cause."""


class OutOfTime(Exception):
    """The deadline came before the last page."""


def handler(event: Any, context: Any = None) -> dict[str, Any]:
    """Fetch and send; return {"mode", "fetched", "sent", "refused": {reason: n}, "retries"}.

    With the mode "page" also "page" and "content", a digest of the page, null for an empty one.
    Raises CollectError after all tries, and ValueError for an event of another form.
    """
    mode, number = _read_event(event)
    seconds = remaining_seconds(context, otherwise=SECONDS)
    source = Api(os.environ["API_URL"], Deadline(seconds * FETCHING_SHARE))
    stream = Stream(os.environ["STREAM_NAME"], Deadline(seconds - SECONDS_TO_REPORT))
    refused: Counter[str] = Counter()
    pages: list[bytes | None] = []
    failure = _transfer(_ANSWERS[mode](source, number), stream, refused, pages)
    report = {
        "mode": mode,
        "fetched": stream.sent + refused.total(),
        "sent": stream.sent,
        "refused": dict(sorted(refused.items())),
        "retries": source.retries + stream.retries,
    }
    _emit(report)
    if failure:
        raise CollectError(str(failure))
    if mode == "page":
        return {**report, "page": number, "content": pages[0].hex() if pages[0] else None}
    return report


def _transfer(
    answers: Iterator[Answer], stream: Stream, refused: Counter[str], pages: list[bytes | None]
) -> Exception | None:
    """Send what the answers hold as it comes, count the rest; return the error that ended it, if any."""
    waiting: list[Record] = []
    failure: Exception | None = None
    try:
        for answer in answers:
            pages.append(answer.content)
            refused += answer.refused
            waiting += answer.records
            full = len(waiting) - len(waiting) % MAX_RECORDS
            sending, waiting = waiting[:full], waiting[full:]
            _send(stream, sending, refused)
    except ApiError as error:
        failure, refused["no_answer"] = error, 1
    except OutOfTime as error:
        failure, refused["no_time"] = error, 1
    except StreamError as error:
        return error
    try:
        _send(stream, waiting, refused)
    except StreamError as error:
        return CollectError(f"{failure}; {error}") if failure else error
    return failure


def _send(stream: Stream, records: list[Record], refused: Counter[str]) -> None:
    before = stream.sent
    try:
        stream.put(records)
    except StreamError:
        refused["not_sent"] += len(records) - (stream.sent - before)
        raise


def _read_event(event: Any) -> tuple[str, int]:
    """The mode, and its number: how many random beers, or which page."""
    given = event if isinstance(event, dict) else {}
    mode = given.get("mode", "random")
    if mode not in _ANSWERS:
        raise ValueError(f"mode is {mode!r}, not one of {', '.join(_ANSWERS)}")
    name = "page" if mode == "page" else "count"
    number = given.get(name, 1)
    if type(number) is not int or number < 1 or (mode == "random" and number > MAX_RANDOM):
        limit = f" to {MAX_RANDOM}" if mode == "random" else ""
        raise ValueError(f"{name} is {number!r}, not an integer from 1{limit}")
    return mode, number


def _random(source: Api, count: int) -> Iterator[Answer]:
    for _ in range(count):
        yield source.fetch("beers/random")


def _page(source: Api, page: int) -> Iterator[Answer]:
    yield source.fetch(f"beers?page={page}&per_page={PER_PAGE}")


def _catalogue(source: Api, _: int) -> Iterator[Answer]:
    """Page after page until one is empty or repeats an earlier one.

    A page shorter than PER_PAGE is not the last one: an API may return fewer beers a page than it is asked for.
    """
    seen: set[bytes] = set()
    page = 0
    while True:
        page += 1
        if not source.deadline.left():
            raise OutOfTime(f'no time is left for page {page} and those after it; read them with {{"mode": "page"}}')
        for answer in _page(source, page):
            if answer.content is None:
                yield answer
                return
            if answer.content in seen:
                return
            seen.add(answer.content)
            yield answer


_ANSWERS: dict[str, Callable[[Api, int], Iterator[Answer]]] = {
    "random": _random,
    "catalogue": _catalogue,
    "page": _page,
}


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
