"""An answer of the API as records with partition keys."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.api import parse_answer
from tests.fuzz.answers import check


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


KEYS = [
    ({"id": 7}, "7"),
    ({"id": "seven"}, "seven"),
    ({"id": "x" * 256}, "x" * 256),
]


@pytest.mark.parametrize(("beer", "key"), KEYS)
def test_the_partition_key_is_the_id(beer: dict[str, Any], key: str) -> None:
    assert [record.key for record in parse_answer(as_json(beer)).records] == [key]


@pytest.mark.parametrize("beer_id", [None, True, 1.5, "", "x" * 257, "a\nb", "\ud800", [1], {"a": 1}])
def test_without_an_id_that_kinesis_takes_the_key_is_a_hash_of_the_beer(beer_id: Any) -> None:
    [record] = parse_answer(as_json({"id": beer_id})).records
    [again] = parse_answer(as_json({"id": beer_id})).records
    [other] = parse_answer(as_json({"id": beer_id, "name": "other"})).records
    assert len(record.key) == 64
    assert record.key == again.key != other.key


def test_a_lone_surrogate_travels_escaped() -> None:
    [record] = parse_answer(b'{"id": 1, "name": "\\ud800"}').records
    assert record.data == b'{"id":1,"name":"\\ud800"}'


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "name", "message"]), inner),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.binary() | jsons.map(as_json) | jsons.map(lambda value: as_json(value)[:-1]))
def test_any_answer_is_records_and_refusals_that_add_up(body: bytes) -> None:
    check(body)
