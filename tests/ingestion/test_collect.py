"""The collector: an API that may answer anything, and a sum that comes out."""

import dataclasses
import gzip
import json
import threading
import time
import tracemalloc
from typing import Any

import boto3
import pytest

from benchmarks.support.definitions import until
from benchmarks.support.faults import FakeKinesis, HostileServer, Reply, StreamFaults
from ingestion import api, collect
from pipelines.local.punk_api import CatalogueServer, load_catalogue
from tests.support import cfn

BUZZ = {"id": 1, "name": "Buzz", "abv": 4.5}
LINE = b'{"id":1,"name":"Buzz","abv":4.5}'


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read timeouts of a fraction of a second."""
    monkeypatch.setattr(api, "READ_SECONDS", 0.3)
    monkeypatch.setattr(api, "TRY_SECONDS", 0.6)


def metrics(printed: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in printed.splitlines()]
    return [{name: value for name, value in line.items() if name not in ("_aws", "FunctionName")} for line in lines]


def collect_from(url: str, event: Any = None) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_URL", url)
        return collect.handler(event)


def summary(fetched: int, sent: int, retries: int = 0, mode: str = "random", **refused: int) -> dict[str, Any]:
    return {"mode": mode, "fetched": fetched, "sent": sent, "refused": refused, "retries": retries}


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


# What the API answers, and the report. Nothing here is retried.
FINAL: dict[str, tuple[Reply, dict[str, Any]]] = {
    "one beer": (Reply(as_json(BUZZ)), summary(1, 1)),
    "a list of one": (Reply(as_json([BUZZ])), summary(1, 1)),
    "a list of many": (Reply(as_json([BUZZ, BUZZ, {"id": 2}])), summary(3, 3)),
    "an empty list": (Reply(b"[]"), summary(0, 0)),
    "null": (Reply(b"null"), summary(1, 0, not_an_object=1)),
    "a scalar": (Reply(b"7"), summary(1, 0, not_an_object=1)),
    "a list of scalars": (Reply(b'[1, "a", null]'), summary(3, 0, not_an_object=3)),
    "a scalar among beers": (Reply(as_json([BUZZ, 7])), summary(2, 1, not_an_object=1)),
    "another object": (Reply(b'{"beers": []}'), summary(1, 0, not_a_beer=1)),
    "200 with an error in JSON": (Reply(b'{"statusCode": 429, "message": "slow"}'), summary(1, 0, api_message=1)),
    "200 with HTML": (Reply(b"<html>maintenance</html>"), summary(1, 0, not_json=1)),
    "an empty body": (Reply(b""), summary(1, 0, not_json=1)),
    "half an answer": (Reply(as_json([BUZZ])[:-5]), summary(1, 0, not_json=1)),
    "not UTF-8": (Reply(b'{"id": 1, "name": "\xff"}'), summary(1, 0, not_json=1)),
    "nested too deep": (Reply(b"[" * 100_000), summary(1, 0, not_json=1)),
    "too many digits": (Reply(b'{"id": ' + b"1" * 5000 + b"}"), summary(1, 0, not_json=1)),
    "a NaN token among beers": (Reply(b'[{"id": 1, "abv": NaN}, {"id": 2}]'), summary(2, 1, non_finite=1)),
    "a number beyond doubles": (Reply(b'{"id": 1, "abv": 1e999}'), summary(1, 0, non_finite=1)),
    "a beer of more than 1 MiB": (
        Reply(as_json([{"id": 1, "name": "x" * 2**20}, {"id": 2}])),
        summary(2, 1, too_large=1),
    ),
    "a body of more than 2 MB": (Reply(b" " * (2**21 + 1)), summary(1, 0, answer_too_large=1)),
    "gzip": (Reply(gzip.compress(as_json(BUZZ)), headers={"Content-Encoding": "gzip"}), summary(1, 1)),
    "a gzip bomb": (
        Reply(gzip.compress(b" " * 200_000_000, 1), headers={"Content-Encoding": "gzip"}),
        summary(1, 0, answer_too_large=1),
    ),
    "half a gzip": (
        Reply(gzip.compress(as_json(BUZZ))[:-9], headers={"Content-Encoding": "gzip"}),
        summary(1, 0, bad_encoding=1),
    ),
    "not gzip": (Reply(as_json(BUZZ), headers={"Content-Encoding": "gzip"}), summary(1, 0, bad_encoding=1)),
    "an unknown encoding": (Reply(b"?", headers={"Content-Encoding": "br"}), summary(1, 0, bad_encoding=1)),
    "404": (Reply(b'{"statusCode": 404}', status=404), summary(1, 0, http_404=1)),
    "403 with a beer": (Reply(as_json(BUZZ), status=403), summary(1, 0, http_403=1)),
    "206 with a beer": (Reply(as_json(BUZZ), status=206), summary(1, 0, http_206=1)),
    "304": (Reply(status=304), summary(1, 0, http_304=1)),
}


@pytest.mark.parametrize("case", FINAL)
def test_only_beers_reach_the_stream_and_other_values_are_counted(kinesis: FakeKinesis, case: str) -> None:
    reply, expected = FINAL[case]
    with HostileServer(reply) as server:
        assert collect_from(server.url) == expected
    assert server.paths == ["/beers/random"]
    assert len(kinesis.taken) == expected["sent"]
    assert all("id" in json.loads(data) for _, data in kinesis.taken)


REFUSED_REDIRECT = summary(1, 0, redirected=1)
REDIRECTS = [
    ("/elsewhere", 1, summary(1, 1)),
    ("http://127.0.0.1:{port}/elsewhere", 3, summary(1, 1)),
    ("/elsewhere", 4, REFUSED_REDIRECT),
    ("http://127.0.0.2:{port}/", 1, REFUSED_REDIRECT),
    ("http://127.0.0.1:9/", 1, REFUSED_REDIRECT),
    ("https://127.0.0.1:{port}/", 1, REFUSED_REDIRECT),
    ("http://169.254.169.254/latest/meta-data", 1, REFUSED_REDIRECT),
    ("file:///etc/passwd", 1, REFUSED_REDIRECT),
    ("http://[", 1, REFUSED_REDIRECT),
]


@pytest.mark.parametrize(("location", "times", "expected"), REDIRECTS)
def test_a_redirect_is_followed_three_times_and_within_its_own_origin_only(
    kinesis: FakeKinesis, location: str, times: int, expected: dict[str, Any]
) -> None:
    redirect = Reply(status=302, headers={"Location": location})
    with HostileServer(*[redirect] * times, Reply(as_json(BUZZ))) as server:
        assert collect_from(server.url) == expected
    assert len(kinesis.taken) == expected["sent"]


# Errors that are retried: (reply, the cause in the error's text).
RETRIED: dict[str, tuple[Reply, str]] = {
    "500 with HTML": (Reply(b"<html>", status=500), "status 500"),
    "500 with beers": (Reply(as_json([BUZZ]), status=500), "status 500"),
    "503": (Reply(status=503), "status 503"),
    "429": (Reply(b'{"message": "slow down"}', status=429), "status 429"),
    "429, come back now": (Reply(status=429, headers={"Retry-After": "0"}), "status 429"),
    "a reset": (Reply(reset=True), "ConnectionError"),
    "a body broken off": (Reply(as_json(BUZZ), cut=10), "ProtocolError"),
    "silence": (Reply(as_json(BUZZ), delay=9), "ReadTimeout"),
    "a body that drips": (Reply(as_json(BUZZ), drip=0.1), "no whole answer within 1 s"),
    "a head that drips": (Reply(as_json(BUZZ), drip=0.1, drip_head=True), "no whole answer within 1 s"),
}


@pytest.mark.parametrize("case", RETRIED)
def test_a_passing_error_is_retried_twice_before_it_is_raised(
    kinesis: FakeKinesis, short: None, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply, why = RETRIED[case]
    with HostileServer(reply) as server, pytest.raises(collect.CollectError) as failure:
        collect_from(server.url)
    assert str(failure.value) == f"no answer from {server.url}/beers/random in 3 of 3 tries: {why}"
    assert len(server.paths) == 3
    assert kinesis.taken == []
    assert metrics(capsys.readouterr().out) == [
        {"Fetched": 1, "Sent": 0, "Refused": 1, "Retries": 2},
        {"Reason": "no_answer", "Refused": 1},
    ]


@pytest.mark.parametrize("case", RETRIED)
def test_a_retry_that_succeeds_loses_no_beer(kinesis: FakeKinesis, short: None, case: str) -> None:
    with HostileServer(RETRIED[case][0], Reply(as_json(BUZZ))) as server:
        assert collect_from(server.url) == summary(1, 1, retries=1)
    assert kinesis.taken == [("1", LINE)]


@pytest.mark.parametrize("head", [True, False])
def test_an_answer_that_drips_leaves_no_thread_behind(kinesis: FakeKinesis, short: None, head: bool) -> None:
    with HostileServer(Reply(as_json(BUZZ), drip=0.1, drip_head=head)) as server:
        with pytest.raises(collect.CollectError, match="no whole answer"):
            collect_from(server.url)
        until(lambda: "answer" not in {each.name for each in threading.enumerate()}, "the end of the threads")


@pytest.mark.release
@pytest.mark.parametrize("entry", [b'{"id":1},', b"{},", b"[],", b'{"id":1,"a":[{},{},{},{}]},'])
def test_a_hostile_page_fits_into_the_lambdas_memory(kinesis: FakeKinesis, entry: bytes) -> None:
    template = cfn.load("ingestion")["Resources"]["Collector"]["Properties"]
    body = b"[" + entry * ((api.MAX_BODY_BYTES - 40) // len(entry)) + b"7]"
    with HostileServer(Reply(body)) as server:
        tracemalloc.start()
        report = collect_from(server.url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert report["fetched"] == body.count(entry) + 1
    # The interpreter and boto3 take about 80 MB of the rest.
    assert peak < (template["MemorySize"] - 80) * 2**20


def test_an_api_that_is_not_there_is_an_error_of_one_line(kinesis: FakeKinesis) -> None:
    with pytest.raises(collect.CollectError) as failure:
        collect_from("http://127.0.0.1:9/v2")
    reason = "no answer from http://127.0.0.1:9/v2/beers/random in 3 of 3 tries: ConnectionError"
    assert str(failure.value) == reason


def test_beers_fetched_before_an_error_are_sent(kinesis: FakeKinesis) -> None:
    page = as_json([{"id": number} for number in range(80)])
    with HostileServer(Reply(page), Reply(status=500)) as server, pytest.raises(collect.CollectError, match="page=2"):
        collect_from(server.url, {"mode": "catalogue"})
    assert len(kinesis.taken) == 80


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    assert api._retry_after(header) == seconds


def test_no_backoff_is_longer_than_the_invocation(kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 3_000

    with HostileServer(Reply(status=429, headers={"Retry-After": "3600"})) as server:
        monkeypatch.setenv("API_URL", server.url)
        with pytest.raises(collect.CollectError, match="in 1 of 3 tries: status 429"):
            collect.handler({}, Context())
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(), summary(1, 0, answer_too_large=1)),
        (Reply(status=404), summary(1, 0, http_404=1)),
        (Reply(status=302, headers={"Location": "http://127.0.0.2/"}), REFUSED_REDIRECT),
    ],
    ids=["200", "404", "302"],
)
def test_a_gigabyte_is_not_read_into_memory(kinesis: FakeKinesis, reply: Reply, expected: dict[str, Any]) -> None:
    with HostileServer(dataclasses.replace(reply, body=b" " * 2**20, repeat=1024)) as server:
        tracemalloc.start()
        assert collect_from(server.url) == expected
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000


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
