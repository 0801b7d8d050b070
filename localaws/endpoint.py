"""Start, find and stop the local endpoint of a workspace, from another process."""

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localaws.errors import ENVIRONMENT, NOT_FOUND, WRONG_USAGE, ExpectedError
from localaws.workspace import TIME_SCALE, Workspace, take_lock

START_SECONDS = 30
STOP_SECONDS = 20


class Endpoint:
    """A running endpoint. url: for every AWS client. addresses: base URLs of its extensions, by name."""

    def __init__(self, workspace: Workspace, told: dict[str, Any]) -> None:
        self.workspace = workspace
        self.url: str = told["url"]
        self.addresses: dict[str, str] = told["extensions"]
        self.pid: int = told["pid"]
        self.detached: bool = told["detached"]

    def control(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Ask our own parts something that AWS has no call for (`drain`, `status`, `faults`, an extension's)."""
        request = urllib.request.Request(
            f"{self.url}/_localaws/{name}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except urllib.error.HTTPError as refusal:
            with refusal:
                why = refusal.read().decode(errors="replace")
            raise ExpectedError(
                f"the local endpoint refuses {name}: {why}",
                where=request.full_url,
                hint="see its log",
                code=WRONG_USAGE,
            ) from refusal
        except (OSError, ValueError) as error:
            raise gone(self.workspace) from error

    def environment(self) -> dict[str, str]:
        """The variables that point the AWS CLI and boto3 at this endpoint."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/_localaws/status", timeout=5) as answer:
                return bool(json.load(answer).get("pid") == self.pid)
        except (OSError, ValueError):
            return False


def gone(workspace: Workspace) -> ExpectedError:
    """The error for an endpoint that has stopped answering."""
    return ExpectedError(
        "the local endpoint does not answer any more",
        where=str(workspace.log),
        hint="run the same command again; what was stored in the workspace is still there",
        code=ENVIRONMENT,
    )


def find(workspace: Workspace) -> Endpoint | None:
    """The endpoint that answers in this workspace, or None."""
    told = workspace.read_endpoint()
    if told is None:
        return None
    endpoint = Endpoint(workspace, told)
    return endpoint if endpoint.alive() else None


def require(workspace: Workspace) -> Endpoint:
    """The endpoint that answers in this workspace; ExpectedError when there is none."""
    endpoint = find(workspace)
    if endpoint is None:
        raise ExpectedError(
            "no local endpoint is running",
            where=str(workspace.root),
            hint=f"python -m localaws up --workspace {shown(workspace.root)}",
            code=NOT_FOUND,
        )
    return endpoint


def start(
    workspace: Workspace,
    *,
    port: int = 0,
    time_scale: float = TIME_SCALE,
    detached: bool,
    extensions: Sequence[str] = (),
) -> "tuple[Endpoint, subprocess.Popen[str]]":
    """Start an endpoint and wait until it answers.

    detached: it goes on after this process; otherwise it stops when this process ends, however that ends.
    extensions: `module:Class` each, beside those that the workspace was started with before.
    """
    workspace.create()
    refuse_if_held(workspace)
    command = [sys.executable, "-m", "localaws.server", "--workspace", str(workspace.root)]
    command += ["--port", str(port), "--time-scale", str(time_scale)]
    for extension in dict.fromkeys([*workspace.extensions(), *extensions]):
        command += ["--extension", extension]
    if not detached:
        command.append("--follow-parent")
    with workspace.log.open("a") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    return _wait_until_ready(workspace, process), process


def _wait_until_ready(workspace: Workspace, process: "subprocess.Popen[str]") -> Endpoint:
    assert process.stdout is not None
    size = workspace.log.stat().st_size
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    if line:
        return Endpoint(workspace, json.loads(line))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    process.wait()
    said = workspace.log.read_text(errors="replace")[max(0, size - 4096) :].strip().splitlines()
    for number, text in enumerate(said):
        if text.startswith("Error: ") and len(said) >= number + 3:
            # The server's own three lines.
            what, where, hint = (each.partition(": ")[2] for each in said[number : number + 3])
            raise ExpectedError(what, where=where, hint=hint, code=process.returncode or ENVIRONMENT)
    last = said[-1] if said else f"exit code {process.returncode}"
    raise ExpectedError(
        f"the local endpoint did not start: {last}",
        where=str(workspace.log),
        hint="read that file; pip install -e '.[local]' repairs a broken environment",
        code=ENVIRONMENT,
    )


def refuse_if_held(workspace: Workspace) -> None:
    """Raise ExpectedError when another endpoint holds the workspace's lock."""
    take_lock(workspace).close()


def stop(workspace: Workspace) -> bool:
    """Stop the endpoint of a workspace; False when none was running."""
    told = workspace.read_endpoint()
    if told is None or not _is_ours(told["pid"], workspace):
        workspace.endpoint.unlink(missing_ok=True)
        return False
    os.kill(told["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not _is_ours(told["pid"], workspace):
            return True
        time.sleep(0.02)
    os.kill(told["pid"], signal.SIGKILL)
    workspace.endpoint.unlink(missing_ok=True)
    return True


def _is_ours(pid: int, workspace: Workspace) -> bool:
    """Whether this process holds the lock; a process id alone may have been given to somebody else since."""
    with contextlib.suppress(OSError, ValueError):
        if int(workspace.lock.read_text() or 0) != pid:
            return False
    try:
        refuse_if_held(workspace)
    except ExpectedError:
        return True
    return False


@contextmanager
def running(
    workspace: Workspace,
    *,
    keep: bool,
    port: int = 0,
    time_scale: float = TIME_SCALE,
    extensions: Sequence[str] = (),
) -> Iterator[Endpoint]:
    """The workspace's endpoint: the one that is up, or a new one that stops at the end unless `keep`."""
    endpoint = find(workspace) if workspace.root.exists() else None
    if endpoint is not None and endpoint.detached:
        yield endpoint
        return
    endpoint, process = start(workspace, port=port, time_scale=time_scale, detached=keep, extensions=extensions)
    try:
        yield endpoint
    finally:
        if not keep:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def exports(variables: dict[str, str]) -> str:
    """Variables as lines for a shell: `export NAME=VALUE`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def shown(path: Path) -> str:
    """A path as a person would type it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def remove(workspace: Workspace) -> None:
    """Delete everything in a workspace; its endpoint must be down."""
    workspace.create()
    refuse_if_held(workspace)
    shutil.rmtree(workspace.root)
