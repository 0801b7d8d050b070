"""The project's local endpoint and its data.

python -m pipelines.local up         start the endpoint; prints the lines that point the AWS CLI and boto3 at it
python -m pipelines.local down       stop it; everything that it stores stays in the workspace
python -m pipelines.local status     what runs, what waits for delivery, what is registered
python -m pipelines.local collect    invoke the collector: the whole catalogue, or some random beers
python -m pipelines.local ledger     the outcome of every record
python -m pipelines.local failed     the failed records: why each failed, and its content
python -m pipelines.local replay     deliver failed records again, after the cause is fixed
python -m pipelines.local load       load a file of beers, or what has landed
python -m pipelines.local backfill   put every page of the API on the stream
python -m pipelines.local logs       the log of a Lambda, of a log group, or of the endpoint
python -m pipelines.local reset      stop the endpoint and delete everything in the workspace

A command that reads an endpoint that is down starts it for as long as it runs.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws.arguments import Arguments
from localaws.endpoint import exports
from localaws.errors import exit_code
from localaws.workspace import Workspace
from pipelines.cli.arguments import add_json_flag, add_workspace_flag
from pipelines.cli.output import Document
from pipelines.local import commands
from pipelines.records import commands as records

# Sub-command -> its function and its help.
COMMANDS: dict[str, tuple[Callable[[argparse.Namespace, Workspace], Document], str]] = {
    "up": (commands.up, "start the endpoint and leave it up; prints the lines that point the AWS CLI and boto3 at it"),
    "down": (commands.down, "stop the endpoint; everything that it stores stays in the workspace"),
    "status": (commands.status, "what runs, what waits for delivery, the latest execution, the registered models"),
    "collect": (commands.collect, "invoke the collector Lambda: all beers or --random N; or load --file DUMP"),
    "ledger": (commands.ledger, records.HELP["ledger"]),
    "failed": (commands.failed, records.HELP["failed"]),
    "replay": (commands.replay, records.HELP["replay"]),
    "load": (commands.load, records.HELP["load"]),
    "backfill": (commands.backfill, records.HELP["backfill"]),
    "logs": (commands.logs, "the log of a Lambda (collector, transform), of a log group, or of the endpoint"),
    "reset": (commands.reset, "stop the endpoint and delete everything in the workspace"),
}


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    for name, (run, summary) in COMMANDS.items():
        command = names.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=run)
        add_workspace_flag(command)
        add_json_flag(command)
        _add_flags(name, command)
    return parser


def _add_flags(name: str, command: argparse.ArgumentParser) -> None:
    if name == "up":
        command.add_argument("--port", type=int, default=0, help="default: the last one, or a free one")
        command.add_argument("--catalog", type=Path, help="beers to serve: a JSON list in the Punk API's shape")
    if name == "down":
        command.add_argument("--delete", action="store_true", help="delete the workspace too")
    if name == "collect":
        source = command.add_mutually_exclusive_group()
        source.add_argument("--random", type=random_beers, metavar="N", help="N random beers, 1 to 1000")
        source.add_argument("--file", type=Path, metavar="DUMP", help="beers of a file: JSON lines, CSV, a JSON list")
    if name == "logs":
        command.add_argument("name", nargs="?", metavar="NAME", help="collector, transform, or text of a log group")
        command.add_argument("--lines", type=int, default=200, metavar="N", help="the last N lines (200)")
    if name in records.HELP:
        records.add_flags(name, command)


def random_beers(text: str) -> int:
    """A number of random beers that the collector takes."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def show(command: str, result: Document) -> str:
    """A result for people."""
    if command == "up":
        return exports(result["environment"])
    if command == "logs":
        return "\n".join(result["lines"]) or f"{result['log']} is empty"
    if command in records.HELP or "files" in result:
        return records.text(command if command in records.HELP else "load", result)
    return "\n".join(_lines(result))


def _lines(result: Document, indent: str = "") -> list[str]:
    lines = []
    for key, value in result.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}" + ("" if value else "  none"))
            lines += [f"{indent}  " + "  ".join(map(_short, each.values())) for each in value]
        else:
            lines.append(f"{indent}{key:<12} {_short(value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(map(_short, value.values())) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    result = given.run(given, Workspace(given.workspace))
    print(json.dumps(result) if given.json else show(given.command, result))
    return records.exit_code(given.command, result)


if __name__ == "__main__":
    sys.exit(exit_code(main))
