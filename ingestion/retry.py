"""Retry: a deadline, and exponential backoff with full jitter."""

import random
import time
from typing import Any


class Deadline:
    """A moment after which no attempt starts."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Sleep that long and return True; return False at once when the deadline comes first."""
        if seconds >= self.left():
            return False
        time.sleep(seconds)
        return True


def full_jitter(attempt: int, first: float, most: float) -> float:
    """Seconds to wait after this attempt (from 0): uniform in 0 .. min(most, first x 2^attempt).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0.0, min(most, first * 2.0**attempt))


def remaining_seconds(context: Any, otherwise: float) -> float:
    """Seconds left of this Lambda invocation; `otherwise` without a Lambda context (a test, a run by hand)."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return remaining() / 1000 if callable(remaining) else otherwise
