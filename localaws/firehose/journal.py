"""The delivery journal: records accepted and not yet delivered, first in, first out.

A queue is one stage of one delivery stream. A batch stays in the journal until `settle` removes it and appends its
results in the same transaction, so a killed process loses nothing and repeats only the current attempt. Records that
arrive together are one chunk, a row of the store: one row per record costs five times as much.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from localaws.firehose.records import Entry, Hints, Queue, Row, cut
from localaws.store import Store
from localaws.values import dump, load

# Chunks live for seconds: a long log avoids writing most of them twice. It is shortened when none is left.
CHECKPOINT_PAGES = 16384
# The key of the row with a queue's plan: the number of the last row of the batch, and its object's key.
PLAN = "plan"


class Chunk(NamedTuple):
    """Consecutive rows: the number of the first, how many, bytes of their data, when they entered (epoch seconds)."""

    first: int
    rows: int
    size: int
    entered: float

    @property
    def end(self) -> int:
        """The number after that of the last row."""
        return self.first + self.rows


class Journal:
    """Durable queues; safe to use from many threads of one process. A damaged file raises ExpectedError."""

    def __init__(self, path: Path) -> None:
        self._changed = threading.Condition()
        self._hurried = 0
        self._closed = False
        self._store = Store(path, CHECKPOINT_PAGES)
        self._chunks: dict[Queue, list[Chunk]] = {}
        self._plans: dict[Queue, tuple[int, str]] = {}
        for stage_and_stream, key, body in self._store.rows():
            queue = Queue(*reversed(stage_and_stream.split(" ", 1)))
            if key == PLAN:
                self._plans[queue] = tuple(json.loads(body))
            else:
                entered, rows = load(body)
                self._chunks.setdefault(queue, []).append(_chunk(key, entered, rows))
        for chunks in self._chunks.values():
            chunks.sort()
        self._next = max((chunks[-1].end for chunks in self._chunks.values()), default=1)

    def append(self, entries: Iterable[Entry]) -> None:
        """Add records; they are durable when this returns."""
        with self._changed:
            with self._store.transaction():
                added = self._add(entries)
            self._count(added)

    def take(self, queue: Queue, hints: Callable[[], Hints | None]) -> list[Row]:
        """Wait until a batch is due and return it, still in the journal; [] when the journal is closed.

        hints: called repeatedly while waiting; None (the stream does not exist) means wait.
        """
        while due := self._wait(queue, hints):
            if rows := self._read(queue, due):
                return rows
        return []

    def plan(self, queue: Queue, last: int, key: str) -> str:
        """The object key for the rows up to `last`: the one planned before a failure, or else `key`."""
        with self._changed:
            if queue not in self._plans and self._holds(queue, last):
                self._store.write(_kind(queue), PLAN, json.dumps([last, key]).encode())
                self._plans[queue] = (last, key)
            return self._plans.get(queue, (last, key))[1]

    def settle(self, queue: Queue, rows: list[Row], becomes: Iterable[Entry] = ()) -> None:
        """Remove a batch and append its results in one transaction."""
        last = rows[-1].number
        with self._changed:
            if not self._holds(queue, last):
                return
            with self._store.transaction():
                left = self._remove(queue, last)
                added = self._add(becomes)
            self._plans.pop(queue, None)
            self._chunks[queue] = left + [chunk for chunk in self._chunks[queue] if chunk.first > last]
            self._count(added)
            if not any(self._chunks.values()):
                self._store.shorten()

    def discard(self, stream: str) -> None:
        """Remove the records of a deleted delivery stream."""
        with self._changed:
            for queue in [queue for queue in self._chunks if queue.stream == stream]:
                self._store.remove("kind = ?", _kind(queue))
                self._chunks.pop(queue)
                self._plans.pop(queue, None)
            self._changed.notify_all()

    def waiting(self) -> dict[Queue, int]:
        """The rows that wait, by queue."""
        with self._changed:
            return {queue: sum(chunk.rows for chunk in chunks) for queue, chunks in self._chunks.items() if chunks}

    def drain(self, timeout: float, counts: Callable[[Queue], bool]) -> bool:
        """Make everything due now and wait until the queues that count are empty; False after the timeout."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not any(map(counts, self.waiting())), timeout)
            finally:
                self._hurried -= 1

    def close(self) -> None:
        """End the calls of `take`. The records stay in the file for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close_file(self) -> None:
        """Close the file; nothing can be read or written after it."""
        self._store.close()

    def _wait(self, queue: Queue, hints: Callable[[], Hints | None]) -> Hints | None:
        with self._changed:
            while not self._closed:
                chunks, now = self._chunks.get(queue), hints()
                timeout = 0.5
                if chunks and now is not None:
                    full = self._hurried > 0 or queue in self._plans or sum(each.size for each in chunks) >= now.size
                    timeout = 0 if full else chunks[0].entered + now.seconds - time.time()
                    if timeout <= 0:
                        return now
                self._changed.wait(timeout)
        return None

    def _read(self, queue: Queue, hints: Hints) -> list[Row]:
        """The first rows that fit the hints; for a batch that was planned before, exactly its rows."""
        with self._changed:
            chunks, planned = list(self._chunks.get(queue, ())), self._plans.get(queue)
        rows = (row for chunk in chunks for row in self._rows(queue, chunk))
        if planned is not None:
            return list(takewhile(lambda row: row.number <= planned[0], rows))
        return cut(rows, hints)

    def _rows(self, queue: Queue, chunk: Chunk) -> Iterator[Row]:
        for _, first, body in self._store.rows("kind = ? AND key = ?", _kind(queue), chunk.first):
            yield from (Row(number, *row) for number, row in enumerate(load(body)[1], first))

    def _holds(self, queue: Queue, last: int) -> bool:
        """Whether a batch is still in the journal: its stream may have been deleted meanwhile."""
        return any(chunk.first <= last for chunk in self._chunks.get(queue, ()))

    def _add(self, entries: Iterable[Entry]) -> list[tuple[Queue, Chunk]]:
        together: dict[Queue, list[Entry]] = {}
        for entry in entries:
            together.setdefault(entry.queue, []).append(entry)
        added = []
        for queue, group in together.items():
            added.append((queue, self._insert(queue, self._next, time.time(), group)))
            self._next += len(group)
        return added

    def _count(self, added: list[tuple[Queue, Chunk]]) -> None:
        for queue, chunk in added:
            self._chunks.setdefault(queue, []).append(chunk)
        self._changed.notify_all()

    def _insert(self, queue: Queue, first: int, entered: float, rows: Sequence[Entry | Row]) -> Chunk:
        stored = [(row.arrival, row.data, row.source) for row in rows]
        self._store.write(_kind(queue), first, dump((entered, stored)))
        return _chunk(first, entered, stored)

    def _remove(self, queue: Queue, last: int) -> list[Chunk]:
        """Remove a batch. The rest of the chunk in which it ends becomes a chunk of its own, which is returned."""
        ends_in = [chunk for chunk in self._chunks[queue] if chunk.first <= last < chunk.end - 1]
        left = [[row for row in self._rows(queue, chunk) if row.number > last] for chunk in ends_in]
        self._store.remove("kind = ? AND (key <= ? OR key = ?)", _kind(queue), last, PLAN)
        return [self._insert(queue, last + 1, chunk.entered, rows) for chunk, rows in zip(ends_in, left, strict=True)]


def _chunk(first: int, entered: float, rows: list[tuple[float, bytes, str]]) -> Chunk:
    return Chunk(first, len(rows), sum(len(data) for _, data, _ in rows), entered)


def _kind(queue: Queue) -> str:
    return f"{queue.stage} {queue.stream}"
