"""The Glue Data Catalog in this process, as Athena reads and changes it."""

import json
import time
from collections.abc import Iterator
from typing import Any

from localaws.athena.errors import QueryError
from localaws.ministack import patches

Table = dict[str, Any]
VIEW = "VIRTUAL_VIEW"


def glue() -> Any:
    """MiniStack's Glue."""
    return patches.module("services.glue")


def databases() -> list[str]:
    """The databases' names, in order."""
    return sorted(glue()._databases)


def tables(database: str) -> Iterator[Table]:
    """The tables and views of a database, in order of their names."""
    for key, table in sorted(glue()._tables.items()):
        if key.startswith(f"{database}/"):
            yield table


def find(database: str, name: str) -> Table | None:
    """A table or view."""
    found: Table | None = glue()._tables.get(f"{database}/{name}")
    return found


def table(database: str, name: str) -> Table:
    """A table or view; QueryError if it is missing."""
    found = find(database, name)
    if found is None:
        raise QueryError(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.{name}' does not exist")
    return found


def is_view(table: Table) -> bool:
    """Whether it is a view."""
    return table.get("TableType") == VIEW


def columns(table: Table) -> list[tuple[str, str]]:
    """(name, Hive's type) of the columns that are in the files."""
    listed = (table.get("StorageDescriptor") or {}).get("Columns") or []
    return [(each["Name"], each.get("Type", "string")) for each in listed]


def keys(table: Table) -> list[tuple[str, str]]:
    """(name, Hive's type) of the partition keys."""
    return [(each["Name"], each.get("Type", "string")) for each in table.get("PartitionKeys") or []]


def partitions(table: Table) -> list[dict[str, Any]]:
    """The partitions that are registered."""
    return list(glue()._partitions.get(f"{table['DatabaseName']}/{table['Name']}") or [])


def require_database(name: str) -> None:
    """Raise QueryError if there is no such database."""
    if name not in glue()._databases:
        raise QueryError(f"SCHEMA_NOT_FOUND: line 1:1: Schema {name} not found")


def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """A Glue operation, such as `create_table`; its failure becomes a QueryError."""
    status, _, body = getattr(glue(), f"_{operation}")(request)
    answer: dict[str, Any] = json.loads(body)
    if status >= 300:
        raise QueryError(f"{answer.get('__type', 'InternalException')}: {answer.get('message', operation)}")
    return answer


def add_partitions(table: Table, found: list[tuple[list[str], str]]) -> None:
    """Register partitions, of which those that exist stay as they are. found: (values, location)."""
    storage = table["StorageDescriptor"]
    inputs = [
        {
            "Values": values,
            "StorageDescriptor": {**storage, "Location": location},
            "Parameters": {"transient_lastDdlTime": str(int(time.time()))},
        }
        for values, location in found
    ]
    request = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"], "PartitionInputList": inputs}
    call("batch_create_partition", request)
