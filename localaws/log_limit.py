"""A bound on what the endpoint writes to its log: an error in a loop must not fill the disk."""

import io
import threading
import time
from collections.abc import Callable
from typing import TextIO

BYTES_PER_MINUTE = 1 << 20
WINDOW_SECONDS = 60.0


class LimitedLog(io.TextIOBase):
    """A text stream that passes on so many bytes a minute and then counts what it leaves out."""

    def __init__(
        self, stream: TextIO, limit: int = BYTES_PER_MINUTE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._written = self._dropped = 0

    def write(self, text: str) -> int:
        """Write a text, or count it."""
        with self._lock:
            now = self._clock()
            if now - self._began >= WINDOW_SECONDS:
                self._report()
                self._began, self._written = now, 0
            if self._written + len(text) > self._limit:
                self._dropped += len(text)
            else:
                self._written += len(text)
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what was passed on."""
        self._stream.flush()

    def fileno(self) -> int:
        """The descriptor of the stream, for child processes."""
        return self._stream.fileno()

    def finish(self) -> None:
        """Report what was left out last."""
        with self._lock:
            self._report()
            self._stream.flush()

    def _report(self) -> None:
        if self._dropped:
            self._stream.write(f"\n({self._dropped} characters of the log were left out: too many in a minute)\n")
        self._dropped = 0
