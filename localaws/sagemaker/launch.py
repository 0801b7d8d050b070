"""How a step's supervisor starts: as a new interpreter, or forked from a server with the libraries loaded.

`LOCALAWS_COLD=1` loads nothing ahead and starts every step as a new interpreter. `LOCALAWS_PRELOAD=name,name` loads
further modules.
"""

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.sagemaker import sandbox
from localaws.sagemaker.forkserver import THREADS
from localaws.sagemaker.sandbox import Spec

COLD, PRELOAD, NAMESPACES = "LOCALAWS_COLD", "LOCALAWS_PRELOAD", "LOCALAWS_NAMESPACES"
MODULES = (
    *("numpy", "pandas", "scipy.stats", "joblib", "threadpoolctl"),
    *("sklearn.compose", "sklearn.ensemble", "sklearn.impute", "sklearn.linear_model", "sklearn.metrics"),
    *("sklearn.model_selection", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.tree"),
)
# Variables that an interpreter or a numerical library reads when it starts.
READ_AT_START = re.compile(
    r"PYTHON(?!PATH$|UNBUFFERED$|DONTWRITEBYTECODE$)|LD_|OMP_|KMP_|GOMP_|OPENBLAS_|MKL_|BLIS_|NUMEXPR_|NPY_|MALLOC_"
)
ROOT = str(Path(__file__).parents[2])
# What lies there is never loaded by the server.
IMAGE_PACKAGES = str(Path(__file__).parent / "image_packages")
# How long the server may load its libraries before a step starts without it.
LOADING_SECONDS, END_SECONDS = 60.0, 5.0
INTERPRETER = """
import sys
sys.path.insert(0, sys.argv[2])
from localaws.sagemaker import sandbox
sandbox.main(int(sys.argv[1]))
"""
FORKSERVER = """
import sys
sys.path.insert(1, sys.argv[2])
from localaws.sagemaker import forkserver
forkserver.serve(int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","))
"""


# A login shell begins with the machine's own PATH.
PROFILE = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'


def variables(temporary: str) -> dict[str, str]:
    """The environment that every step has; nothing of the endpoint's is passed on, AWS's variables least of all."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": temporary,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # There is no package index within reach; pip must fail at once.
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@dataclass(frozen=True)
class Supervisor:
    """A supervisor under way. pid: also its process group. process: None for one that is forked from the server."""

    control: socket.socket
    pid: int
    process: "subprocess.Popen[bytes] | None"

    def kill(self) -> None:
        """Kill what is left of it and wait for its end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
        else:
            # Its end closes the socket.
            self.control.settimeout(END_SECONDS)
            with contextlib.suppress(OSError):
                while self.control.recv(65_536):
                    pass


@contextlib.contextmanager
def start(spec: Spec, output: Any, pass_fds: tuple[int, ...]) -> Iterator[Supervisor]:
    """Start the supervisor of a step. output: its log, open. pass_fds: descriptors that the command inherits."""
    supervisor = _fork(spec, output) if not pass_fds and can_be_forked(spec) else None
    supervisor = supervisor or _spawn(spec, output, pass_fds)
    with supervisor.control:
        yield supervisor


def _spawn(spec: Spec, output: Any, pass_fds: tuple[int, ...]) -> Supervisor:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", INTERPRETER, str(theirs.fileno()), ROOT],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(theirs.fileno(), *pass_fds),
        )
    with contextlib.suppress(BrokenPipeError):
        ours.sendall(json.dumps(spec).encode() + b"\n")
    return Supervisor(ours, process.pid, process)


def _fork(spec: Spec, output: Any) -> Supervisor | None:
    """The supervisor forked from the server; None when the server has died or does not answer."""
    ours, theirs = socket.socketpair()
    with theirs:
        if not server().fork(theirs, output):
            ours.close()
            return None
    ours.settimeout(LOADING_SECONDS)
    try:
        line = b""
        while not line.endswith(b"\n"):
            chunk = ours.recv(1)
            if not chunk:
                raise ConnectionResetError
            line += chunk
        ours.sendall(json.dumps(spec).encode() + b"\n")
    except OSError:
        ours.close()
        return None
    ours.settimeout(None)
    return Supervisor(ours, json.loads(line)["pid"], None)


def can_be_forked(spec: Spec) -> bool:
    """Whether a step can be forked: a sealed Python script whose environment changes nothing that is loaded."""
    command, environment = spec["command"], spec["environment"]
    path = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    return (
        os.environ.get(COLD) != "1"
        and bool(spec["sealed"])
        and len(command) > 1
        and command[0] == sys.executable
        and command[1].endswith(".py")
        and not any(READ_AT_START.match(name) for name in environment)
        and all(each.startswith((sandbox.ML, IMAGE_PACKAGES)) for each in path)
    )


class Forkserver:
    """The endpoint's side of the server, which is started when it is first needed and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def prepare(self) -> None:
        """Start the server if it does not run: it loads the libraries meanwhile."""
        with self._lock:
            if self._socket is None:
                self._socket = _start()

    def fork(self, control: socket.socket, output: Any) -> bool:
        """Hand the server a step's control socket and log; False when it cannot take them."""
        self.prepare()
        with self._lock:
            assert self._socket is not None
            try:
                socket.send_fds(self._socket, [b"f"], [control.fileno(), output.fileno()])
            except OSError:
                self._socket.close()
                self._socket = None
                return False
        return True

    def close(self) -> None:
        """End the server; steps under way end with it."""
        with self._lock, contextlib.suppress(AttributeError):
            self._socket.close()  # type: ignore[union-attr]
            self._socket = None


@functools.cache
def server() -> Forkserver:
    """The one server of this process."""
    return Forkserver()


def _start() -> socket.socket:
    ours, theirs = socket.socketpair()
    more = [each for each in os.environ.get(PRELOAD, "").split(",") if each]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", FORKSERVER, str(theirs.fileno()), ROOT, ",".join([*MODULES, *more])],
            env=variables("/tmp") | dict.fromkeys(THREADS, "1"),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
        )
    # It ends when the socket is closed; somebody has to reap it.
    threading.Thread(target=process.wait, name="forkserver", daemon=True).start()
    return ours


def prepare() -> None:
    """Start the server if steps can be forked from it here."""
    if sys.platform.startswith("linux") and os.environ.get(COLD) != "1" and os.environ.get(NAMESPACES) != "0":
        server().prepare()
