"""One step's process: its own /opt/ml, a clean environment, a time limit, its log, and an end that always comes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localaws.sagemaker import isolation
from localaws.sagemaker.isolation import MARK, ML

POLL_SECONDS = 0.01
REST_SECONDS = 2.0
# How much of a log is read for the failure reason.
TAIL_BYTES = 8192


@dataclass(frozen=True)
class Ended:
    """How a process ended. exit_code is None when it was stopped or ran out of time."""

    exit_code: int | None
    timed_out: bool = False
    stopped: bool = False


def run(
    command: list[str],
    environment: dict[str, str],
    job: Path,
    log: Path,
    *,
    limit_seconds: float,
    stop: Callable[[], bool],
    pass_fds: tuple[int, ...] = (),
) -> Ended:
    """Run a container's command; output goes to `log`. Blocks until it and all that it started have ended.

    job: a folder with `ml`, which is the step's /opt/ml, and `scratch`, its temporary folder and its home.
    """
    level = isolation.level()
    command = [sys.executable if part in ("python", "python3") else part for part in command]
    surroundings = {**_surroundings(level, job), **environment}
    if level == "rewritten":
        command = [part.replace(ML, str(job / "ml")) for part in command]
        surroundings = {name: value.replace(ML, str(job / "ml")) for name, value in surroundings.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*isolation.enter(level, job), *command],
            env=surroundings | {MARK: str(job)},
            cwd=job / "scratch",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        try:
            return _wait(process, limit_seconds, stop)
        finally:
            _kill_group(process.pid)
            process.wait()
            _wait_for_the_rest(job)


def _surroundings(level: str, job: Path) -> dict[str, str]:
    """The whole environment of a step; nothing of ours is handed on, AWS's variables least of all."""
    scratch = str(job / "scratch") if level == "rewritten" else "/opt/tmp"
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _wait(process: "subprocess.Popen[bytes]", limit_seconds: float, stop: Callable[[], bool]) -> Ended:
    deadline = time.monotonic() + limit_seconds
    while process.poll() is None:
        if stop():
            return Ended(None, stopped=True)
        if time.monotonic() > deadline:
            return Ended(None, timed_out=True)
        time.sleep(POLL_SECONDS)
    code = process.returncode
    # As a shell and a container tell of a signal.
    return Ended(code if code >= 0 else 128 - code)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _wait_for_the_rest(job: Path) -> None:
    """The system ends a killed namespace in its own time; without one, what has left the group is killed here."""
    deadline = time.monotonic() + REST_SECONDS
    while isolation.sweep(job) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def last_lines(log: Path, count: int = 5) -> str:
    """The last lines of a log that say something, joined by ` | `; empty when there is none."""
    with contextlib.suppress(OSError), log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = [line.strip() for line in handle.read().decode(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-count:])
    return ""
