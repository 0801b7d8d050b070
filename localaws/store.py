"""Documents that survive a kill -9, in one SQLite file of the workspace.

Each document is a JSON object under a kind ("execution", "model-package", ...) and a key, in the order of creation.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from localaws.database import Database, unusable

Document = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (kind, key)
);
"""


class Store:
    """Documents by kind and key; safe to use from many threads of one process.

    Opening a damaged file and reading a damaged document raise ExpectedError.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA, {"document": "kind, key, body"})

    def transaction(self) -> AbstractContextManager[object]:
        """All changes inside happen together or, if anything raises, not at all."""
        return self._database.transaction()

    def put(self, kind: str, key: str, document: Document) -> None:
        """Create or replace a document."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO document (kind, key, body, checksum) VALUES (?1, ?2, ?3, checksum(?1, ?2, ?3))"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
                (kind, key, json.dumps(document)),
            )

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        found = self._select("kind = ? AND key = ?", kind, key)
        return found[0] if found else None

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
        """Remove a document if it exists."""
        self._delete("kind = ? AND key = ?", kind, key)

    def delete_kind(self, kind: str) -> None:
        """Remove every document of a kind."""
        self._delete("kind = ?", kind)

    def delete_where(self, kind: str, containing: str) -> None:
        """Remove the documents of a kind whose key contains a text."""
        self._delete("kind = ? AND instr(key, ?)", kind, containing)

    def all(self, kind: str) -> list[Document]:
        """Every document of a kind, oldest first."""
        return self._select("kind = ?", kind)

    def clear(self) -> None:
        """Remove everything."""
        self._delete("1")

    def close(self) -> None:
        """Close the file; nothing can be read or written after it."""
        self._database.close()

    def _select(self, where: str, *values: str) -> list[Document]:
        statement = f"SELECT kind, key, body, checksum = checksum(kind, key, body) FROM document WHERE {where}"
        with self._database.lock:
            rows = self._database.connection.execute(f"{statement} ORDER BY number", values).fetchall()
        for kind, key, _, whole in rows:
            if not whole:
                raise unusable(self._database.path, f"the {kind} {key} is damaged: its checksum does not match")
        return [json.loads(row[2]) for row in rows]

    def _delete(self, where: str, *values: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(f"DELETE FROM document WHERE {where}", values)
