"""The console for any SageMaker pipeline, on 127.0.0.1: `python -m console`.

It reads through boto3: an account by the usual configuration, or the endpoint that AWS_ENDPOINT_URL names. It changes
nothing unless --allow-changes is given.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from console.plugin import Plugin

DEFAULT_PORT = 8350


def arguments() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="python -m console", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    parser.add_argument("--region", help="AWS region (default: the configured one)")
    return parser


def add_flags(parser: argparse._ActionsContainer) -> None:
    """The flags that a project's own console command has too."""
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"port on 127.0.0.1 ({DEFAULT_PORT}; 0: a free one)"
    )
    parser.add_argument("--allow-changes", action="store_true", help="let pages start, stop, approve and reject")


def serve(client: Callable[[str], Any], plugin: Plugin, *, port: int, changes: bool, where: str) -> None:
    """Serve the console until Ctrl-C. Raises OSError for a port that cannot be used."""
    import uvicorn

    from console.account import Account
    from console.context import Console
    from console.web import app

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    console = Console(Account(client), plugin, changes=changes, where=where)
    console.port = listener.getsockname()[1]
    # From here on a browser's connection waits until the server accepts it.
    listener.listen()
    print(f"http://127.0.0.1:{console.port}", flush=True)
    config = uvicorn.Config(app(console), log_level="warning", access_log=False, server_header=False, lifespan="off",
                            timeout_graceful_shutdown=1)  # fmt: skip
    server = uvicorn.Server(config)
    console.stopping = lambda: server.should_exit
    server.run(sockets=[listener])


def main(argv: list[str] | None = None) -> int:
    """Serve the console of the account, or of AWS_ENDPOINT_URL."""
    given = arguments().parse_args(argv)
    import boto3

    session = boto3.session.Session(region_name=given.region or os.environ.get("AWS_REGION"))
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    try:
        where = endpoint or f"AWS, {session.region_name or 'no region configured'}"
        serve(session.client, Plugin(), port=given.port, changes=given.allow_changes, where=where)
    except OSError as error:
        print(f"Error: port {given.port} on 127.0.0.1 cannot be used: {error.strerror}\n"
              "Where: --port\nTry: python -m console --port 0", file=sys.stderr)  # fmt: skip
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
