"""Documents that survive a kill -9: one SQLite file in the workspace.

Each document is a JSON object under a kind ("execution", "model-package", ...) and a key, kept in the order of
creation. A change is one transaction, so a reader sees it whole or not at all. A checksum beside each tells a
document that has changed on the disk.
"""

import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localaws.errors import ENVIRONMENT, ExpectedError

Document = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (kind, key)
)
"""


class Store:
    """Documents by kind and key; safe to use from many threads of one process.

    Opening a file that is damaged or cannot be used raises ExpectedError, as does reading a damaged document.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            # WAL keeps a committed change through a killed process; only a power cut could take the last ones.
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(SCHEMA)
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            for row in self._connection.execute("SELECT kind, key, body, checksum FROM document"):
                self._checked(*row)
        except sqlite3.DatabaseError as error:
            raise unusable(path, str(error)) from error
        if found != "ok":
            raise unusable(path, found)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together or, when something raises, not at all."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def put(self, kind: str, key: str, document: Document) -> None:
        """Create or replace a document."""
        with self.transaction():
            body = json.dumps(document)
            self._connection.execute(
                "INSERT INTO document (kind, key, body, checksum) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
                (kind, key, body, _checksum(kind, key, body)),
            )

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT kind, key, body, checksum FROM document WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
        return self._checked(*row) if row else None

    def change(self, kind: str, key: str, change: Callable[[Document], None]) -> Document:
        """Apply `change` to the stored document in one transaction and return the result."""
        with self.transaction():
            document = self.get(kind, key)
            if document is None:
                raise KeyError(f"{kind} {key}")
            change(document)
            self.put(kind, key, document)
        return document

    def delete(self, kind: str, key: str) -> None:
        """Remove a document if it is there."""
        with self.transaction():
            self._connection.execute("DELETE FROM document WHERE kind = ? AND key = ?", (kind, key))

    def delete_kind(self, kind: str) -> None:
        """Remove every document of a kind."""
        with self.transaction():
            self._connection.execute("DELETE FROM document WHERE kind = ?", (kind,))

    def delete_where(self, kind: str, containing: str) -> None:
        """Remove the documents of a kind whose key contains a text."""
        with self.transaction():
            self._connection.execute("DELETE FROM document WHERE kind = ? AND instr(key, ?)", (kind, containing))

    def all(self, kind: str) -> list[Document]:
        """Every document of a kind, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT kind, key, body, checksum FROM document WHERE kind = ? ORDER BY number", (kind,)
            ).fetchall()
        return [self._checked(*row) for row in rows]

    def clear(self) -> None:
        """Remove everything."""
        with self.transaction():
            self._connection.execute("DELETE FROM document")

    def _checked(self, kind: str, key: str, body: str, checksum: int) -> Document:
        """The document of a row; ExpectedError when it is not what was stored."""
        if checksum != _checksum(kind, key, body):
            raise unusable(self.path, f"the {kind} {key} is damaged: its checksum does not match")
        document: Document = json.loads(body)
        return document


def _checksum(kind: str, key: str, body: str) -> int:
    return zlib.crc32(f"{kind}\0{key}\0{body}".encode())


def unusable(path: Path, why: str) -> ExpectedError:
    """The error for a database that is damaged or cannot be written."""
    return ExpectedError(
        f"the database cannot be used: {why}",
        where=str(path),
        hint=f"free some space if the disk is full; else begin anew: rm -r {path.parent}",
        code=ENVIRONMENT,
    )
