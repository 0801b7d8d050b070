"""The flags that several commands share, each defined once, and how a command is shown to be pasted."""

import argparse
import os
import sys
from pathlib import Path

from localaws.arguments import Arguments

__all__ = ["Arguments", "add_account_flags", "add_json_flag", "add_workspace_flag", "python_command"]


def add_account_flags(parser: argparse._ActionsContainer) -> None:
    """--env and --region: which environment, in which region of the account."""
    parser.add_argument("--env", default="dev", help="dev, staging or prod (default: dev)")
    parser.add_argument("--region", help="AWS region (default: the configured one)")


def add_json_flag(parser: argparse._ActionsContainer) -> None:
    """--json: the result as one JSON object on standard output."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def add_workspace_flag(parser: argparse._ActionsContainer) -> None:
    """--workspace: the folder with the state of the local endpoint."""
    parser.add_argument(
        "--workspace", type=Path, default=Path(".local"), help="folder with all state of the local endpoint (.local)"
    )


def python_command() -> str:
    """This interpreter as a person would type it: `.venv/bin/python` when that is where it lies."""
    path = Path(sys.executable)
    inside = path.is_relative_to(Path.cwd()) and os.environ.get("VIRTUAL_ENV") is None
    return str(path.relative_to(Path.cwd())) if inside else "python"
