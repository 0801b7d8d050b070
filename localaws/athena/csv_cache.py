"""The rows of CSV tables between queries: an object is parsed once, however many queries read it.

A table of Firehose's has thousands of small objects, and opening each of them for each query would take seconds.
"""

import re
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localaws.ministack import patches

# Of an object: its ETag and time, which change when it is overwritten, and its bytes.
Version = tuple[str, str, int]
# A larger table is read from its files by every query. So is one of large objects: DuckDB parses a file faster than it
# takes over its rows.
MOST_BYTES, ALWAYS_BYTES, MOST_BYTES_PER_OBJECT = 64 << 20, 8 << 20, 64 << 10
# Keys that Athena passes by: a folder itself, and what lies in or is a hidden name.
HIDDEN = r"[_.]|.*/[_.]|(.*/)?\Z"


class CsvCache:
    """Rows by the location of a table and the options of its reader; safe to use from many threads."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], tuple[dict[str, Version], Any]] = {}
        self._lock = threading.Lock()

    def fits(self, location: str, only: str = "") -> bool:
        """Whether a table stays in memory: a small one, or one of small objects."""
        sizes = [size for *_, size in _objects(*_split(location), only).values()]
        return sum(sizes) <= max(ALWAYS_BYTES, min(MOST_BYTES, MOST_BYTES_PER_OBJECT * len(sizes)))

    def rows(self, location: str, options: str, columns: int, only: str = "") -> Any:
        """A pyarrow table of text: c0, c1, ... and `key`, the object's key below the location.

        options: arguments of DuckDB's read_csv. only: a pattern of keys below the location.
        """
        bucket, prefix = _split(location)
        objects = _objects(bucket, prefix, only)
        with self._lock:
            known, rows = self._tables.get((location, options), ({}, None))
            if objects != known:
                unchanged = {key for key, version in objects.items() if known.get(key) == version}
                rows = _updated(
                    rows, known.keys() - unchanged, _parsed(bucket, prefix, objects.keys() - unchanged, options)
                )
                self._tables[location, options] = (objects, rows)
        return rows if rows is not None else _no_rows(columns)


def _split(location: str) -> tuple[str, str]:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


def _objects(bucket: str, prefix: str, only: str) -> dict[str, Version]:
    """The versions of the objects that Athena reads, by key below the prefix; `_` and `.` hide a file or folder."""
    found = patches.module("services.s3")._buckets.get(bucket)
    objects = list(found["objects"].items()) if found else []
    chosen, length = re.compile(f"(?s)(?!{HIDDEN})(?:{only})").match, len(prefix)
    return {
        key[length:]: (each["etag"], each["last_modified"], each["size"])
        for key, each in objects
        if key.startswith(prefix) and chosen(key[length:])
    }


def _parsed(bucket: str, prefix: str, keys: Iterable[str], options: str) -> Any:
    """The rows of some objects, or None if there is no object."""
    import duckdb
    import pyarrow

    get = patches.module("services.s3")._get_object_data
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        files = []
        # Numbered, because a key may be longer than a file's name or both a file and a folder.
        for number, key in enumerate(sorted(keys)):
            if (content := get(bucket, prefix + key)) is not None:
                path = Path(folder, f"{number}.csv{'.gz' * key.endswith('.gz')}")
                path.write_bytes(content)
                files.append((str(path), key))
        if not files:
            return None
        paths, keys_read = zip(*files, strict=True)
        connection.register("files", pyarrow.table({"path": paths, "key": keys_read}))
        listed = ", ".join(f"'{path}'" for path in paths)
        read = f"read_csv([{listed}], {options}, filename = true, hive_partitioning = false)"
        joined = (
            f"SELECT rows.* EXCLUDE (filename), files.key FROM {read} rows JOIN files ON rows.filename = files.path"
        )
        return connection.execute(joined).to_arrow_table()


def _updated(rows: Any, outdated: set[str], added: Any) -> Any:
    import pyarrow
    import pyarrow.compute

    if rows is not None and outdated:
        is_outdated = pyarrow.compute.is_in(rows["key"], pyarrow.array(sorted(outdated), pyarrow.string()))
        rows = rows.filter(pyarrow.compute.invert(is_outdated))
    found = [each for each in (rows, added) if each is not None]
    return pyarrow.concat_tables(found).combine_chunks() if found else None


def _no_rows(columns: int) -> Any:
    import pyarrow

    return pyarrow.table(
        {name: pyarrow.array([], pyarrow.string()) for name in [*(f"c{n}" for n in range(columns)), "key"]}
    )
