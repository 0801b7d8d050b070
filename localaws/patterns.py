"""Regular expressions of a user's own, each search with a time limit: some take longer than the age of the universe.

https://docs.python.org/3/library/re.html is matched without a limit, and stops all threads meanwhile; the package
`regex` has the same syntax, a limit, and lets other threads run.
"""

import re
from collections.abc import Iterator
from typing import Any

import regex

SECONDS = 1.0
LIMIT = {"timeout": SECONDS, "concurrent": True}


class Pattern:
    """A compiled pattern with the methods of `re.Pattern`. A search raises TimeoutError after SECONDS."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._compiled = regex.compile(pattern, flags)
        self.pattern = pattern
        self.flags = flags

    def search(self, text: str) -> Any:
        """The first match or None."""
        return self._compiled.search(text, **LIMIT)

    def fullmatch(self, text: str) -> Any:
        """The match of the whole text or None."""
        return self._compiled.fullmatch(text, **LIMIT)

    def findall(self, text: str) -> list[Any]:
        """All matches: their groups, or their text if the pattern has no group."""
        return list(self._compiled.findall(text, **LIMIT))

    def finditer(self, text: str) -> Iterator[Any]:
        """All matches."""
        yield from self._compiled.finditer(text, **LIMIT)

    def sub(self, replacement: Any, text: str, count: int = 0) -> str:
        """The text with its matches replaced."""
        return str(self._compiled.sub(replacement, text, count, **LIMIT))

    def split(self, text: str, maxsplit: int = 0) -> list[str]:
        """The text between the matches."""
        return list(self._compiled.split(text, maxsplit, **LIMIT))


def compile(pattern: str, flags: int = 0) -> Pattern:
    """A pattern; raises `error` for one that is not valid."""
    try:
        return Pattern(pattern, flags)
    except regex.error as wrong:
        raise re.error(str(wrong)) from wrong


def __getattr__(name: str) -> Any:
    """Everything else of `re`, so that this module can take its place in a library."""
    return getattr(re, name)
