"""Places at which a test may have this process killed: `LOCALAWS_CRASH_AT=job-uploaded` or `=job-uploaded:3`.

A point is passed without a cost unless it is the one that the variable names; the number says at which passing the
process dies (SIGKILL, as a power cut or an out-of-memory killer would end it). `NAMES` lists every point.
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
    "cache-kept",
    "package-stored",
    "step-finished",
    "execution-finishing",
    "event-sending",
    "state-saving",
    "state-replacing",
)
_passed = itertools.count(1)


def crashpoint(name: str) -> None:
    """Die here when asked to. Raises ValueError for a name that is not listed."""
    if name not in NAMES:
        raise ValueError(f"{name!r} is not a crash point (have: {', '.join(NAMES)})")
    wanted, _, count = os.environ.get("LOCALAWS_CRASH_AT", "").partition(":")
    if wanted == name and next(_passed) == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
