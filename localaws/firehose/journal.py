"""The delivery journal: what was accepted and not yet delivered, in one SQLite file of the workspace.

Rows stand in queues; a queue is one stage of one delivery stream, first in, first out. A batch stays in the journal
until `settle` removes it and adds what became of it in the same transaction, so a killed process loses nothing and
repeats nothing but the attempt it was in. Rows that come together are stored together, as one chunk: a row of the
database each would cost five times as much.
"""

import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from localaws.store import unusable

# first, last: the numbers of a chunk's rows, which are consecutive. size: bytes of their data.
SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, stage TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, queue INTEGER NOT NULL, entered REAL NOT NULL,
    size INTEGER NOT NULL, rows BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_by_queue ON chunk (queue, first);
CREATE TABLE IF NOT EXISTS plan (queue INTEGER PRIMARY KEY, last INTEGER NOT NULL, key TEXT NOT NULL);
"""

# Chunks live for seconds: a long log between checkpoints saves writing most of them twice.
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
    """What a queue holds. oldest: when its first row entered (epoch seconds)."""

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
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # Batches are read beside the writer, so that accepting records does not wait for them.
        self._reader = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._reading = threading.Lock()
        try:
            # WAL keeps a committed append through a killed process; only a power cut could take the last ones.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            self._database.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise unusable(path, str(error)) from error
        queues = self._database.execute("SELECT stream, stage, id FROM queue")
        self._ids = {Queue(*row[:2]): int(row[2]) for row in queues}
        self._last_number = self._database.execute("SELECT COALESCE(MAX(last), 0) FROM chunk").fetchone()[0]
        by_id = {number: queue for queue, number in self._ids.items()}
        held = self._database.execute(
            "SELECT queue, SUM(last - first + 1), SUM(size), MIN(entered) FROM chunk GROUP BY queue"
        )
        self._waiting = {by_id[row[0]]: Waiting(*row[1:]) for row in held}
        plans = self._database.execute("SELECT queue, last, key FROM plan")
        self._plans = {by_id[row[0]]: (int(row[1]), str(row[2])) for row in plans}

    def append(self, entries: Iterable[Entry]) -> None:
        """Add records; they are durable when this returns."""
        with self._changed:
            self._write(list(entries), settled=None)
            self._changed.notify_all()

    def take(self, queue: Queue, hints: Callable[[], Hints | None]) -> list[Row]:
        """Wait until a batch is due and return it, still in the journal; [] when the journal is closed.

        `hints` is asked anew while waiting; None (a stream that is not there) means: wait.
        """
        while due := self._wait(queue, hints):
            if rows := self._read(queue, due):
                return rows
        return []

    def plan(self, queue: Queue, last: int, key: str) -> str:
        """The object key for the rows up to `last`: the one planned before a failure, or else `key`."""
        with self._changed:
            if queue not in self._plans and self._holds(queue, last):
                self._database.execute("INSERT INTO plan VALUES (?, ?, ?)", (self._ids[queue], last, key))
                self._plans[queue] = (last, key)
            return self._plans.get(queue, (last, key))[1]

    def settle(self, queue: Queue, rows: list[Row], becomes: Iterable[Entry] = ()) -> None:
        """Remove a batch that was taken and append what became of it, together or not at all."""
        with self._changed:
            if self._holds(queue, rows[-1].number):
                self._write(list(becomes), settled=(queue, rows))
                self._changed.notify_all()

    def discard(self, stream: str) -> None:
        """Forget a deleted delivery stream."""
        with self._changed:
            for queue in [queue for queue in self._waiting if queue.stream == stream]:
                self._database.execute("DELETE FROM chunk WHERE queue = ?", (self._ids[queue],))
                self._database.execute("DELETE FROM plan WHERE queue = ?", (self._ids[queue],))
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
        """Let waiting takers go; what is held stays for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, queue: Queue, hints: Callable[[], Hints | None]) -> Hints | None:
        with self._changed:
            while not self._closed:
                waiting, now = self._waiting.get(queue), hints()
                patience = 0.5
                if waiting is not None and now is not None:
                    full = waiting.size >= now.size or self._hurried > 0 or queue in self._plans
                    patience = 0 if full else waiting.oldest + now.seconds - time.time()
                    if patience <= 0:
                        return now
                self._changed.wait(patience)
        return None

    def _read(self, queue: Queue, hints: Hints) -> list[Row]:
        """The first rows that fit; or, for a batch that was planned before, exactly its rows."""
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
        self._database.execute("BEGIN IMMEDIATE")
        try:
            if settled is not None:
                self._remove(*settled)
            first = self._last_number + 1
            for queue, group in together.items():
                self._insert(ids[queue], first, now, group)
                first += len(group)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        self._last_number = first - 1
        if settled is not None:
            self._forget(*settled)
        for queue, group in together.items():
            waiting = self._waiting.setdefault(queue, Waiting(0, 0, now))
            waiting.rows += len(group)
            waiting.size += sum(len(entry.data) for entry in group)

    def _insert(self, queue: int, first: int, entered: float, rows: Sequence[Entry | Row]) -> None:
        size = sum(len(row.data) for row in rows)
        self._database.execute(
            "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?)",
            (first, first + len(rows) - 1, queue, entered, size, pack(rows)),
        )

    def _remove(self, queue: Queue, rows: list[Row]) -> None:
        """Take a batch out; what is left of the chunk it ends in becomes a chunk of its own."""
        number, last = self._ids[queue], rows[-1].number
        rest = self._database.execute(
            "SELECT first, entered, rows FROM chunk WHERE queue = ? AND first <= ? AND last > ?", (number, last, last)
        ).fetchone()
        self._database.execute("DELETE FROM chunk WHERE queue = ? AND first <= ?", (number, last))
        self._database.execute("DELETE FROM plan WHERE queue = ?", (number,))
        if rest is not None:
            first, entered, packed = rest
            left = [row for row in unpack(first, packed) if row.number > last]
            self._insert(number, last + 1, entered, left)

    def _holds(self, queue: Queue, last: int) -> bool:
        """Whether a batch that was taken is still there: its stream may have been deleted meanwhile."""
        found = self._database.execute(
            "SELECT 1 FROM chunk WHERE queue = ? AND first <= ? LIMIT 1", (self._ids[queue], last)
        )
        return found.fetchone() is not None

    def _id(self, queue: Queue) -> int:
        if queue not in self._ids:
            added = self._database.execute("INSERT INTO queue (stream, stage) VALUES (?, ?)", queue)
            self._ids[queue] = int(added.lastrowid or 0)
        return self._ids[queue]

    def _forget(self, queue: Queue, rows: list[Row]) -> None:
        self._plans.pop(queue, None)
        waiting = self._waiting[queue]
        waiting.rows -= len(rows)
        waiting.size -= sum(len(row.data) for row in rows)
        oldest = self._database.execute(
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
