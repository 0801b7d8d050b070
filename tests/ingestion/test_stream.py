"""Records on a stream that refuses some: none is lost or sent twice, and what is refused is an error."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.support.faults import FakeKinesis, HostileServer, Reply, StreamFaults
from ingestion import stream
from ingestion.api import Record

RECORDS = [Record(str(number), b'{"id":%d}\n' % number) for number in range(1200)]


def put(records: list[Record], faults: StreamFaults | None = None) -> stream.Stream:
    client = stream.kinesis()
    if faults:
        faults.install(client.meta.events)
    target = stream.Stream("beers", stream.Deadline(20), client)
    target.put(records)
    return target


def test_records_are_sent_in_calls_of_500(kinesis: FakeKinesis) -> None:
    assert put(RECORDS).sent == 1200
    assert kinesis.taken == RECORDS
    assert kinesis.calls == 3


@pytest.mark.parametrize("seed", range(5))
def test_only_refused_records_are_sent_again(kinesis: FakeKinesis, seed: int) -> None:
    faults = StreamFaults(refused=0.25, throttled=0.25, seed=seed)
    target = put(RECORDS, faults)
    assert Counter(kinesis.taken) == Counter(RECORDS)
    assert target.sent == 1200
    assert faults.refusals > 0
    assert faults.throttlings > 0
    assert target.retries == faults.calls - 3


def test_a_stream_that_takes_nothing_is_an_error_that_counts(kinesis: FakeKinesis) -> None:
    with pytest.raises(stream.StreamError) as failure:
        put(RECORDS, StreamFaults(refused=1.0))
    assert str(failure.value) == ("stream beers: 0 records sent, 1200 not sent: ProvisionedThroughputExceededException")
    assert kinesis.taken == []


def test_a_stream_that_throttles_every_call_is_an_error_after_eight_tries(kinesis: FakeKinesis) -> None:
    faults = StreamFaults(throttled=1.0)
    with pytest.raises(stream.StreamError, match="0 records sent, 7 not sent: ProvisionedThroughputExceeded"):
        put(RECORDS[:7], faults)
    assert faults.throttlings == 8


def test_records_sent_before_an_error_are_counted(kinesis: FakeKinesis, monkeypatch: Any) -> None:
    faults = StreamFaults()
    original = kinesis.answer

    def answer_then_give_out(target: str, body: dict[str, Any]) -> Any:
        faults.throttled = 1.0
        return original(target, body)

    monkeypatch.setattr(kinesis, "answer", answer_then_give_out)
    with pytest.raises(stream.StreamError, match="500 records sent, 700 not sent"):
        put(RECORDS, faults)
    assert kinesis.taken == RECORDS[:500]


@pytest.mark.parametrize(
    ("reply", "calls", "why"),
    [
        (Reply(b'{"__type": "ResourceNotFoundException"}', status=400), 1, "ResourceNotFoundException"),
        (Reply(b'{"__type": "AccessDeniedException"}', status=400), 1, "AccessDeniedException"),
        (Reply(b'{"__type": "InternalFailure"}', status=500), 8, "InternalFailure"),
        (Reply(b"<html>", status=503), 8, "503"),
        (Reply(reset=True), 8, "ConnectionClosedError"),
    ],
)
def test_only_passing_errors_are_retried(
    kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch, reply: Reply, calls: int, why: str
) -> None:
    with HostileServer(reply) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(stream.StreamError) as failure:
            put(RECORDS[:3])
    assert str(failure.value) == f"stream beers: 0 records sent, 3 not sent: {why}"
    assert len(server.paths) == calls


def test_calls_stay_within_records_and_bytes() -> None:
    large, small = Record("k", b"x" * 1_000_000), Record("k", b"x")
    assert [len(batch) for batch in stream.calls([small] * 1001)] == [500, 500, 1]
    assert [len(batch) for batch in stream.calls([large] * 9)] == [4, 4, 1]
    assert list(stream.calls([])) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**20 - 1).map(lambda size: Record("k", bytes(size))), max_size=30))
def test_however_large_records_are_each_is_in_one_call_in_order(records: list[Record]) -> None:
    batches = list(stream.calls(records))
    assert [record for batch in batches for record in batch] == records
    assert all(0 < len(batch) <= 500 and sum(len(r.data) + 1 for r in batch) <= 5_000_000 for batch in batches)
