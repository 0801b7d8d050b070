"""Start, find and stop the local endpoint of a workspace, from another process."""

import contextlib
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from localaws import environment
from localaws.clients import REGION
from localaws.errors import ENVIRONMENT, NOT_FOUND, WRONG_USAGE, ExpectedError, quoted
from localaws.security import credentials, sessions
from localaws.workspace import TIME_SCALE, Workspace, take_lock

START_SECONDS = 30
STOP_SECONDS = 20
KILL_SECONDS = 5
# The role of programs that run here with the printed variables.
DEVELOPER = "arn:aws:iam::000000000000:role/LocalDeveloper"
# Loopback is reached directly, whatever proxy the user has configured.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Endpoint:
    """A running endpoint.

    url: for every AWS client. credentials: the workspace's key pair. addresses: base URLs of its extensions, by name.
    detached: it runs on when the process that started it ends.
    """

    def __init__(self, workspace: Workspace, described: dict[str, Any]) -> None:
        self.workspace = workspace
        self.url: str = described["url"]
        self.addresses: dict[str, str] = described["extensions"]
        self.pid: int = described["pid"]
        self.detached: bool = described["detached"]
        self.credentials = credentials.load(workspace.credentials)

    def control(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a command that AWS has no call for (`drain`, `status`, `faults`, an extension's); returns its answer."""
        request = self._request(name, json.dumps(arguments).encode())
        try:
            with _direct.open(request, timeout=120) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except urllib.error.HTTPError as refusal:
            with refusal:
                reason = refusal.read().decode(errors="replace")
            raise ExpectedError(
                f"the local endpoint refuses {name}: {reason}",
                where=request.full_url,
                hint=f"cat {quoted(self.workspace.log)}",
                code=WRONG_USAGE,
            ) from refusal
        except (OSError, ValueError) as error:
            raise gone(self.workspace) from error

    def variables(self) -> dict[str, str]:
        """The environment variables that point the AWS CLI and the SDKs at this endpoint, with a role's session."""
        session = sessions.mint(self.credentials, DEVELOPER, "localaws")
        region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        return {"AWS_ENDPOINT_URL": self.url, **region, **session.variables()}

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            with _direct.open(self._request("status", None), timeout=5) as answer:
                return bool(json.load(answer).get("pid") == self.pid)
        except (OSError, ValueError):
            return False

    def _request(self, name: str, body: bytes | None) -> urllib.request.Request:
        headers = {"Content-Type": "application/json", credentials.TOKEN_HEADER: self.credentials.control_token()}
        return urllib.request.Request(f"{self.url}/_localaws/{name}", data=body, headers=headers)


def gone(workspace: Workspace) -> ExpectedError:
    """The error for an endpoint that has stopped answering."""
    return ExpectedError(
        "the local endpoint no longer answers",
        where=str(workspace.log),
        hint="run the same command again; what was stored in the workspace is still there",
        code=ENVIRONMENT,
    )


def find(workspace: Workspace) -> Endpoint | None:
    """The endpoint that answers in this workspace, or None."""
    described = workspace.read_endpoint()
    if described is None:
        return None
    endpoint = Endpoint(workspace, described)
    return endpoint if endpoint.alive() else None


def require(workspace: Workspace) -> Endpoint:
    """The endpoint that answers in this workspace; ExpectedError when there is none."""
    endpoint = find(workspace)
    if endpoint is None:
        raise ExpectedError(
            "no local endpoint is running",
            where=str(workspace.root),
            hint=f"python -m localaws up --workspace {quoted(workspace.root)}",
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
    logged = workspace.log.stat().st_size if workspace.log.exists() else 0
    with workspace.log.open("a") as log:
        process = subprocess.Popen(
            command,
            env=environment.clean(workspace.scratch),
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    return _wait_until_ready(workspace, process, logged), process


def _wait_until_ready(workspace: Workspace, process: "subprocess.Popen[str]", logged: int) -> Endpoint:
    """The endpoint once it answers. logged: the log's size in bytes before the start; what follows is this start's."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    process.stdout.close()
    if line:
        return Endpoint(workspace, json.loads(line))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    process.wait()
    lines = workspace.log.read_bytes()[logged:].decode(errors="replace").strip().splitlines()
    for number, text in enumerate(lines):
        if text.startswith("Error: ") and len(lines) >= number + 3:
            # The server's own three lines.
            what, where, hint = (each.partition(": ")[2] for each in lines[number : number + 3])
            raise ExpectedError(what, where=where, hint=hint, code=process.returncode or ENVIRONMENT)
    silent = f"exit code {process.returncode}" if ready else f"no answer within {START_SECONDS} s"
    last = lines[-1] if lines else silent
    raise ExpectedError(
        f"the local endpoint did not start: {last}",
        where=str(workspace.log),
        hint=f"cat {quoted(workspace.log)}",
        code=ENVIRONMENT,
    )


def refuse_if_held(workspace: Workspace) -> None:
    """Raise ExpectedError when another endpoint holds the workspace's lock."""
    take_lock(workspace).close()


def stop(workspace: Workspace) -> bool:
    """Stop the endpoint of a workspace and wait until its process has ended; False when none was running."""
    pid = _holder(workspace)
    if pid is None:
        # A file of that name in a folder that is no workspace is somebody's.
        if workspace.read_endpoint() is not None:
            workspace.endpoint.unlink(missing_ok=True)
        return False
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if _holder(workspace) != pid:
                workspace.endpoint.unlink(missing_ok=True)
                return True
            time.sleep(0.02)
    raise ExpectedError(
        f"the local endpoint, process {pid}, does not end",
        where=str(workspace.root),
        hint=f"kill -9 {pid}",
        code=ENVIRONMENT,
    )


def _holder(workspace: Workspace) -> int | None:
    """The process that holds the workspace's lock. A process id alone may belong to another program by now."""
    if not workspace.lock.exists():
        return None
    try:
        refuse_if_held(workspace)
    except ExpectedError:
        with contextlib.suppress(OSError, ValueError):
            return int(workspace.lock.read_text())
        described = workspace.read_endpoint()
        return int(described["pid"]) if described else None
    return None


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


def remove(workspace: Workspace) -> None:
    """Delete a workspace; its endpoint must be down. ExpectedError for a folder that holds anything else."""
    workspace.refuse_foreign()
    refuse_if_held(workspace)
    workspace.delete()
