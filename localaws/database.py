"""A SQLite file that notices when it was damaged: a flipped byte, a cut or deleted file, a lost write-ahead log.

Three checks are made when it is opened. SQLite's own `integrity_check` reads the structure. Each row holds a checksum
of its columns, and their sum is stored, so a row that changed or vanished is found. The number of commits is stored
both in the database and, after each commit, in a file of its own beside it: SQLite drops the rest of a damaged
write-ahead log without an error (https://www.sqlite.org/walformat.html), and then the database has fewer commits.
"""

import contextlib
import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from localaws.errors import ENVIRONMENT, ExpectedError

TOTAL = """
CREATE TABLE IF NOT EXISTS total (
    id INTEGER PRIMARY KEY CHECK (id = 1), commits INTEGER NOT NULL, checksums INTEGER NOT NULL
);
INSERT OR IGNORE INTO total VALUES (1, 0, 0);
"""
TRIGGERS = """
CREATE TRIGGER IF NOT EXISTS {0}_added AFTER INSERT ON {0}
BEGIN UPDATE total SET checksums = checksums + new.checksum; END;
CREATE TRIGGER IF NOT EXISTS {0}_changed AFTER UPDATE ON {0}
BEGIN UPDATE total SET checksums = checksums + new.checksum - old.checksum; END;
CREATE TRIGGER IF NOT EXISTS {0}_removed AFTER DELETE ON {0}
BEGIN UPDATE total SET checksums = checksums - old.checksum; END;
"""
# The content of the file beside the database: the number of commits and its own checksum.
COUNT = struct.Struct("<QI")


class Database:
    """A SQLite database, safe to use from many threads of one process.

    tables: for each table the columns under its `checksum` column; statements compute it as `checksum(column, ...)`.
    Raises ExpectedError if the file is damaged or cannot be used.
    """

    def __init__(self, path: Path, schema: str, tables: Mapping[str, str]) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._count = path.with_name(f"{path.name}.commits")
        expected = self._read_count()
        if expected and not path.exists():
            raise unusable(path, f"the file is missing, and {expected} commits with it")
        self.connection = self.connect()
        try:
            self._check(schema, tables, expected)
        except sqlite3.DatabaseError as error:
            raise unusable(path, str(error)) from error
        self._file = os.open(self._count, os.O_RDWR | os.O_CREAT, 0o600)
        self._write_count()

    def connect(self) -> sqlite3.Connection:
        """A further connection, for reading beside the writer."""
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        connection.create_function("checksum", -1, checksum, deterministic=True)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All changes inside are committed together or, if anything raises, not at all. Transactions nest."""
        with self.lock:
            if self.connection.in_transaction:
                yield self.connection
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("UPDATE total SET commits = commits + 1")
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.OperationalError):
                    self.connection.execute("ROLLBACK")
                raise
            self._commits += 1
            self._write_count()

    def close(self) -> None:
        """Move the write-ahead log into the file and close it."""
        with self.lock:
            self.connection.close()
            os.close(self._file)

    def _check(self, schema: str, tables: Mapping[str, str], expected: int | None) -> None:
        run = self.connection.execute
        # A killed process loses no commit with these; a power cut may lose the newest.
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        self.connection.executescript(schema + TOTAL + "".join(TRIGGERS.format(table) for table in tables))
        if (found := run("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise unusable(self.path, found)
        checksums = 0
        for table, columns in tables.items():
            for stored, computed in run(f"SELECT checksum, checksum({columns}) FROM {table}"):
                if stored != computed:
                    raise unusable(self.path, f"a row of its table {table} is damaged: the checksum does not match")
                checksums += stored
        self._commits, total = run("SELECT commits, checksums FROM total").fetchone()
        if checksums != total:
            raise unusable(self.path, "rows are missing: the sum of the checksums does not match")
        if expected is not None and self._commits < expected:
            lost = expected - self._commits
            raise unusable(
                self.path,
                f"the newest {lost} of {expected} commits are lost",
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


def unusable(path: Path, why: str, hint: str = "") -> ExpectedError:
    """The error for a database that is damaged or cannot be written."""
    begin = f"free some space if the disk is full; else start again from nothing: rm -r {path.parent}"
    return ExpectedError(f"the database cannot be used: {why}", where=str(path), hint=hint or begin, code=ENVIRONMENT)
