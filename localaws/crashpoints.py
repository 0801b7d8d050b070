"""Crash points: a test kills this process at a named place with `LOCALAWS_CRASH_AT=job-uploaded` or `=job-uploaded:3`.

The number is the pass at which the process gets SIGKILL, as an out-of-memory killer sends it.
"""

import itertools
import os
import signal

_passed = itertools.count(1)


def crashpoint(name: str) -> None:
    """Kill this process if the environment names this point."""
    wanted, _, count = os.environ.get("LOCALAWS_CRASH_AT", "").partition(":")
    if wanted == name and next(_passed) == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
