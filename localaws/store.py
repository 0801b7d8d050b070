"""Rows that survive a kill -9, in one SQLite file that notices when it was damaged.

Everything durable is stored this way: SageMaker's documents, the entries of MiniStack's services, the metadata of S3's
objects and the records in delivery. A row is bytes under a kind and a key; a document is a row with a JSON object.

A flipped byte, a cut or deleted file and a lost write-ahead log are found when the file is opened: SQLite's own
`integrity_check` compares the table with its index, each row holds a checksum, and the number of commits is stored in
the file and, after each commit, in a file of its own beside it. SQLite drops the rest of a damaged write-ahead log
without an error (https://www.sqlite.org/walformat.html), and then the database has fewer commits.
"""

import contextlib
import json
import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localaws.errors import ENVIRONMENT, ExpectedError

Document = dict[str, Any]
Key = str | int | bytes

SCHEMA = """
CREATE TABLE IF NOT EXISTS row (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL,
    UNIQUE (kind, key)
);
"""
# SQLite's own length of the write-ahead log, 4 MB.
CHECKPOINT_PAGES, PAGE_BYTES = 1000, 4096
# The content of the file beside the database: the number of commits and its own checksum.
COUNT = struct.Struct("<QI")


class Store:
    """Rows by kind and key, in the order of creation; safe to use from many threads of one process.

    checkpoint_pages: the length of the write-ahead log at which it is moved into the file. Opening a damaged file and
    reading a damaged row raise ExpectedError.
    """

    def __init__(self, path: Path, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._count = path.with_name(f"{path.name}.commits")
        expected = self._read_count()
        if expected and not path.exists():
            raise unusable(path, f"the file is missing, and {expected} commits with it")
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._connection.create_function("checksum", -1, checksum, deterministic=True)
            # A killed process loses no commit with these; a power cut may lose the newest.
            self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA)
            self._connection.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
            self._check(expected)
        except sqlite3.DatabaseError as error:
            raise unusable(path, str(error)) from error
        self._file = os.open(self._count, os.O_RDWR | os.O_CREAT, 0o600)
        self._write_count()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside are committed together or, if anything raises, not at all. Transactions nest."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute(f"PRAGMA user_version={self._commits + 1}")
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.OperationalError):
                    self._connection.execute("ROLLBACK")
                raise
            self._commits += 1
            self._write_count()

    def write(self, kind: str, key: Key, body: bytes) -> None:
        """Create or replace a row."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO row (kind, key, body, checksum) VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
                (kind, key, body),
            )

    def rows(self, where: str = "1", *values: Key) -> list[tuple[str, Any, bytes]]:
        """Kind, key and body of the rows that an SQL condition selects, oldest first."""
        statement = f"SELECT kind, key, body, checksum = checksum(kind, key, body) FROM row WHERE {where}"
        with self._lock:
            rows = self._connection.execute(f"{statement} ORDER BY number", values).fetchall()
        for kind, key, _, whole in rows:
            if not whole:
                raise unusable(self.path, f"the {kind} {key} is damaged: its checksum does not match")
        return [row[:3] for row in rows]

    def remove(self, where: str = "1", *values: Key) -> None:
        """Remove the rows that an SQL condition selects."""
        with self.transaction():
            self._connection.execute(f"DELETE FROM row WHERE {where}", values)

    def put(self, kind: str, key: str, document: Document) -> None:
        """Create or replace a document."""
        self.write(kind, key, zlib.compress(json.dumps(document).encode(), 1))

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        found = self.rows("kind = ? AND key = ?", kind, key)
        return _document(found[0][2]) if found else None

    def change(self, kind: str, key: str, change: Callable[[Document], None]) -> Document:
        """Apply `change` to the stored document in one transaction and return the result."""
        with self.transaction():
            document = self.get(kind, key)
            if document is None:
                raise KeyError(f"{kind} {key}")
            change(document)
            self.put(kind, key, document)
        return document

    def delete(self, kind: str, key: Key) -> None:
        """Remove a row if it exists."""
        self.remove("kind = ? AND key = ?", kind, key)

    def delete_where(self, kind: str, containing: str) -> None:
        """Remove the rows of a kind whose key contains a text."""
        self.remove("kind = ? AND instr(key, ?)", kind, containing)

    def all(self, kind: str) -> list[Document]:
        """Every document of a kind, oldest first."""
        return [_document(body) for _, _, body in self.rows("kind = ?", kind)]

    def shorten(self) -> None:
        """Move the write-ahead log into the file if it is longer than usual."""
        with self._lock:
            log = self.path.with_name(f"{self.path.name}-wal")
            if log.stat().st_size > CHECKPOINT_PAGES * PAGE_BYTES:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Move the write-ahead log into the file and close it; nothing can be read or written after it."""
        with self._lock:
            self._connection.close()
            os.close(self._file)

    def _check(self, expected: int | None) -> None:
        if (found := self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise unusable(self.path, found)
        damaged = "SELECT kind, key FROM row WHERE checksum IS NOT checksum(kind, key, body) LIMIT 1"
        if row := self._connection.execute(damaged).fetchone():
            raise unusable(self.path, f"the {row[0]} {row[1]} is damaged: its checksum does not match")
        self._commits = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if expected is not None and self._commits < expected:
            raise unusable(
                self.path,
                f"the newest {expected - self._commits} of {expected} commits are lost",
                f"rm {self._count} accepts the loss (after a power cut it is expected)",
            )

    def _read_count(self) -> int | None:
        """The number of commits that were acknowledged, or None if the file beside the database does not hold one."""
        try:
            content = self._count.read_bytes()
            commits, check = COUNT.unpack(content)
        except (OSError, struct.error):
            return None
        return int(commits) if check == zlib.crc32(content[:8]) else None

    def _write_count(self) -> None:
        number = struct.pack("<Q", self._commits)
        os.pwrite(self._file, COUNT.pack(self._commits, zlib.crc32(number)), 0)


def checksum(*values: object) -> int:
    """The checksum of a row's values."""
    total = 0
    for value in values:
        total = zlib.crc32(value if isinstance(value, bytes) else repr(value).encode(errors="surrogatepass"), total)
    return total


def _document(body: bytes) -> Document:
    """The document of a row, which older workspaces hold as plain JSON."""
    document: Document = json.loads(body if body.startswith(b"{") else zlib.decompress(body))
    return document


def unusable(path: Path, why: str, hint: str = "") -> ExpectedError:
    """The error for a database that is damaged or cannot be written."""
    begin = f"free some space if the disk is full; else start again from nothing: rm -r {path.parent}"
    return ExpectedError(f"the database cannot be used: {why}", where=str(path), hint=hint or begin, code=ENVIRONMENT)
