"""A Glue table's rows as a DuckDB query: CSV, text and Parquet files, partitions, and the hidden column `$path`."""

import re
import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from localaws.athena import catalog, projection
from localaws.athena.csv_cache import CsvCache
from localaws.athena.errors import QueryError
from localaws.athena.types import duckdb_type
from localaws.ministack import patches

CACHE = CsvCache()
# What Hive escapes in a partition's folder, besides control characters.
ESCAPED = "\"#%'*/:=?\\{[]^\x7f"
# The folder of a partition whose key is NULL.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
# Columns by name and Hive's type.
Columns = list[tuple[str, str]]
# A partition key's expression, from the expression of an object's key below the location.
Key = Callable[[str], str]
# A relation, the expressions of its columns, and the one of an object's key.
Source = tuple[str, list[str], str]
OPEN_CSV, LAZY_SIMPLE, PARQUET = "OpenCSVSerde", "LazySimpleSerDe", "Parquet"


def quoted(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


class Reader:
    """The queries over tables' rows, for one connection. folders: gets the folders that they read."""

    def __init__(self, duckdb: Any, folders: list[str]) -> None:
        self._duckdb = duckdb
        self._folders = folders

    def rows(self, table: catalog.Table) -> str:
        """A SELECT of the table's columns, its partition keys, and `$path`.

        Without projection Athena reads the partitions that are registered, each in its own format.
        """
        storage, keys = table["StorageDescriptor"], catalog.keys(table)
        skipped = int((table.get("Parameters") or {}).get("skip.header.line.count", 0))
        if keys and projection.enabled(table):
            storage = {**storage, "Location": projection.root(table)}
            values = [_in_path(projection.pattern(table, name), name, kind) for name, kind in keys]
            return self._files(storage, catalog.columns(table), values, skipped, projection.pattern(table))
        if not keys:
            return self._files(storage, catalog.columns(table), [], skipped)
        found = []
        for partition in catalog.partitions(table):
            own = {**storage, **(partition.get("StorageDescriptor") or {})}
            values = [_constant(*key, value) for key, value in zip(keys, partition["Values"], strict=True)]
            found.append(self._files(own, catalog.columns(table), values, skipped))
        return " UNION ALL ".join(found) or _no_rows([*catalog.columns(table), *keys])

    def _files(self, storage: dict[str, Any], columns: Columns, keys: list[Key], skipped: int, only: str = "") -> str:
        """The rows below one location. only: a pattern of the objects' keys below it."""
        location = storage["Location"].rstrip("/") + "/"
        if serde(storage) == PARQUET:
            source, chosen, path = self._parquet(storage, columns, only)
        else:
            source, chosen, path = self._csv(storage, columns, skipped, only)
        chosen = [*chosen, *(key(path) for key in keys), f'{quoted(location)} || {path} AS "$path"']
        return f"SELECT {', '.join(chosen)} FROM {source}"

    def _csv(self, storage: dict[str, Any], columns: Columns, skipped: int, only: str) -> Source:
        parameters = (storage.get("SerdeInfo") or {}).get("Parameters") or {}
        text = serde(storage) == LAZY_SIMPLE
        options = _text_options(parameters) if text else _csv_options(parameters)
        names = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(columns)))
        options += f", columns = {{{names}}}, skip = {skipped}"
        if not text:
            options += (
                f", force_not_null = {[f'c{index}' for index, (_, kind) in enumerate(columns) if _is_text(kind)]}"
            )
        column = _text_column if text else _csv_column
        chosen = [column(index, *each) for index, each in enumerate(columns)]
        if CACHE.fits(storage["Location"], only):
            rows = f"rows_{uuid.uuid4().hex}"
            self._duckdb.register(rows, CACHE.rows(storage["Location"], options, len(columns), only))
            return rows, chosen, "key"
        listed, path = self._copies(storage, only)
        return f"read_csv({listed}, {options}, filename = true, hive_partitioning = false)", chosen, path

    def _parquet(self, storage: dict[str, Any], columns: Columns, only: str) -> Source:
        listed, path = self._copies(storage, only)
        if not path:
            return f"({_no_rows(columns)})", [identifier(name) for name, _ in columns], '"$path"'
        reader = f"read_parquet({listed}, filename = true, union_by_name = true, hive_partitioning = false)"
        return reader, [identifier(name) for name, _ in columns], path

    def _copies(self, storage: dict[str, Any], only: str) -> tuple[str, str]:
        """The files of a location as a list in SQL, and the expression of an object's key; '' without any file."""
        files = patches.module("services.athena")._materialize_table_files(storage["Location"], self._folders)
        root = str(Path(files[0]).parents[_depth(files[0])]) + "/" if files else ""
        files = [path for path in files if re.match(only, path.removeprefix(root))]
        return f"[{', '.join(map(quoted, files))}]", f"substr(filename, {len(root) + 1})" if files else ""


