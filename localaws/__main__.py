"""AWS on this machine, for any project: `python -m localaws up`, `down`, `status`, `env`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws import endpoint as endpoints
from localaws.arguments import Arguments
from localaws.errors import exit_code
from localaws.workspace import Workspace

Document = dict[str, Any]
DESCRIPTION = """AWS on this machine, for any project: MiniStack with SageMaker, Firehose and Athena, on 127.0.0.1.

python -m localaws up                      start the endpoint and leave it running
eval "$(python -m localaws env)"           point the AWS CLI and the SDKs of this shell at it
"""


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m localaws", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    every = Arguments(add_help=False)
    every.add_argument("--workspace", type=Path, default=Path(".local"), help="folder with all of its state (.local)")
    every.add_argument("--json", action="store_true", help="one JSON object on standard output")
    for name, (run, summary) in COMMANDS.items():
        command = commands.add_parser(name, parents=[every], help=summary, description=summary)
        command.set_defaults(run=run)
        if name == "up":
            command.add_argument("--port", type=int, default=0, help="default: the last one, or a free one")
            command.add_argument(
                "--extension",
                action="append",
                default=[],
                metavar="MODULE:CLASS",
                help="a server of your own",
            )
        if name == "down":
            command.add_argument("--delete", action="store_true", help="delete the workspace too")
    return parser


def up(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Start the endpoint and leave it running."""
    endpoint = endpoints.find(workspace) if workspace.root.exists() else None
    if endpoint is None or not endpoint.detached:
        endpoint, _ = endpoints.start(workspace, port=given.port, detached=True, extensions=given.extension)
    return {"url": endpoint.url, "pid": endpoint.pid, "extensions": endpoint.addresses}


def down(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Stop the endpoint; what it stores stays in the workspace."""
    stopped = endpoints.stop(workspace)
    if given.delete and workspace.root.exists():
        endpoints.remove(workspace)
    return {"stopped": stopped, "deleted": bool(given.delete)}


def status(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Whether the endpoint runs, its URL, and what waits for delivery."""
    endpoint = endpoints.find(workspace) if workspace.root.exists() else None
    if endpoint is None:
        return {"running": False, "workspace": str(workspace.root)}
    answer = endpoint.control("status")
    return {
        "running": True,
        "workspace": str(workspace.root),
        "url": endpoint.url,
        "pid": endpoint.pid,
        "waiting": answer["waiting"],
    }


def env(given: argparse.Namespace, workspace: Workspace) -> Document:
    """The environment variables that point the AWS CLI and boto3 at the endpoint."""
    return endpoints.require(workspace).variables()


# Command -> its function and its help; docstrings are not there under `python -OO`.
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace, Workspace], Document], str]] = {
    "up": (up, "start the endpoint and leave it running; prints its URL"),
    "status": (status, "whether it runs, its URL, and what waits for delivery"),
    "env": (env, "the lines that point the AWS CLI and boto3 at it"),
    "down": (down, "stop it; everything it stores stays in the workspace"),
}


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "up":
        return str(result["url"])
    if command == "env":
        return endpoints.exports(result)
    return "\n".join(f"{name:<10} {value}" for name, value in result.items())


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    result = given.run(given, Workspace(given.workspace))
    print(json.dumps(result) if given.json else text(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
