"""What the collector makes of any answer of an API: redirects, errors, gigabytes and silence."""

import dataclasses
import gzip
import json
import threading
import tracemalloc
from typing import Any

import pytest

from benchmarks.support.definitions import until
from benchmarks.support.faults import FakeKinesis, HostileServer, Reply
from ingestion import api, collect
from tests.support import cfn
from tests.support.collected import BUZZ, LINE, as_json, collect_from, metrics, summary


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read timeouts of a fraction of a second."""
    monkeypatch.setattr(api, "READ_SECONDS", 0.3)
    monkeypatch.setattr(api, "TRY_SECONDS", 0.6)


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
        Reply(gzip.compress(b" " * 20_000_000, 1), headers={"Content-Encoding": "gzip"}),
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
    "a body that drips": (Reply(as_json(BUZZ), drip=0.02), "no whole answer within 1 s"),
    "a head that drips": (Reply(as_json(BUZZ), drip=0.02, drip_head=True), "no whole answer within 1 s"),
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
    with HostileServer(Reply(as_json(BUZZ), drip=0.02, drip_head=head)) as server:
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
