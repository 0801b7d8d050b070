"""The failure of a step or job: three lines on stderr and in the job's exit message."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


class Unusable(Exception):
    """The input cannot be used. The message has three lines: Error, Where, Try."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"Error: {what}\nWhere: {where}\nTry: {remedy}")


def exit_code(job: Callable[[argparse.Namespace, Path], str], arguments: argparse.Namespace) -> int:
    """Runs a job and prints the line that it returns; 1 when it raises Unusable. job: takes a folder for its files."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            print(job(arguments, Path(scratch)))
    except Unusable as error:
        print(error, file=sys.stderr)
        write_message(arguments.message, str(error))
        return 1
    return 0


def write_message(path: Path, text: str) -> None:
    """Writes the job's exit message, which SageMaker shows; the folder need not exist."""
    try:
        if path.parent.parent.is_dir():  # Not outside a container.
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"Warning: no exit message: {error}", file=sys.stderr)
