"""The endpoint's process: MiniStack with our components, on 127.0.0.1, all state in one workspace.

run as: python -m localaws.server --workspace DIR [--port N] [--extension MODULE:CLASS] [--follow-parent]

It holds a lock on the workspace, writes `endpoint.json` when it answers, and removes it when it stops. With
--follow-parent it stops when its standard input closes, so it never outlives the command that started it.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import IO, Any, NoReturn

from localaws import environment
from localaws.clients import REGION
from localaws.errors import ENVIRONMENT, ExpectedError, exit_code
from localaws.log_limit import LimitedLog
from localaws.ministack.objects import check_code
from localaws.sagemaker import isolation
from localaws.security import credentials
from localaws.security.guard import Guard
from localaws.security.keys import Keys
from localaws.workspace import FORMAT, TIME_SCALE, Workspace, take_lock

STOP_SECONDS = 10
ACCOUNT = "000000000000"
# Connections that may wait to be accepted.
WAITING = 128
# Python's default of 5 ms makes the loop wait that long for each other thread after every system call: with hundreds
# of executions a request would take seconds.
SWITCH_SECONDS = 0.0005


def variables(workspace: Workspace, port: int, time_scale: float) -> dict[str, str]:
    """The environment of MiniStack and of the Lambdas it starts: state in the workspace, loopback only."""
    return environment.clean(workspace.scratch) | {
        "GATEWAY_PORT": str(port),
        # Ends what Lambdas have started.
        isolation.MARK: str(workspace.scratch),
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        **credentials.load(workspace.credentials).variables(),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(workspace.state),
        "S3_PERSIST": "1",
        # `objects` stores them instead; MiniStack makes an empty folder per bucket here.
        "S3_DATA_DIR": str(workspace.scratch / "buckets"),
        "TMPDIR": str(workspace.scratch),
        # Arrow's own allocator crashes when the thread that imported pyarrow has ended.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "SFN_WAIT_SCALE": str(time_scale),
        "LOG_LEVEL": os.environ.get("LOCALAWS_LOG_LEVEL", "WARNING"),
        # Enforce IAM policies; a run without them needs no rights.
        "AUTH": os.environ.get("LOCALAWS_AUTH", "false"),
        # Listeners and helpers of services that are not used here.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{workspace.scratch}/no-docker",
    }


def lock(workspace: Workspace) -> IO[str]:
    """The workspace's lock: freed by the system when this process ends, however it ends."""
    handle = take_lock(workspace)
    # The number in endpoint.json may be another process's by now; this one is the holder's.
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one."""
    # asyncio sends short answers at once only where the socket says that it is TCP's.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise ExpectedError(
            f"port {port} on 127.0.0.1 cannot be used: {error}",
            where="--port",
            hint="leave --port away to take a free one",
            code=ENVIRONMENT,
        ) from error
    listener.listen(WAITING)
    listener.setblocking(False)
    return listener


def preferred_port(workspace: Workspace) -> int:
    """The port of the last run when it is free, so that addresses stored in the state stay valid."""
    last = workspace.last_port("endpoint")
    with contextlib.suppress(ExpectedError), listen(last) as probe:
        return int(probe.getsockname()[1])
    return 0


def serve(
    workspace: Workspace, port: int, time_scale: float, follow_parent: bool, extensions: tuple[str, ...] = ()
) -> None:
    """Run the endpoint until SIGTERM, SIGINT or, with follow_parent, the end of standard input."""
    workspace.create()
    held = lock(workspace)
    log = sys.stderr = LimitedLog(sys.stderr)
    sys.setswitchinterval(SWITCH_SECONDS)
    _allow_descriptors()
    isolation.sweep(workspace.scratch)
    workspace.prepare()
    check_code(workspace.state / "lambda-blobs")
    listener = listen(port or preferred_port(workspace))
    port = listener.getsockname()[1]
    found = variables(workspace, port, time_scale)
    os.environ.clear()
    os.environ.update(found)

    # MiniStack would import Docker's client, a tenth of the start's time; nothing here has a use for it.
    sys.modules["docker"] = None  # type: ignore[assignment]
    # MiniStack reads its environment when it is imported.
    from localaws.components import Components

    components = Components(workspace, time_scale, extensions)
    try:
        asyncio.run(_run(components, listener, workspace, follow_parent, extensions))
    finally:
        components.close()
        isolation.sweep(workspace.scratch)
        workspace.endpoint.unlink(missing_ok=True)
        log.finish()
        held.close()


def _allow_descriptors() -> None:
    """Raise the number of open files to what the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS refuses "unlimited".
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(
    components: Any,
    listener: socket.socket,
    workspace: Workspace,
    follow_parent: bool,
    extensions: tuple[str, ...],
) -> None:
    from localaws.http_server import Server

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if follow_parent:
        # A thread, because standard input may be any kind of file; it ends with the process.
        watch = threading.Thread(target=_wait_for_parent, args=(loop, stop), daemon=True)
        watch.start()
    port = listener.getsockname()[1]
    guard = Guard(components.app, Keys(credentials.load(workspace.credentials), workspace.paste_line()), port)
    server = Server(guard, listener)
    try:
        await server.start()
        listener.listen(WAITING)
        await components.start()
        # What is loaded by now stays: a collection of it would hold up every request.
        gc.collect()
        gc.freeze()
        endpoint = {
            "format": FORMAT,
            "pid": os.getpid(),
            "url": f"http://127.0.0.1:{port}",
            "port": port,
            "extensions": components.addresses,
            "extension_classes": list(extensions),
            "detached": not follow_parent,
        }
        workspace.write_endpoint(endpoint)
        print(json.dumps(endpoint), flush=True)
        components.import_ahead()
        await stop.wait()
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.stop(), STOP_SECONDS)


def _wait_for_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    sys.stdin.read()
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


def main() -> NoReturn:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m localaws.server", description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path(".local"))
    parser.add_argument("--port", type=int, default=0, help="0 takes the workspace's last port, or a free one")
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE, help="local seconds per AWS second of waiting")
    parser.add_argument(
        "--extension", action="append", default=[], metavar="MODULE:CLASS", help="see localaws.extensions"
    )
    parser.add_argument("--follow-parent", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    serve(workspace, arguments.port, arguments.time_scale, arguments.follow_parent, tuple(arguments.extension))
    sys.stderr.flush()
    # The interpreter's own end takes three times as long as all the above, and prints what DuckDB's functions leak.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(exit_code(main))
