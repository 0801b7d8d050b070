"""Garbage collections that hold no request up: what lives longer than a few seconds is left out of them.

For a full collection Python goes through every container while all threads wait. With the histories of hundreds of
executions that takes a second or more, every few seconds.
"""

import gc
import time

# Cycles that live through one of the frequent collections are found by the next full one.
EVERY_SECONDS, FULL_EVERY = 5.0, 120


def collect_repeatedly() -> None:
    """Collect young objects and set aside those that stay; never returns."""
    while True:
        gc.unfreeze()
        gc.collect()
        for _ in range(FULL_EVERY):
            gc.freeze()
            time.sleep(EVERY_SECONDS)
            gc.collect(1)
