"""What a person sees while something long runs: one line per stage, with seconds, on standard error.

On a terminal the stage under way turns and grows details; elsewhere (a log, a pipe) each stage is one plain line.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 22
MARKS = {"Succeeded": "✓", "Failed": "✗", "Stopped": "■", "Executing": "…"}


class Stages:
    """Prints stages and keeps their seconds. quiet: print nothing, still keep them."""

    def __init__(self, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._quiet = quiet
        self._began = time.monotonic()
        self._console: Console | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def console(self) -> "Console":
        """Standard error as rich sees it, made when first needed: rich takes its time to import."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, quiet=self._quiet, highlight=False, soft_wrap=True)
        return self._console

    @contextmanager
    def stage(self, name: str) -> Iterator["Stage"]:
        """Inside: the stage is under way. It is printed as done at the end, or as failed when something raises."""
        stage = Stage(self, name)
        with stage:
            yield stage

    def say(self, text: str = "") -> None:
        """Print a line."""
        self.console.print(text, markup=False)


class Stage:
    """One stage; `detail` is what stands behind its name."""

    def __init__(self, stages: Stages, name: str) -> None:
        self._stages = stages
        self._name = name
        self._began = 0.0
        self._detail = ""
        self._status = stages.console.status("", spinner="dots") if stages.console.is_terminal else None

    def __enter__(self) -> "Stage":
        self._began = time.monotonic()
        if self._status:
            self._status.start()
            self._show()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        seconds = time.monotonic() - self._began
        self._stages.seconds[self._name] = round(seconds, 3)
        if self._status:
            self._status.stop()
        mark, style = ("✗", "red") if kind else ("✓", "green")
        line = f"{self._name:<{WIDTH}} {seconds:5.1f} s  {self._detail}".rstrip()
        self._stages.console.print(f"[{style}]{mark}[/] {_plain(line)}")

    def detail(self, text: str) -> None:
        """Show what is happening, or what came of it."""
        self._detail = text
        self._show()

    def _show(self) -> None:
        if self._status:
            self._status.update(f"{self._name:<{WIDTH}} {_plain(self._detail)}")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
