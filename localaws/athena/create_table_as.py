"""CREATE TABLE AS: a Glue table of a query's rows.

https://docs.aws.amazon.com/athena/latest/ug/create-table-as.html
"""

import time
from typing import Any, NamedTuple

from localaws.athena import catalog, tables, views, writing
from localaws.athena.connection import Connection
from localaws.athena.dialect import table_name
from localaws.athena.errors import QueryError
from localaws.athena.results import Result, wrote
from localaws.athena.types import hive_type

# Format -> (input format, output format, SerDe).
HIVE = "org.apache.hadoop.hive"
FORMATS = {
    "PARQUET": (
        f"{HIVE}.ql.io.parquet.MapredParquetInputFormat",
        f"{HIVE}.ql.io.parquet.MapredParquetOutputFormat",
        f"{HIVE}.ql.io.parquet.serde.ParquetHiveSerDe",
    ),
    "TEXTFILE": (
        "org.apache.hadoop.mapred.TextInputFormat",
        f"{HIVE}.ql.io.HiveIgnoreKeyTextOutputFormat",
        f"{HIVE}.serde2.lazy.LazySimpleSerDe",
    ),
}
# Properties of CREATE TABLE AS that are read here; AWS has others, which are refused by name.
# https://docs.aws.amazon.com/athena/latest/ug/create-table-as.html
PROPERTIES = frozenset(
    (
        *("table_type", "is_external", "external_location", "partitioned_by", "format", "write_compression"),
        *("parquet_compression", "field_delimiter"),
    )
)
REFUSED = frozenset(
    (
        *("bucketed_by", "bucket_count", "orc_compression", "compression_level", "location", "partitioning"),
        *("vacuum_min_snapshots_to_keep", "vacuum_max_snapshot_age_seconds", "optimize_rewrite_data_file_threshold"),
    )
)


class Destination(NamedTuple):
    """Where a statement's results go: `s3://bucket/prefix/`, and whether the workgroup insists on it."""

    identifier: str
    output: str
    enforced: bool


def run(connection: Connection, tree: Any, destination: Destination) -> Result:
    """CREATE TABLE AS: a table of the query's rows, its files below a location that must be empty."""
    database, name = table_name(tree.this, connection.database)
    given, with_data = _properties(tree)
    views.check_name(name)
    catalog.require_database(database)
    if catalog.find(database, name):
        if tree.args.get("exists"):
            return Result()
        raise QueryError(f"TABLE_ALREADY_EXISTS: line 1:1: Table 'awsdatacatalog.{database}.{name}' already exists")
    statement = connection.translate(tree.expression)
    columns = connection.describe(statement)
    views.check_columns(columns)
    location = _location(given, destination)
    table = _described(database, name, location, columns, given)
    writing.require_empty(location)
    written = writing.write(connection, table, statement, given, "" if with_data else " WHERE false")
    catalog.call("create_table", {"DatabaseName": database, "TableInput": table})
    catalog.add_partitions(table, [(each, tables.partition_location(table, each)) for each in written.partitions])
    return wrote(written.rows)


def _properties(tree: Any) -> tuple[dict[str, Any], bool]:
    """The properties of CREATE TABLE AS by name, and whether it is WITH DATA."""
    from sqlglot import expressions as ast

    found: dict[str, Any] = {}
    with_data = True
    for each in tree.args["properties"].expressions if tree.args.get("properties") else []:
        if isinstance(each, ast.PartitionedByProperty):
            found["partitioned_by"] = [value.name.lower() for value in each.this.expressions]
        elif isinstance(each, ast.FileFormatProperty):
            found["format"] = each.this.name.upper()
        elif isinstance(each, ast.WithDataProperty):
            with_data = not each.args.get("no")
        elif type(each) is ast.Property:
            found[each.name.lower()] = each.args["value"].name
        else:
            raise QueryError(f"NOT_SUPPORTED: The local Athena creates no table with {each.sql(dialect='trino')}.")
    _check(found)
    return found, with_data


def _check(given: dict[str, Any]) -> None:
    """Raise QueryError for a property that Athena does not know, or that is not offered here."""
    for name in given.keys() - PROPERTIES:
        if name in REFUSED:
            raise QueryError(f"NOT_SUPPORTED: The local Athena does not offer the table property {name}.")
        raise QueryError(f"INVALID_TABLE_PROPERTY: Catalog 'awsdatacatalog' table property '{name}' does not exist")
    kind = str(given.get("table_type", "hive")).lower()
    if kind != "hive":
        raise QueryError(f"NOT_SUPPORTED: The local Athena creates Hive tables, not {kind.capitalize()} tables.")
    if given.setdefault("format", "PARQUET") not in FORMATS:
        raise QueryError(f"NOT_SUPPORTED: The local Athena writes {' and '.join(FORMATS)}, not {given['format']}.")


def _location(given: dict[str, Any], destination: Destination) -> str:
    """The folder of a new table's files.

    https://docs.aws.amazon.com/athena/latest/ug/ctas-considerations-limitations.html
    """
    if "external_location" not in given:
        return f"{destination.output.rstrip('/')}/tables/{destination.identifier}/"
    if destination.enforced:
        raise QueryError(
            "The Create Table As Select query failed because it was submitted with an 'external_location' property to "
            "an Athena Workgroup that enforces a centralized output location for all queries. Please remove the "
            "'external_location' property and resubmit the query."
        )
    return str(given["external_location"]).rstrip("/") + "/"


def _described(
    database: str, name: str, location: str, columns: list[tuple[str, str]], given: dict[str, Any]
) -> catalog.Table:
    """The table of a query's columns; the last ones are its partition keys."""
    keys = given.get("partitioned_by", [])
    listed = [{"Name": each.lower(), "Type": hive_type(kind)} for each, kind in columns]
    split = len(listed) - len(keys)
    if [each["Name"] for each in listed[split:]] != keys:
        raise QueryError(
            "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and in the same order as "
            f"the table properties: {keys}"
        )
    if not split:
        raise QueryError("INVALID_TABLE_PROPERTY: Table contains only partition columns")
    reader, writer, library = FORMATS[given["format"]]
    delimiter = {"field.delim": given["field_delimiter"]} if "field_delimiter" in given else {}
    return {
        "Name": name,
        "DatabaseName": database,
        "Owner": "hadoop",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "has_encrypted_data": "false",
            "transient_lastDdlTime": str(int(time.time())),
        },
        "StorageDescriptor": {
            "Columns": listed[:split],
            "Location": location,
            "InputFormat": reader,
            "OutputFormat": writer,
            "SerdeInfo": {"SerializationLibrary": library, "Parameters": delimiter},
        },
        "PartitionKeys": listed[split:],
    }
