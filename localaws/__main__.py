"""AWS on this machine, for any project: `python -m localaws up`, `env`, `exec`, `run`, `status`, `down`."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws import endpoint as endpoints
from localaws import programs
from localaws.arguments import Arguments
from localaws.errors import CONFLICT, NOT_FOUND, RUN_FAILED, ExpectedError, exit_code, quoted
from localaws.workspace import Workspace

Document = dict[str, Any]
DESCRIPTION = """AWS on this machine, for any project: MiniStack with SageMaker, Firehose and Athena, on 127.0.0.1.

python -m localaws run pipeline.py         run a SageMaker pipeline's script and what it starts, here
python -m localaws up                      start the endpoint and leave it running
eval "$(python -m localaws env)"           point the AWS CLI and the SDKs of this shell at it
python -m localaws exec PROGRAM ...        or a single program
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
        if name in ("up", "run", "exec"):
            _add_start(command)
        if name == "down":
            command.add_argument("--delete", action="store_true", help="delete the workspace too")
        if name == "exec":
            command.add_argument("program", metavar="PROGRAM")
        if name == "run":
            command.add_argument("program", metavar="PIPELINE.py", type=Path)
            command.add_argument("--keep", action="store_true", help="leave the endpoint up afterwards")
        if name in ("run", "exec"):
            command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the program's own")
    return parser


def _add_start(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=int, default=0, help="default: the last one, or a free one")
    command.add_argument("--cold", action="store_true", help="start every step as a new interpreter, to compare")
    command.add_argument(
        "--extension", action="append", default=[], metavar="MODULE:CLASS", help="a server of your own"
    )


def up(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Start the endpoint and leave it running."""
    endpoint = _found(given, workspace)
    if endpoint is None:
        endpoint, _ = endpoints.start(workspace, port=given.port, detached=True, extensions=given.extension)
    return {"url": endpoint.url, "pid": endpoint.pid, "extensions": endpoint.addresses}


def down(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Stop the endpoint; what it stores stays in the workspace."""
    if given.delete and workspace.root.exists():
        workspace.refuse_foreign()
    stopped = endpoints.stop(workspace)
    if given.delete and workspace.root.exists():
        endpoints.remove(workspace)
    return {"stopped": stopped, "deleted": bool(given.delete)}


def status(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Whether the endpoint runs, its URL, what waits for delivery, and how steps are isolated."""
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
        "isolation": answer["isolation"],
    }


def env(given: argparse.Namespace, workspace: Workspace) -> Document:
    """The environment variables that point the AWS CLI and the SDKs at the endpoint."""
    endpoint = endpoints.require(workspace)
    programs.add_role(endpoint)
    return programs.variables(endpoint)


def execute(given: argparse.Namespace, workspace: Workspace) -> int:
    """Run a program on the endpoint; returns its exit code."""
    with _endpoint(given, workspace, keep=False) as endpoint:
        return programs.finish(programs.start(endpoint, [given.program, *given.arguments]))


def run(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Run a pipeline's script and follow the executions that it starts. ExpectedError when one of them fails."""
    from localaws.progress import Executions

    if not given.program.is_file():
        raise ExpectedError(
            "there is no such script", where=str(given.program), hint="give a Python file's path", code=NOT_FOUND
        )
    with _endpoint(given, workspace, keep=given.keep) as endpoint:
        executions = Executions(endpoint, lambda line: print(line, file=sys.stderr))
        process = programs.start(endpoint, [sys.executable, str(given.program), *given.arguments])
        try:
            started = executions.show_while(lambda: process.poll() is None)
        finally:
            process.terminate()
            code = programs.finish(process)
        return {"exit_code": code, "executions": started, "endpoint_url": endpoint.url if given.keep else None}


def _found(given: argparse.Namespace, workspace: Workspace) -> endpoints.Endpoint | None:
    """The endpoint that is up, or None. Raises ExpectedError for flags of a start that would have no effect with it."""
    endpoint = endpoints.find(workspace) if workspace.root.exists() else None
    if endpoint is None or not endpoint.detached:
        return None
    given_flags = {
        "--port": given.port and not endpoint.url.endswith(f":{given.port}"),
        "--cold": given.cold,
        "--extension": set(given.extension) - set(workspace.extensions()),
    }
    ignored = [flag for flag, has_none in given_flags.items() if has_none]
    if ignored:
        raise ExpectedError(
            f"{', '.join(ignored)} would have no effect: the endpoint is up at {endpoint.url}",
            where=str(workspace.root),
            hint=f"python -m localaws down --workspace {quoted(workspace.root)}",
            code=CONFLICT,
        )
    return endpoint


def _endpoint(given: argparse.Namespace, workspace: Workspace, *, keep: bool) -> Any:
    _found(given, workspace)
    return endpoints.running(workspace, keep=keep, port=given.port, extensions=given.extension)


# Command -> its function and its help; docstrings are not there under `python -OO`.
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace, Workspace], Document | int], str]] = {
    "up": (up, "start the endpoint and leave it running; prints its URL"),
    "env": (env, "the lines that point the AWS CLI and the SDKs of a shell at it"),
    "exec": (execute, "run a program on it; one that is not up is started for the program's time"),
    "run": (run, "run a SageMaker pipeline's script on it and follow the executions that it starts"),
    "status": (status, "whether it runs, its URL, and what waits for delivery"),
    "down": (down, "stop it; everything it stores stays in the workspace"),
}


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "up":
        return str(result["url"])
    if command == "env":
        unset = [f"unset {' '.join(names)}"] if (names := sorted({*programs.foreign()} - result.keys())) else []
        return "\n".join([*unset, endpoints.exports(result)])
    if command == "run":
        return "\n".join(f"{each['status']}  {each['arn']}" for each in result["executions"]) or "no execution started"
    return "\n".join(f"{name:<10} {value}" for name, value in result.items())


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    if getattr(given, "cold", False):
        # The endpoint's process inherits the switches of this package.
        os.environ["LOCALAWS_COLD"] = "1"
    result = given.run(given, Workspace(given.workspace))
    if isinstance(result, int):
        return result
    print(json.dumps(result) if given.json else text(given.command, result))
    failed = any(each["status"] != "Succeeded" for each in result.get("executions", []))
    return int(result.get("exit_code", 0)) or (RUN_FAILED if failed else 0)


if __name__ == "__main__":
    sys.exit(exit_code(main))
