"""How far a step is isolated from this machine: one of two levels.

    sealed    /opt/ml is its folder; all else is read-only; the credentials in the home directory, the workspace and
              other jobs are hidden; /tmp and the processes are its own; of the network there is the endpoint alone
    plain     an ordinary process; every `/opt/ml` in its arguments and environment is rewritten to its folder

Sealed needs Linux 5.12 with user namespaces. It keeps a step from accidents; it is no defence against code that is
written to break out. `LOCALAWS_NAMESPACES=0` asks for plain.
"""

import contextlib
import functools
import json
import os
import pwd
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from localaws.sagemaker import launch

ML = "/opt/ml"
SEALED, PLAIN = "sealed", "plain"
TRIAL_SECONDS = 10.0
# Marks every process of a job, so that those outside a namespace are found, too.
MARK = "LOCALAWS_JOB"
# What a step never needs, below the home directory.
SECRETS = [
    ".ssh",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".gnupg",
    ".netrc",
    ".pypirc",
    ".git-credentials",
    ".password-store",
    ".config/gcloud",
    ".config/gh",
]


def level() -> str:
    """The level that steps run at here."""
    return PLAIN if plain_because() else SEALED


@functools.cache
def plain_because() -> str:
    """Why steps cannot be sealed here, found by trying; empty when they can."""
    if os.environ.get("LOCALAWS_NAMESPACES") == "0":
        return "LOCALAWS_NAMESPACES is 0"
    if not sys.platform.startswith("linux"):
        return "namespaces are Linux's"
    answer: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "jobs", "trial")
        for name in ("ml", "scratch"):
            (job / name).mkdir(parents=True)
        command = [sys.executable, "-I", "-S", "-c", f"open('{ML}/written', 'w').close()"]
        spec = {"command": command, "environment": {}, "cwd": ML, "sealed": True, "port": 0, **mounts(job)}
        with (job / "log").open("ab") as log, launch.start(spec, log, ()) as supervisor:
            supervisor.control.settimeout(TRIAL_SECONDS)
            with contextlib.suppress(OSError), supervisor.control.makefile() as lines:
                answer = json.loads(lines.readline() or "{}")
            supervisor.kill()
    return "" if answer.get("exit") == 0 else str(answer.get("error", "a trial failed"))


def describe() -> str:
    """The level, and why it is not sealed."""
    reason = plain_because()
    return f"{PLAIN} ({reason}): steps can read and write what you can" if reason else SEALED


def mounts(job: Path) -> dict[str, Any]:
    """What sandbox.supervise needs to seal a job whose folder is `job`."""
    (job / "mnt").mkdir(exist_ok=True)
    return {
        "ml": str(job / "ml"),
        "scratch": str(job / "scratch"),
        "staging": str(job / "mnt"),
        "visible": visible(job),
        "hidden": hidden(job),
    }


def visible(job: Path) -> list[str]:
    """What lies below /tmp, which a job has of its own, and is needed all the same: what it runs with."""
    needed = [*_program(), job.parent.parent / "packages"]
    found = {each.resolve() for each in needed if each.exists() and each.resolve().is_relative_to("/tmp")}
    # A folder shows what lies in it.
    return sorted(str(each) for each in found if not found & {*each.parents})


def hidden(job: Path) -> list[str]:
    """The paths that a sealed job does not see, those that hold what it runs with left out."""
    # The endpoint's own HOME is a folder of the workspace.
    homes = {Path.home(), Path(pwd.getpwuid(os.getuid()).pw_dir)}
    candidates = [home / name for home in sorted(homes) for name in SECRETS] + [job.parent]
    for workspace in job.parents:
        if (workspace / "workspace.json").exists():
            candidates += [each for each in workspace.iterdir() if each.name != "packages"]
    return [str(path) for path in candidates if not holds_program(path)]


def holds_program(folder: Path) -> bool:
    """Whether the interpreter, its packages or this package lie in a folder."""
    resolved = folder.resolve()
    return any(each.is_relative_to(resolved) for each in _resolved_program())


def _program() -> list[Path]:
    return [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1], *map(Path, _added_packages())]


@functools.cache
def _resolved_program() -> list[Path]:
    return [each.resolve() for each in _program()]


@functools.cache
def _added_packages() -> list[str]:
    """The folders of packages that a .pth file of the interpreter adds to its own."""
    return [each for each in sys.path if each.endswith(("site-packages", "dist-packages")) and os.path.isdir(each)]


def sweep(folder: Path) -> int:
    """Kill what is left of jobs in or below `folder`, however it detached itself; returns the number of processes.

    Sees only processes of this user on a system with /proc; elsewhere there is nothing to do.
    """
    mark = f"{MARK}={folder}".encode()
    killed = 0
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            values = entry.read_bytes().split(b"\0")
            if any(value == mark or value.startswith(mark + b"/") for value in values):
                os.kill(int(entry.parent.name), signal.SIGKILL)
                killed += 1
    return killed
