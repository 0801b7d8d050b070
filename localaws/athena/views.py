"""Views in Glue as Athena stores them: the query as JSON, in base64, in a comment.

https://docs.aws.amazon.com/athena/latest/ug/views.html
"""

import base64
import json
import re
import time
from typing import Any

from localaws.athena import catalog
from localaws.athena.errors import QueryError
from localaws.athena.tables import identifier
from localaws.athena.types import HIVE_NAMES, trino_type

PREFIX, SUFFIX = "/* Presto View: ", " */"


def check_name(name: str) -> None:
    """Raise QueryError for a name that Athena gives neither a view nor a table.

    https://docs.aws.amazon.com/athena/latest/ug/tables-databases-columns-names.html
    """
    if not re.fullmatch(r"\w+", name, re.ASCII):
        raise QueryError(f"INVALID_TABLE_NAME: {name}: a name has letters, digits and underscores")


def check_columns(columns: list[tuple[str, str]]) -> None:
    """Raise QueryError for columns that neither a view nor a table can have. columns: (name, DuckDB's type)."""
    names: set[str] = set()
    for place, (name, kind) in enumerate(columns, start=1):
        if re.fullmatch(r"_col\d+", name):
            raise QueryError(f"MISSING_COLUMN_NAME: line 1:1: Column name not specified at position {place}")
        if name.lower() in names:
            raise QueryError(f"DUPLICATE_COLUMN_NAME: line 1:1: Column name '{name}' specified more than once")
        if kind == '"NULL"':
            raise QueryError(f"COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown: {name}")
        names.add(name.lower())


def table_input(name: str, text: str, database: str, columns: list[tuple[str, str]]) -> dict[str, Any]:
    """Glue's TableInput of a view. text: its query. database: for names in it. columns: (name, DuckDB's type)."""
    check_name(name)
    check_columns(columns)
    types = [(each.lower(), trino_type(kind)) for each, kind in columns]
    definition = {
        "originalSql": text,
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": [{"name": each, "type": kind} for each, kind in types],
    }
    encoded = base64.b64encode(json.dumps(definition).encode()).decode()
    return {
        "Name": name,
        "Owner": "hadoop",
        "TableType": catalog.VIEW,
        "Parameters": {
            "comment": "Presto View",
            "presto_view": "true",
            "transient_lastDdlTime": str(int(time.time())),
        },
        "StorageDescriptor": {
            "Columns": [{"Name": each, "Type": _hive(kind)} for each, kind in types],
            "SerdeInfo": {},
        },
        "PartitionKeys": [],
        "ViewOriginalText": f"{PREFIX}{encoded}{SUFFIX}",
        "ViewExpandedText": "/* Presto View */",
    }


def _hive(kind: str) -> str:
    name = kind.partition("(")[0]
    return HIVE_NAMES.get(name, kind)


def definition(table: catalog.Table) -> dict[str, Any]:
    """originalSql, schema and columns of a view; QueryError for one that Athena did not make."""
    text = table.get("ViewOriginalText") or ""
    if not text.startswith(PREFIX):
        raise QueryError(f"NOT_SUPPORTED: Hive views are not supported: {table['Name']}")
    try:
        found: dict[str, Any] = json.loads(base64.b64decode(text.removeprefix(PREFIX).removesuffix(SUFFIX)))
    except ValueError as error:
        raise QueryError(f"INVALID_VIEW: Invalid view JSON: {table['Name']}") from error
    return found


def relation(place: str, definition: dict[str, Any], statement: str, found: list[tuple[str, str]]) -> str:
    """The view's rows; QueryError if its tables have changed under it. found: the columns that its query has now."""
    stored = [(each["name"], each["type"]) for each in definition["columns"]]
    current = [(name.lower(), "bigint" if kind == "HUGEINT" else trino_type(kind)) for name, kind in found]
    for index, (name, kind) in enumerate(stored):
        if index >= len(current) or current[index] != (name, kind):
            now = f"column [{current[index][0]}] of type {current[index][1]}" if index < len(current) else "no column"
            raise QueryError(
                f"VIEW_IS_STALE: line 1:1: View 'awsdatacatalog.{place}' is stale or in invalid state: {now} projected "
                f"from query view at position {index} cannot be coerced to column [{name}] of type {kind} stored in "
                "view definition"
            )
    names = ", ".join(
        f"CAST({identifier(name)} AS BIGINT) AS {identifier(name)}" if kind == "HUGEINT" else identifier(name)
        for name, kind in found[: len(stored)]
    )
    return f"SELECT {names} FROM ({statement})"
