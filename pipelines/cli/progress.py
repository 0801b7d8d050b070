"""Progress of a long command on standard error: one line per step, with its seconds.

On a terminal the step that runs has a spinner and its line changes; in a log or a pipe each step is one plain line.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 22


class Progress:
    """Prints the steps of a command and measures them. quiet: print nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._quiet = quiet
        self._began = time.monotonic()
        self._console: Console | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._began

    @property
    def console(self) -> "Console":
        """rich's console on standard error, made when first used: the import of rich takes a moment."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, quiet=self._quiet, highlight=False, soft_wrap=True)
        return self._console

    @contextmanager
    def step(self, name: str) -> Iterator["Step"]:
        """A context in which the step runs. On leaving it, the step is printed as done, or as failed on an error."""
        with Step(self, name) as step:
            yield step

    def line(self, text: str = "") -> None:
        """Print a line of text."""
        self.console.print(text, markup=False)


class Step:
    """One step: its name, its seconds, and a detail that `update` sets."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._began = 0.0
        self._detail = ""
        self._spinner = progress.console.status("", spinner="dots") if progress.console.is_terminal else None

    def __enter__(self) -> "Step":
        self._began = time.monotonic()
        if self._spinner:
            self._spinner.start()
            self._refresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        seconds = time.monotonic() - self._began
        self._progress.seconds[self._name] = round(seconds, 3)
        if self._spinner:
            self._spinner.stop()
        mark, style = ("✗", "red") if kind else ("✓", "green")
        line = f"{self._name:<{WIDTH}} {seconds:5.1f} s  {self._detail}".rstrip()
        self._progress.console.print(f"[{style}]{mark}[/] {_escaped(line)}")

    def update(self, detail: str) -> None:
        """Set the detail: what the step does now, or its result."""
        self._detail = detail
        self._refresh()

    def _refresh(self) -> None:
        if self._spinner:
            self._spinner.update(f"{self._name:<{WIDTH}} {_escaped(self._detail)}")


def _escaped(text: str) -> str:
    """Text in which rich reads no markup."""
    from rich.markup import escape

    return escape(text)
