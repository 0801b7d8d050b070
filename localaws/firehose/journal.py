"""The delivery journal: records accepted and not yet delivered, in one SQLite file of the workspace.

A queue is one stage of one delivery stream, first in, first out. A batch stays in the journal until `settle` removes it
and appends its results in the same transaction, so a killed process loses nothing and repeats only the current attempt.
Records that arrive together are stored as one chunk: one row of the database per record costs five times as much.
"""

import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from localaws.database import Database

# first, last: the numbers of a chunk's rows, which are consecutive. size: bytes of their data.
SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, stage TEXT NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS chunk (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, queue INTEGER NOT NULL, entered REAL NOT NULL,
    size INTEGER NOT NULL, rows BLOB NOT NULL, checksum INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_by_queue ON chunk (queue, first);
CREATE TABLE IF NOT EXISTS plan (
    queue INTEGER PRIMARY KEY, last INTEGER NOT NULL, key TEXT NOT NULL, checksum INTEGER NOT NULL
);
"""
TABLES = {"queue": "id, stream, stage", "chunk": "first, last, queue, entered, size, rows", "plan": "queue, last, key"}

# Chunks live for seconds: a long log between checkpoints avoids writing most of them twice.
CHECKPOINT_PAGES = 16384

# Of a row in a chunk: arrival, bytes of data, bytes of metadata; then both.
HEAD = struct.Struct("<dII")


class Queue(NamedTuple):
    """One stage of one delivery stream (its ARN)."""

    stream: str
    stage: str


class Row(NamedTuple):
    """A record: number in the journal, arrival (epoch seconds), bytes, Kinesis metadata as JSON or ''."""

    number: int
    arrival: float
    data: bytes
    source: str

    @property
    def event_bytes(self) -> int:
        """At most this many bytes in a Lambda event: base64, metadata, and the ids and names around them."""
        return 4 * (len(self.data) // 3 + 1) + len(self.source) + 200


class Entry(NamedTuple):
    """A record to append."""

    queue: Queue
    arrival: float
    data: bytes
    source: str = ""


class Hints(NamedTuple):
    """When a batch is due: at `size` bytes, or when its oldest row is `seconds` old.

    event_size: the most bytes a Lambda event of the batch may have.
    """

    size: int
    seconds: float
    event_size: int | None = None


class Waiting:
    """Size of a queue: rows, bytes, and when the oldest row entered (epoch seconds)."""

    def __init__(self, rows: int, size: int, oldest: float) -> None:
        self.rows = rows
        self.size = size
        self.oldest = oldest


class Journal:
    """Durable queues; safe to use from many threads of one process. A damaged file raises ExpectedError."""

    def __init__(self, path: Path) -> None:
        self._changed = threading.Condition()
        self._hurried = 0
        self._closed = False
        self._database = Database(path, SCHEMA, TABLES)
        # Batches are read beside the writer, so that accepting records does not wait for them.
        self._reader = self._database.connect()
        self._reading = threading.Lock()
        select = self._database.connection.execute
        select(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        queues = select("SELECT stream, stage, id FROM queue")
        self._ids = {Queue(*row[:2]): int(row[2]) for row in queues}
        self._last_number = select("SELECT COALESCE(MAX(last), 0) FROM chunk").fetchone()[0]
        by_id = {number: queue for queue, number in self._ids.items()}
        held = select("SELECT queue, SUM(last - first + 1), SUM(size), MIN(entered) FROM chunk GROUP BY queue")
        self._waiting = {by_id[row[0]]: Waiting(*row[1:]) for row in held}
        plans = select("SELECT queue, last, key FROM plan")
        self._plans = {by_id[row[0]]: (int(row[1]), str(row[2])) for row in plans}

    def append(self, entries: Iterable[Entry]) -> None:
        """Add records; they are durable when this returns."""
        with self._changed:
            self._write(list(entries), settled=None)
            self._changed.notify_all()

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
                with self._database.transaction() as connection:
                    values = (self._ids[queue], last, key)
                    connection.execute("INSERT INTO plan VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))", values)
                self._plans[queue] = (last, key)
            return self._plans.get(queue, (last, key))[1]

    def settle(self, queue: Queue, rows: list[Row], becomes: Iterable[Entry] = ()) -> None:
        """Remove a batch and append its results in one transaction."""
        with self._changed:
            if self._holds(queue, rows[-1].number):
                self._write(list(becomes), settled=(queue, rows))
                self._changed.notify_all()

    def discard(self, stream: str) -> None:
        """Remove the records of a deleted delivery stream."""
        with self._changed:
            for queue in [queue for queue in self._waiting if queue.stream == stream]:
                with self._database.transaction() as connection:
                    connection.execute("DELETE FROM chunk WHERE queue = ?", (self._ids[queue],))
                    connection.execute("DELETE FROM plan WHERE queue = ?", (self._ids[queue],))
                del self._waiting[queue]
                self._plans.pop(queue, None)
            self._changed.notify_all()

    def waiting(self) -> dict[Queue, int]:
        """The rows that wait, by queue."""
        with self._changed:
            return {queue: waiting.rows for queue, waiting in self._waiting.items()}

    def drain(self, timeout: float, counts: Callable[[Queue], bool]) -> bool:
        """Make everything due now and wait until the queues that count are empty; False after the timeout."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not any(map(counts, self._waiting)), timeout)
            finally:
                self._hurried -= 1

    def close(self) -> None:
        """End the calls of `take`. The records stay in the file for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close_file(self) -> None:
        """Close the file; nothing can be read or written after it."""
        with self._changed, self._reading:
            self._reader.close()
            self._database.close()

    def _wait(self, queue: Queue, hints: Callable[[], Hints | None]) -> Hints | None:
        with self._changed:
            while not self._closed:
                waiting, now = self._waiting.get(queue), hints()
                timeout = 0.5
                if waiting is not None and now is not None:
                    full = waiting.size >= now.size or self._hurried > 0 or queue in self._plans
                    timeout = 0 if full else waiting.oldest + now.seconds - time.time()
                    if timeout <= 0:
                        return now
                self._changed.wait(timeout)
        return None

    def _read(self, queue: Queue, hints: Hints) -> list[Row]:
        """The first rows that fit the hints; for a batch that was planned before, exactly its rows."""
        planned = self._plans[queue][0] if queue in self._plans else None
        with self._reading:
            chunks = self._reader.execute(
                "SELECT first, rows FROM chunk WHERE queue = ? ORDER BY first", (self._ids[queue],)
            )
            try:
                rows = (row for first, packed in chunks for row in unpack(first, packed))
                if planned is not None:
                    return list(takewhile(lambda row: row.number <= planned, rows))
                return cut(rows, hints)
            finally:
                chunks.close()

    def _write(self, entries: list[Entry], settled: tuple[Queue, list[Row]] | None) -> None:
        now = time.time()
        together: dict[Queue, list[Entry]] = {}
        for entry in entries:
            together.setdefault(entry.queue, []).append(entry)
        ids = {queue: self._id(queue) for queue in together}
        with self._database.transaction():
            if settled is not None:
                self._remove(*settled)
            first = self._last_number + 1
            for queue, group in together.items():
                self._insert(ids[queue], first, now, group)
                first += len(group)
        self._last_number = first - 1
        if settled is not None:
            self._forget(*settled)
        for queue, group in together.items():
            waiting = self._waiting.setdefault(queue, Waiting(0, 0, now))
            waiting.rows += len(group)
            waiting.size += sum(len(entry.data) for entry in group)

    def _insert(self, queue: int, first: int, entered: float, rows: Sequence[Entry | Row]) -> None:
        size = sum(len(row.data) for row in rows)
        self._database.connection.execute(
            "INSERT INTO chunk VALUES (?1, ?2, ?3, ?4, ?5, ?6, checksum(?1, ?2, ?3, ?4, ?5, ?6))",
            (first, first + len(rows) - 1, queue, entered, size, pack(rows)),
        )

    def _remove(self, queue: Queue, rows: list[Row]) -> None:
        """Remove a batch. The rest of the chunk in which it ends becomes a chunk of its own."""
        number, last = self._ids[queue], rows[-1].number
        execute = self._database.connection.execute
        rest = execute(
            "SELECT first, entered, rows FROM chunk WHERE queue = ? AND first <= ? AND last > ?", (number, last, last)
        ).fetchone()
        execute("DELETE FROM chunk WHERE queue = ? AND first <= ?", (number, last))
        execute("DELETE FROM plan WHERE queue = ?", (number,))
        if rest is not None:
            first, entered, packed = rest
            left = [row for row in unpack(first, packed) if row.number > last]
            self._insert(number, last + 1, entered, left)

    def _holds(self, queue: Queue, last: int) -> bool:
        """Whether a batch is still in the journal: its stream may have been deleted meanwhile."""
        found = self._database.connection.execute(
            "SELECT 1 FROM chunk WHERE queue = ? AND first <= ? LIMIT 1", (self._ids[queue], last)
        )
        return found.fetchone() is not None

    def _id(self, queue: Queue) -> int:
        if queue not in self._ids:
            with self._database.transaction() as connection:
                number = len(self._ids) + 1
                connection.execute("INSERT INTO queue VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))", (number, *queue))
            self._ids[queue] = number
        return self._ids[queue]

    def _forget(self, queue: Queue, rows: list[Row]) -> None:
        self._plans.pop(queue, None)
        waiting = self._waiting[queue]
        waiting.rows -= len(rows)
        waiting.size -= sum(len(row.data) for row in rows)
        oldest = self._database.connection.execute(
            "SELECT entered FROM chunk WHERE queue = ? ORDER BY first LIMIT 1", (self._ids[queue],)
        ).fetchone()
        if oldest is None:
            del self._waiting[queue]
        else:
            waiting.oldest = oldest[0]


def cut(rows: Iterable[Row], hints: Hints) -> list[Row]:
    """The first rows that together stay within the sizes; one alone may exceed them."""
    batch: list[Row] = []
    size = event_size = 0
    for row in rows:
        size += len(row.data)
        if hints.event_size is not None:
            event_size += row.event_bytes
        if batch and (size > hints.size or event_size > (hints.event_size or 0)):
            break
        batch.append(row)
    return batch


def pack(rows: Sequence[Entry | Row]) -> bytes:
    """A chunk's rows as bytes."""
    parts: list[bytes] = []
    for row in rows:
        metadata = row.source.encode()
        parts += (HEAD.pack(row.arrival, len(row.data), len(metadata)), row.data, metadata)
    return b"".join(parts)


def unpack(first: int, packed: bytes) -> Iterator[Row]:
    """The rows of a chunk whose first has this number."""
    at, number = 0, first
    while at < len(packed):
        arrival, data, metadata = HEAD.unpack_from(packed, at)
        at += HEAD.size + data + metadata
        yield Row(number, arrival, packed[at - data - metadata : at - metadata], packed[at - metadata : at].decode())
        number += 1
