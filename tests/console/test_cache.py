"""The cache in front of AWS: a bounded memory that answers at once and reads again behind the reader's back."""

import math
import time

import pytest

from console.cache import Cache


def test_a_fresh_value_is_not_read_again_and_an_older_one_is_answered_while_it_is() -> None:
    cache, reads = Cache(), iter(range(10))
    assert cache.get("a", lambda: next(reads)).value == 0
    assert cache.get("a", lambda: next(reads), fresh=10).value == 0
    assert cache.get("a", lambda: next(reads), fresh=0).value == 0
    deadline = time.monotonic() + 5
    while cache.get("a", lambda: next(reads), fresh=10).value == 0:
        assert time.monotonic() < deadline
    assert cache.get("a", lambda: next(reads), fresh=10).value == 1


def test_it_holds_no_more_than_its_bound_and_forgets_what_was_not_used_longest() -> None:
    cache = Cache(entries=2)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda key=key: key.upper(), math.inf)
    assert cache.get("a", lambda: "read again", math.inf).value == "A"
    assert cache.get("b", lambda: "read again", math.inf).value == "read again"


def test_a_first_read_that_fails_is_the_readers_error_and_a_refresh_that_fails_leaves_the_old_value() -> None:
    cache = Cache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    cache.get("a", lambda: "old")
    assert cache.get("a", lambda: 1 // 0, fresh=0).value == "old"
    assert cache.get("a", lambda: "old", fresh=10).value == "old"


def test_what_is_not_there_any_more_is_not_answered_any_more() -> None:
    cache = Cache()
    cache.get("a", lambda: "old")
    deadline = time.monotonic() + 5
    with pytest.raises(KeyError):
        while time.monotonic() < deadline:
            cache.get("a", lambda: {}["a"], fresh=0)


def test_a_change_forgets_everything() -> None:
    cache = Cache()
    cache.get("a", lambda: 1, math.inf)
    cache.forget()
    assert cache.get("a", lambda: 2, math.inf).value == 2