def serde(storage: dict[str, Any]) -> str:
    """OPEN_CSV, LAZY_SIMPLE or PARQUET; QueryError for a table in another format."""
    library = str((storage.get("SerdeInfo") or {}).get("SerializationLibrary", ""))
    if not library and PARQUET.lower() in storage.get("InputFormat", "").lower():
        return PARQUET
    found = next((name for name in (OPEN_CSV, LAZY_SIMPLE, PARQUET) if name.lower() in library.lower()), None)
    if found is None:
        raise QueryError(f"NOT_SUPPORTED: The local Athena does not read tables of {library or 'no SerDe'}.")
    return found


def partition_folder(table: catalog.Table, values: Sequence[str]) -> str:
    """The folder of a partition below its table: `dt=2026-11-20/hour=1/`."""
    pairs = zip(catalog.keys(table), values, strict=True)
    return "".join(f"{name}={_escaped(value)}/" for (name, _), value in pairs)


def _escaped(value: str) -> str:
    return "".join(f"%{ord(each):02X}" if each in ESCAPED or each < " " else each for each in value)


def partition_location(table: catalog.Table, values: Sequence[str]) -> str:
    """Where the files of a partition lie by default."""
    return f"{table['StorageDescriptor']['Location'].rstrip('/')}/{partition_folder(table, values)}"


def partition_folders(table: catalog.Table) -> list[list[str]]:
    """The values of the partitions for which there is a folder with a file."""
    from localaws.sagemaker.s3 import keys_under, split

    location = table["StorageDescriptor"]["Location"].rstrip("/") + "/"
    folders = "".join(f"{re.escape(name)}=([^/]+)/" for name, _ in catalog.keys(table))
    found = {match.groups() for key in keys_under(location) if (match := re.match(split(location)[1] + folders, key))}
    return [[urllib.parse.unquote(value) for value in values] for values in sorted(found)]


def _no_rows(columns: Columns) -> str:
    chosen = [f"CAST(NULL AS {duckdb_type(kind)}) AS {identifier(name)}" for name, kind in columns]
    return f"SELECT {', '.join([*chosen, _NO_PATH])} WHERE false"


_NO_PATH = 'CAST(NULL AS VARCHAR) AS "$path"'


def _in_path(pattern: str, name: str, kind: str) -> Key:
    """The value of a partition key in an object's path: `dt=2026-11-20` is `2026-11-20`."""

    def expression(path: str) -> str:
        value = f"regexp_extract({path}, {quoted(pattern)}, 1)"
        return f"{_cast(value, kind)} AS {identifier(name)}"

    return expression


def _constant(name: str, kind: str, value: str) -> Key:
    text = "NULL" if value == NULL_PARTITION else quoted(value)
    return lambda path: f"CAST({text} AS {duckdb_type(kind)}) AS {identifier(name)}"


def _cast(value: str, kind: str) -> str:
    return value if duckdb_type(kind) == "VARCHAR" else f"TRY_CAST({value} AS {duckdb_type(kind)})"


def _depth(path: str) -> int:
    """How many folders lie between a materialised file and its root (`.../ministack-athena-xyz/`)."""
    parents = Path(path).parents
    return next(index for index, parent in enumerate(parents) if parent.name.startswith("ministack-athena-"))


def _csv_options(parameters: dict[str, str]) -> str:
    """Arguments of read_csv for OpenCSVSerDe."""
    quote = quoted(parameters.get("quoteChar", '"'))
    delimiter = quoted(parameters.get("separatorChar", ","))
    return f"{_read_csv(delimiter)}, quote = {quote}, escape = {quote}"


def _text_options(parameters: dict[str, str]) -> str:
    """Arguments of read_csv for LazySimpleSerDe: nothing is quoted, and a byte 1 ends a field."""
    delimiter = parameters.get("field.delim", "\x01")
    null = parameters.get("serialization.null.format", "\\N")
    return f"{_read_csv(quoted(delimiter))}, quote = '', escape = '', nullstr = {quoted(null)}"


def _read_csv(delimiter: str) -> str:
    return f"auto_detect = false, header = false, delim = {delimiter}, null_padding = true, strict_mode = false"


def _is_text(kind: str) -> bool:
    return duckdb_type(kind) == "VARCHAR"


def _csv_column(index: int, name: str, kind: str) -> str:
    """Of OpenCSVSerDe: an empty field is '' (Athena gives NULL only where a line is short)."""
    value = f"c{index}" if _is_text(kind) else f"CAST(c{index} AS {duckdb_type(kind)})"
    return f"{value} AS {identifier(name)}"


def _text_column(index: int, name: str, kind: str) -> str:
    """Of LazySimpleSerDe: what does not have the column's type is NULL."""
    return f"{_cast(f'c{index}', kind)} AS {identifier(name)}"
