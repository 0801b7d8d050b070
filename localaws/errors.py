"""Expected errors: what went wrong, where, and what to do next, in three lines.

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 3 not found, 4 conflict, 5 environment.
"""

import sys
from collections.abc import Callable

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


def exit_code(command: Callable[[], int | None]) -> int:
    """Run a command; print an expected error's three lines on stderr; return the exit code."""
    try:
        return command() or 0
    except ExpectedError as error:
        print(error, file=sys.stderr)
        return error.code
    except BrokenPipeError:
        # The reader (head, a closed pager) has left: nothing more to say, and nothing failed.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C.", file=sys.stderr)
        return 130
