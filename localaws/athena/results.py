"""Results as Athena returns them: its types' names, and every value as text.

https://docs.aws.amazon.com/athena/latest/ug/data-types.html
"""

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

# DuckDB type -> Athena type, for the columns of a result.
TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "DOUBLE": "double",
    "FLOAT": "float",
    "DECIMAL": "decimal",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "BLOB": "varbinary",
    "STRUCT": "row",
    "MAP": "map",
}


class Result(NamedTuple):
    """What a statement returns; written: the rows that CREATE TABLE AS or INSERT wrote."""

    columns: Sequence[str] = ()
    types: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    written: int = 0


NOTHING = Result()


def wrote(rows: int) -> Result:
    """The result of a statement that writes rows: a column and no row, the number beside them."""
    return Result(["rows"], ["bigint"], written=rows)


def lines(found: Sequence[str], column: str = "result") -> Result:
    """The result of a statement that prints lines."""
    return Result([column], ["string"], [[each] for each in found])


def kind(duckdb_type: str) -> str:
    """Athena's name of a type as DuckDB describes it, such as DECIMAL(5,2) or VARCHAR[]."""
    name = duckdb_type.upper()
    return "array" if name.endswith("]") else TYPES.get(name.partition("(")[0], "varchar")


def text(value: Any) -> Any:
    """A value as Athena prints it; None for NULL. Texts and numbers of JSON stay what they are."""
    if isinstance(value, datetime.datetime):
        shown = value.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
        return f"{shown} UTC" if value.tzinfo else shown
    if isinstance(value, list):
        return "[" + ", ".join("null" if each is None else str(text(each)) for each in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{name}={'null' if each is None else text(each)}" for name, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, bytes | bytearray):
        return value.hex(" ")
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
