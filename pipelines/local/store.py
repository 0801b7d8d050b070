"""Documents that survive a kill -9: one SQLite file in the workspace.

Each document is a JSON object under a kind ("execution", "model-package", ...) and a key, kept in the order of
creation. A change is one transaction, so a reader sees it whole or not at all.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import ENVIRONMENT, ExpectedError

Document = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, key)
)
"""


class Store:
    """Documents by kind and key; safe to use from many threads of one process.

    Opening a file that is damaged or cannot be used raises ExpectedError.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            # WAL keeps a committed change through a killed process; only a power cut could take the last ones.
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(SCHEMA)
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise _unusable(path, str(error)) from error
        if found != "ok":
            raise _unusable(path, found)

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
            self._connection.execute(
                "INSERT INTO document (kind, key, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                (kind, key, json.dumps(document)),
            )

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM document WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
        return json.loads(row[0]) if row else None

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
                "SELECT body FROM document WHERE kind = ? ORDER BY number", (kind,)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def clear(self) -> None:
        """Remove everything."""
        with self.transaction():
            self._connection.execute("DELETE FROM document")


def _unusable(path: Path, why: str) -> ExpectedError:
    return ExpectedError(
        f"the database cannot be used: {why}",
        where=str(path),
        hint=f"free some space if the disk is full; else begin anew: rm -r {path.parent}",
        code=ENVIRONMENT,
    )
