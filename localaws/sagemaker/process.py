"""One step's process: its own /opt/ml, a clean environment, a time limit, its log, and an end that always comes."""

import contextlib
import json
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.sagemaker import isolation, launch, relay
from localaws.sagemaker.isolation import MARK, ML
from localaws.sagemaker.sandbox import TEMPORARY, Spec

POLL_SECONDS = 0.01
REST_SECONDS = 2.0
DAY = 86_400.0
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
    cwd: str = "",
    limit_seconds: float = DAY,
    stop: Callable[[], bool] = lambda: False,
    port: int = 0,
    pass_fds: tuple[int, ...] = (),
    sealed: bool | None = None,
) -> Ended:
    """Run a container's command; output goes to `log`. Blocks until it and all that it started have ended.

    job: a folder with `ml`, which is the step's /opt/ml, and `scratch`, its temporary folder and its home.
    cwd: a container path; the temporary folder when empty. port: of the endpoint that a sealed step may connect to,
    at 127.0.0.1; 0 for none. pass_fds: file descriptors that the command inherits. sealed: overrides the level.
    Raises OSError when the step cannot be sealed.
    """
    is_sealed = isolation.level() == isolation.SEALED if sealed is None else sealed
    spec = _spec(command, environment, job, cwd, is_sealed, port)
    with log.open("ab") as output, launch.start(spec, output, pass_fds) as supervisor:
        ended = None
        try:
            ended = _wait(supervisor.control, port, time.monotonic() + limit_seconds, stop)
            return ended
        finally:
            supervisor.kill()
            # The supervisor of a sealed step reports its exit code when nothing is left of it.
            if not is_sealed or ended is None or ended.exit_code is None:
                _wait_for_the_rest(job)


def _spec(command: list[str], environment: dict[str, str], job: Path, cwd: str, sealed: bool, port: int) -> Spec:
    """The specification that sandbox.supervise reads."""
    command = [sys.executable if each in ("python", "python3") else each for each in command]
    variables = launch.variables(TEMPORARY if sealed else str(job / "scratch")) | environment
    folder = cwd or (TEMPORARY if sealed else str(job / "scratch"))
    if not sealed:
        place = str(job / "ml")
        command = [each.replace(ML, place) for each in command]
        variables = {name: value.replace(ML, place) for name, value in variables.items()}
        folder = folder.replace(ML, place)
    spec = {"command": command, "environment": variables | {MARK: str(job)}, "cwd": folder, "sealed": sealed}
    if sealed:
        spec |= {"port": port, **isolation.mounts(job)}
    return spec


def _wait(control: socket.socket, port: int, deadline: float, stop: Callable[[], bool]) -> Ended:
    """Read the supervisor's messages until the exit code, the deadline, or the stop."""
    with contextlib.ExitStack() as stack:
        for message, descriptors in _messages(control, deadline, stop):
            if "listening" in message:
                stack.enter_context(relay.forwarding(socket.socket(fileno=descriptors[0]), port))
            elif "error" in message:
                raise OSError(message["error"])
            elif "exit" in message:
                return Ended(message["exit"])
    if stop():
        return Ended(None, stopped=True)
    if time.monotonic() > deadline:
        return Ended(None, timed_out=True)
    # The supervisor itself was killed, as the system does when memory runs out.
    return Ended(128 + signal.SIGKILL)


def _messages(
    control: socket.socket, deadline: float, stop: Callable[[], bool]
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    buffer, poll = b"", select.poll()
    poll.register(control, select.POLLIN)
    while not stop() and time.monotonic() < deadline:
        if not poll.poll(POLL_SECONDS * 1000):
            continue
        received, descriptors, _, _ = socket.recv_fds(control, 65_536, 1)
        if not received:
            return
        *lines, buffer = (buffer + received).split(b"\n")
        for line in lines:
            yield json.loads(line), descriptors


def _wait_for_the_rest(job: Path) -> None:
    """The system ends a killed namespace in its own time; without one, what has left the group is killed here."""
    deadline = time.monotonic() + REST_SECONDS
    while isolation.sweep(job) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def last_lines(log: Path, count: int = 5) -> str:
    """The last lines of a log that are not empty, joined by ` | `; empty when there is none."""
    with contextlib.suppress(OSError), log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = [line.strip() for line in handle.read().decode(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line and not line.startswith("[localaws] ")][-count:])
    return ""
