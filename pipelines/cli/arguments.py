"""The flags that several commands share, each defined once, and commands as text to paste."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from localaws.errors import WRONG_USAGE, ExpectedError

WORKSPACE = Path(".local")
ENVIRONMENT = "dev"


def add_account_flags(parser: argparse._ActionsContainer) -> None:
    """--env and --region: which environment, in which region of the account."""
    parser.add_argument("--env", help="dev, staging or prod (default: dev)")
    parser.add_argument("--region", help="AWS region (default: the configured one)")


def add_json_flag(parser: argparse._ActionsContainer) -> None:
    """--json: the result as one JSON object on standard output."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def add_workspace_flag(parser: argparse._ActionsContainer, default: Path | None = WORKSPACE) -> None:
    """--workspace: the folder with the state of the local endpoint."""
    parser.add_argument(
        "--workspace", type=Path, default=default, help="folder with all state of the local endpoint (.local)"
    )


def add_target_flags(parser: argparse._ActionsContainer) -> None:
    """--local, --workspace, --env, --region and --json: what a command that reads either place takes."""
    parser.add_argument("--local", action="store_true", help="use the local endpoint, not an account")
    add_workspace_flag(parser, default=None)
    add_account_flags(parser)
    add_json_flag(parser)


def refuse_contradictions(given: argparse.Namespace, module: str) -> None:
    """Raise ExpectedError for a flag that would have no effect: --region with --local, --workspace without it.

    module: the command's, such as "runs".
    """
    pairs = {True: ("region", "without --local"), False: ("workspace", "with --local")}
    name, condition = pairs[given.local]
    if getattr(given, name) is not None:
        raise ExpectedError(
            f"--{name} has an effect {condition} only",
            where=f"the arguments of python -m pipelines.{module}",
            hint=command_line(module, *filter(None, [getattr(given, "command", None)]), "--help"),
            code=WRONG_USAGE,
        )


def target_flags(given: argparse.Namespace) -> str:
    """The flags of --local, --workspace, --env and --region that differ from their defaults, as typed in a shell."""
    words = local_flags(given.workspace or WORKSPACE) if getattr(given, "local", False) else []
    for name in ("env", "region"):
        value = getattr(given, name, None)
        words += [] if value is None or (name, value) == ("env", ENVIRONMENT) else [f"--{name}", value]
    return shlex.join(words)


def local_flags(workspace: Path) -> list[str]:
    """--local, and --workspace unless it is the default."""
    return ["--local", *workspace_flags(workspace)]


def workspace_flags(workspace: Path) -> list[str]:
    """--workspace, relative to the current folder where it lies in it; nothing for the default."""
    path = workspace.absolute()
    if path == WORKSPACE.absolute():
        return []
    return ["--workspace", str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)]


def command_line(module: str, *words: str, flags: str = "") -> str:
    """A command of this project to paste: `python -m pipelines.<module> <words> <flags>`. flags: quoted already."""
    return " ".join(filter(None, [python_command(), "-m", f"pipelines.{module}", shlex.join(words), flags]))


def this_command() -> str:
    """The command that runs now, to be pasted when it is to be run again."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = spec.name.removesuffix(".__main__") if spec else "pipelines.run"
    return f"{python_command()} -m {name} {shlex.join(sys.argv[1:])}".rstrip()


def python_command() -> str:
    """This interpreter as a person would type it: `.venv/bin/python` when that is where it lies."""
    path = Path(sys.executable)
    inside = path.is_relative_to(Path.cwd()) and os.environ.get("VIRTUAL_ENV") is None
    return shlex.quote(str(path.relative_to(Path.cwd()))) if inside else "python"
