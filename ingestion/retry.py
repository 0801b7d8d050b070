"""How long to go on trying: a deadline, and waits between tries out of step with anybody else's."""

import random
import time
from typing import Any


class Deadline:
    """A moment after which nothing is begun any more."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Sleep that long and return True, or return False at once when there is not so much time."""
        if seconds >= self.left():
            return False
        time.sleep(seconds)
        return True


def full_jitter(attempt: int, first: float, most: float) -> float:
    """Seconds to wait after this attempt (from 0): uniform in 0 .. min(most, first x 2^attempt).

    AWS Architecture Blog, "Exponential Backoff And Jitter": of its variants the one with the least work in
    all.
    """
    return random.uniform(0.0, min(most, first * 2.0**attempt))


def remaining_seconds(context: Any, otherwise: float) -> float:
    """What Lambda leaves of this invocation, or `otherwise` where nobody says (a test, a run by hand)."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return remaining() / 1000 if callable(remaining) else otherwise
