"""The collector: an API that may answer anything, and a sum that comes out."""

import json
import time
from typing import Any

import boto3
import pytest

from benchmarks.support.faults import FakeKinesis, HostileServer, Reply, StreamFaults
from ingestion import collect
from pipelines.local.punk_api import CatalogueServer, load_catalogue
from tests.support.collected import BUZZ, LINE, as_json, collect_from, metrics, summary


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_random_beer_goes_on_the_stream_as_one_line_under_its_id(kinesis: FakeKinesis, version: str) -> None:
    with CatalogueServer([BUZZ]) as base:
        assert collect_from(f"{base}/{version}") == summary(1, 1)
    assert kinesis.taken == [("1", LINE)]


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_the_catalogue_goes_on_the_stream_beer_by_beer_in_its_order(kinesis: FakeKinesis, version: str) -> None:
    beers = load_catalogue()
    with CatalogueServer(beers) as base:
        assert collect_from(f"{base}/{version}/", {"mode": "catalogue"}) == summary(325, 325, mode="catalogue")
    assert [json.loads(data) for _, data in kinesis.taken] == beers
    assert [key for key, _ in kinesis.taken] == [str(beer["id"]) for beer in beers]
    assert all(b"\n" not in data for _, data in kinesis.taken)


def beers(first: int, last: int) -> bytes:
    return as_json([{"id": number} for number in range(first, last + 1)])


# The pages that an API answers, one after the other, the last one again and again; how many are read; beers sent.
PAGES: dict[str, tuple[list[bytes], int, int]] = {
    "full pages and an empty one": ([beers(1, 80), beers(81, 160), b"[]"], 3, 160),
    "pages shorter than they are asked for": ([beers(1, 50), beers(51, 100), beers(101, 125), b"[]"], 4, 125),
    "a short page between full ones": ([beers(1, 80), beers(81, 90), beers(91, 170), b"[]"], 4, 170),
    "an API that ignores the page": ([beers(1, 80)], 2, 80),
    "an API that repeats its last page": ([beers(1, 80), beers(81, 90)], 3, 90),
    "an API that starts again": ([beers(1, 80), beers(81, 160), beers(1, 80)], 3, 160),
    "no beers": ([b"[]"], 1, 0),
}


@pytest.mark.parametrize("case", PAGES)
def test_pages_are_read_until_one_is_empty_or_repeats(kinesis: FakeKinesis, case: str) -> None:
    bodies, pages, sent = PAGES[case]
    with HostileServer(*map(Reply, bodies)) as server:
        assert collect_from(server.url, {"mode": "catalogue"}) == summary(sent, sent, mode="catalogue")
    assert server.paths == [f"/beers?page={page}&per_page=80" for page in range(1, pages + 1)]
    assert [data for _, data in kinesis.taken] == [b'{"id":%d}' % number for number in range(1, sent + 1)]


def test_a_catalogue_has_no_limit_of_pages_and_is_sent_in_full_calls(kinesis: FakeKinesis) -> None:
    with CatalogueServer([{"id": number} for number in range(1, 9_001)]) as base:
        assert collect_from(f"{base}/v2", {"mode": "catalogue"}) == summary(9_000, 9_000, mode="catalogue")
    assert kinesis.calls == 18


def test_one_page_is_read_alone_and_named_by_its_content(kinesis: FakeKinesis) -> None:
    with CatalogueServer([{"id": number} for number in range(1, 91)]) as base:
        answers = [collect_from(f"{base}/v2", {"mode": "page", "page": page}) for page in (1, 2, 3)]
    contents = [answer.pop("content") for answer in answers]
    assert answers == [{**summary(n, n, mode="page"), "page": page} for page, n in ((1, 80), (2, 10), (3, 0))]
    assert len(set(contents)) == 3 and contents[2] is None and len(contents[0]) == 64


class Hurried:
    """A Lambda context with little time left."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> float:
        return (self.end - time.monotonic()) * 1000


def test_pages_for_which_no_time_is_left_are_counted_and_named_after_the_others_were_sent(
    kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [Reply(beers(80 * number + 1, 80 * number + 80), delay=0.2) for number in range(40)]
    with HostileServer(*pages) as server:
        monkeypatch.setenv("API_URL", server.url)
        with pytest.raises(collect.CollectError, match=r"no time is left for page|no answer from"):
            collect.handler({"mode": "catalogue"}, Hurried(1.6))
    sent = len(kinesis.taken)
    assert sent in range(80, 80 * 39, 80)
    totals, reason = metrics(capsys.readouterr().out)
    assert (totals["Sent"], totals["Refused"]) == (sent, 1)
    assert reason["Reason"] in ("no_time", "no_answer")


def test_the_event_has_the_number_of_random_beers(kinesis: FakeKinesis) -> None:
    with CatalogueServer(load_catalogue(), seed=1) as base:
        assert collect_from(f"{base}/v3", {"mode": "random", "count": 7}) == summary(7, 7)
    assert len(kinesis.taken) == 7


def test_a_schedules_event_asks_for_one_random_beer(kinesis: FakeKinesis) -> None:
    event = {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    with CatalogueServer([BUZZ]) as base:
        assert collect_from(f"{base}/v2", event) == summary(1, 1)


@pytest.mark.parametrize(
    "event", [{"mode": "all"}, {"mode": None}, {"count": 0}, {"count": 1001}, {"count": True}, {"count": "7"}]
)
def test_an_event_of_another_form_is_refused_by_name(kinesis: FakeKinesis, event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=repr(next(iter(event.values())))):
        collect_from("http://127.0.0.1:9", event)


def test_beers_fetched_before_an_error_are_sent(kinesis: FakeKinesis) -> None:
    page = as_json([{"id": number} for number in range(80)])
    with HostileServer(Reply(page), Reply(status=500)) as server, pytest.raises(collect.CollectError, match="page=2"):
        collect_from(server.url, {"mode": "catalogue"})
    assert len(kinesis.taken) == 80


def test_a_report_is_also_metrics_with_one_line_for_each_reason(
    kinesis: FakeKinesis, capsys: pytest.CaptureFixture[str]
) -> None:
    with HostileServer(Reply(as_json([BUZZ, 7, 8, {"message": "x"}]))) as server:
        collect_from(server.url)
    assert metrics(capsys.readouterr().out) == [
        {"Fetched": 4, "Sent": 1, "Refused": 3, "Retries": 0},
        {"Reason": "api_message", "Refused": 1},
        {"Reason": "not_an_object", "Refused": 2},
    ]


def test_an_error_of_the_stream_reaches_the_caller_with_the_beers_counted(
    kinesis: FakeKinesis, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = boto3.Session("test", "test", region_name="eu-central-1")
    StreamFaults(throttled=1.0).install(session.events)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    with CatalogueServer([BUZZ]) as base, pytest.raises(collect.CollectError, match="0 records sent, 2 not sent"):
        collect_from(f"{base}/v2", {"count": 2})
    assert metrics(capsys.readouterr().out) == [
        {"Fetched": 2, "Sent": 0, "Refused": 2, "Retries": 7},
        {"Reason": "not_sent", "Refused": 2},
    ]
