"""A bounded cache in front of slow reads: a page gets the last value and its age while a newer one is read."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

ENTRIES = 2_000
# A value that is older than this is read again in the background, the old one being answered meanwhile.
FRESH_SECONDS = 1.0
# A value that is older than this is not answered any more: the reader waits for a new one.
STALE_SECONDS = 60.0


class Cached(NamedTuple):
    """A value and its age in seconds."""

    value: Any
    age: float


class Cache:
    """Values by key, the least recently used ones forgotten first. Thread-safe."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._values: OrderedDict[Any, tuple[Any, float]] = OrderedDict()
        self._reading: set[Any] = set()
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="console-reader")

    def get(
        self, key: Any, read: Callable[[], Any], fresh: float = FRESH_SECONDS, stale: float = STALE_SECONDS
    ) -> Cached:
        """The value of a key; read() makes it.

        fresh: seconds for which it is not read again (inf: never). stale: seconds after which a reader waits for a new
        one.
        """
        now = time.monotonic()
        with self._lock:
            found = self._values.get(key)
            if found:
                self._values.move_to_end(key)
        if found and now - found[1] < max(fresh, stale):
            if now - found[1] >= fresh:
                self._refresh(key, read)
            return Cached(found[0], now - found[1])
        return Cached(self._store(key, read()), 0.0)

    def forget(self) -> None:
        """Forget everything, such as after a change."""
        with self._lock:
            self._values.clear()

    def _refresh(self, key: Any, read: Callable[[], Any]) -> None:
        with self._lock:
            if key in self._reading:
                return
            self._reading.add(key)
        self._readers.submit(self._read, key, read)

    def _read(self, key: Any, read: Callable[[], Any]) -> None:
        try:
            self._store(key, read())
        except LookupError:
            # What is not there any more is not answered any more.
            with self._lock:
                self._values.pop(key, None)
        except Exception:
            # The next reader past STALE_SECONDS gets the error itself.
            pass
        finally:
            with self._lock:
                self._reading.discard(key)

    def _store(self, key: Any, value: Any) -> Any:
        with self._lock:
            self._values[key] = (value, time.monotonic())
            self._values.move_to_end(key)
            while len(self._values) > self._entries:
                self._values.popitem(last=False)
        return value
