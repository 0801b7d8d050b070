"""One step's process: its own /opt/ml, a clean environment, a time limit, its log, and an end that always comes.

Where the system allows it, the step runs in a mount namespace in which its folder *is* /opt/ml. Elsewhere (macOS,
containers without user namespaces) every `/opt/ml` in its arguments and environment is rewritten to the folder.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ML = "/opt/ml"
POLL_SECONDS = 0.02
# What an uploaded log line may at most be, and how much of a log is read for the failure reason.
TAIL_BYTES = 8192

# Runs inside the new namespace: $1 is the job's folder, the rest is the command. /opt may lack ml, so it is covered.
ENTER = 'mount -t tmpfs none /opt && mkdir /opt/ml && mount --bind "$1" /opt/ml && shift && exec "$@"'


@dataclass(frozen=True)
class Ended:
    """How a process ended. exit_code is None when it was stopped or ran out of time."""

    exit_code: int | None
    timed_out: bool = False
    stopped: bool = False


@functools.cache
def namespaces() -> bool:
    """Whether this system lets us give a step an /opt/ml of its own; tried once."""
    if os.environ.get("TAPLINE_NAMESPACES") == "0" or not shutil.which("unshare"):
        return False
    if any(Path(prefix).resolve().is_relative_to("/opt") for prefix in (sys.prefix, sys.base_prefix)):
        # Covering /opt would hide the interpreter itself.
        return False
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError, subprocess.TimeoutExpired):
        probe = [*_enter(Path(folder)), sys.executable, "-S", "-c", ""]
        return subprocess.run(probe, capture_output=True, timeout=10).returncode == 0
    return False


def _enter(folder: Path) -> list[str]:
    # --kill-child ends the step when its keeper dies; -p gives it a process space that goes with it.
    return ["unshare", "-r", "-m", "-p", "-f", "--kill-child", "sh", "-c", ENTER, "step", str(folder)]


def run(
    command: list[str],
    environment: dict[str, str],
    folder: Path,
    log: Path,
    *,
    limit_seconds: float,
    stop: threading.Event,
) -> Ended:
    """Run a container's command with `folder` as its /opt/ml; output goes to `log`. Blocks until it has ended."""
    command = [sys.executable if part in ("python", "python3") else part for part in command]
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    surroundings = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    if namespaces():
        command = [*_enter(folder), *command]
    else:
        command = [part.replace(ML, str(folder)) for part in command]
        surroundings = {name: value.replace(ML, str(folder)) for name, value in surroundings.items()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=surroundings,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return _wait(process, limit_seconds, stop)
        finally:
            # Whatever the step left behind in its group goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait(process: "subprocess.Popen[bytes]", limit_seconds: float, stop: threading.Event) -> Ended:
    deadline = time.monotonic() + limit_seconds
    while process.poll() is None:
        timed_out = time.monotonic() > deadline
        if timed_out or stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Ended(None, timed_out=timed_out, stopped=not timed_out)
        time.sleep(POLL_SECONDS)
    return Ended(process.returncode)


def last_lines(log: Path, count: int = 5) -> str:
    """The last lines of a log that say something, joined by ` | `; empty when there is none."""
    with contextlib.suppress(OSError), log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = [line.strip() for line in handle.read().decode(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-count:])
    return ""
