"""Crash points: a test kills this process at a named place with `LOCALAWS_CRASH_AT=job-uploaded` or `=job-uploaded:3`.

The number is the pass at which the process gets SIGKILL, as an out-of-memory killer sends it. `NAMES` lists the points.
"""

import itertools
import os
import signal

NAMES = (
    "execution-created",
    "step-begun",
    "job-recorded",
    "job-inputs",
    "job-ended",
    "job-uploaded",
    "job-finished",
    "cache-stored",
    "package-stored",
    "step-finished",
    "execution-finishing",
    "event-sending",
    "endpoint-updating",
    "endpoint-updated",
    "state-saving",
)
_passed = itertools.count(1)


def crashpoint(name: str) -> None:
    """Kill this process if the environment names this point. Raises ValueError for a name that is not listed."""
    if name not in NAMES:
        raise ValueError(f"{name!r} is not a crash point (have: {', '.join(NAMES)})")
    wanted, _, count = os.environ.get("LOCALAWS_CRASH_AT", "").partition(":")
    if wanted == name and next(_passed) == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
