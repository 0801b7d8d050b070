"""information_schema as Athena has it, from the Glue Data Catalog.

https://docs.aws.amazon.com/athena/latest/ug/querying-glue-catalog.html
"""

import uuid
from collections.abc import Iterator
from typing import Any

from localaws.athena import catalog, views
from localaws.athena.errors import QueryError
from localaws.athena.types import trino_of_glue

CATALOG = "awsdatacatalog"
# Table -> its columns; numbers are bigint, all else is text.
COLUMNS = {
    "schemata": ("catalog_name", "schema_name"),
    "tables": ("table_catalog", "table_schema", "table_name", "table_type"),
    "views": ("table_catalog", "table_schema", "table_name", "view_definition"),
    "columns": (
        *("table_catalog", "table_schema", "table_name", "column_name", "ordinal_position", "column_default"),
        *("is_nullable", "data_type", "comment", "extra_info"),
    ),
}


def relation(name: str, duckdb: Any) -> str:
    """A SELECT over one of its tables."""
    import pyarrow

    if name not in COLUMNS:
        raise QueryError(f"TABLE_NOT_FOUND: Table '{CATALOG}.information_schema.{name}' does not exist")
    rows = list(_ROWS[name]())
    kinds = {column: pyarrow.int64() if column == "ordinal_position" else pyarrow.string() for column in COLUMNS[name]}
    arrays = {
        column: pyarrow.array([row[place] for row in rows], kinds[column]) for place, column in enumerate(COLUMNS[name])
    }
    registered = f"rows_{uuid.uuid4().hex}"
    duckdb.register(registered, pyarrow.table(arrays))
    return f"SELECT * FROM {registered}"


def _schemata() -> Iterator[tuple[Any, ...]]:
    for database in sorted([*catalog.databases(), "information_schema"]):
        yield CATALOG, database


def _every() -> Iterator[tuple[str, catalog.Table]]:
    for database in catalog.databases():
        for table in catalog.tables(database):
            yield database, table


def _tables() -> Iterator[tuple[Any, ...]]:
    for database, table in _every():
        yield CATALOG, database, table["Name"], "VIEW" if catalog.is_view(table) else "BASE TABLE"


def _views() -> Iterator[tuple[Any, ...]]:
    for database, table in _every():
        if catalog.is_view(table):
            yield CATALOG, database, table["Name"], views.definition(table)["originalSql"]


def _columns() -> Iterator[tuple[Any, ...]]:
    for database, table in _every():
        for place, (name, kind, comment, extra) in enumerate(described(table), start=1):
            yield CATALOG, database, table["Name"], name, place, None, "YES", kind, comment, extra


def described(table: catalog.Table) -> Iterator[tuple[str, str, str | None, str | None]]:
    """(name, Trino's type, comment, `partition key` or None) of a table's or view's columns."""
    if catalog.is_view(table):
        for each in views.definition(table)["columns"]:
            yield each["name"], each["type"], None, None
        return
    for listed, extra in ((table["StorageDescriptor"].get("Columns"), None), (table.get("PartitionKeys"), KEY)):
        for each in listed or []:
            yield each["Name"], trino_of_glue(each.get("Type", "string")), each.get("Comment"), extra


KEY = "partition key"
_ROWS = {"schemata": _schemata, "tables": _tables, "views": _views, "columns": _columns}
