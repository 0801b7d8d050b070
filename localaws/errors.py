"""Expected errors: what failed, where, and the next step, in three lines.

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 3 not found, 4 conflict, 5 environment.
"""

import contextlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

RUN_FAILED, WRONG_USAGE, NOT_FOUND, CONFLICT, ENVIRONMENT = 1, 2, 3, 4, 5


class ExpectedError(Exception):
    """A failure that a person can act on.

    what: the failure in one sentence, naming the thing. where: file, resource or command. hint: the next step.
    code: the process's exit code (see the module's docstring).
    """

    def __init__(self, what: str, *, where: str, hint: str, code: int = RUN_FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        lines = (("Error", self.what), ("Where", self.where), ("Try", self.hint))
        return "\n".join(f"{label}: {' '.join(text.split())}" for label, text in lines)


def quoted(path: Path) -> str:
    """A path as a person types it into a shell: relative where it is below the current folder, and quoted."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def exit_code(command: Callable[[], int | None]) -> int:
    """Run a command; print an expected error's three lines on stderr; return the exit code."""
    _print_any_character()
    try:
        return command() or 0
    except ExpectedError as error:
        print(error, file=sys.stderr)
        return error.code
    except ModuleNotFoundError as error:
        print(_not_installed(error), file=sys.stderr)
        return ENVIRONMENT
    except BrokenPipeError:
        # The reader (head, a closed pager) has ended; nothing failed.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C.", file=sys.stderr)
        return 130


def _print_any_character() -> None:
    """Under a locale without a character, print an escape sequence in its place instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        # A test's stand-in for a stream has no `reconfigure`.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _not_installed(error: ModuleNotFoundError) -> ExpectedError:
    return ExpectedError(
        f"the Python package {error.name} is not installed",
        where=sys.executable,
        hint="pip install -e '.[local]'",
        code=ENVIRONMENT,
    )
