"""INSERT INTO: files of a query's rows beside those of a table.

https://docs.aws.amazon.com/athena/latest/ug/insert-into.html
"""

from typing import Any

from localaws.athena import catalog, tables, writing
from localaws.athena.connection import Connection
from localaws.athena.dialect import table_name
from localaws.athena.errors import QueryError
from localaws.athena.results import Result, wrote
from localaws.athena.tables import identifier
from localaws.athena.types import WIDER, duckdb_type


def run(connection: Connection, tree: Any) -> Result:
    """INSERT INTO: files of the query's rows beside those of the table, in its format."""
    from sqlglot import expressions as ast

    named = [each.name.lower() for each in tree.this.expressions] if isinstance(tree.this, ast.Schema) else None
    target = tree.this.this if named is not None else tree.this
    if tree.args.get("overwrite") or tree.args.get("partition"):
        raise QueryError("NOT_SUPPORTED: Athena has no INSERT OVERWRITE and no INSERT with PARTITION.")
    table = catalog.table(*table_name(target, connection.database))
    if catalog.is_view(table):
        raise QueryError("NOT_SUPPORTED: Inserting into views is not supported")
    if tables.serde(table["StorageDescriptor"]) == tables.OPEN_CSV:
        raise QueryError("NOT_SUPPORTED: The local Athena inserts into Parquet and text tables, not OpenCSVSerde's.")
    statement = connection.translate(tree.expression)
    statement = _as_columns(table, named, statement, connection.describe(statement))
    written = writing.write(connection, table, statement, {}, "")
    known = [each["Values"] for each in catalog.partitions(table)]
    added = [values for values in written.partitions if values not in known]
    catalog.add_partitions(table, [(each, tables.partition_location(table, each)) for each in added])
    return wrote(written.rows)


def _as_columns(table: catalog.Table, named: list[str] | None, statement: str, found: list[tuple[str, str]]) -> str:
    """The statement with the table's columns, by place; the columns that it does not name are NULL."""
    columns = [*catalog.columns(table), *catalog.keys(table)]
    chosen = named if named is not None else [name for name, _ in columns]
    kinds = dict(columns)
    if unknown := [name for name in chosen if name not in kinds]:
        raise QueryError(f"COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target table: {unknown[0]}")
    have = [kind for _, kind in found]
    need = [duckdb_type(kinds[name]) for name in chosen]
    if len(have) != len(need) or not all(_assignable(*each) for each in zip(have, need, strict=True)):
        table_types, query_types = (", ".join(each).lower() for each in (need, have))
        raise QueryError(
            f"TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: Table: [{table_types}], "
            f"Query: [{query_types}]"
        )
    places = ", ".join(f"c{place}" for place in range(len(found)))
    values = [
        f"CAST({f'c{chosen.index(name)}' if name in chosen else 'NULL'} AS {duckdb_type(kind)}) AS {identifier(name)}"
        for name, kind in columns
    ]
    return f"SELECT {', '.join(values)} FROM ({statement}) AS given({places})"


def _assignable(found: str, needed: str) -> bool:
    """Whether Athena assigns the type without a cast.

    https://trino.io/docs/current/language/types.html
    """
    whole = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
    if found in whole and needed in whole:
        return whole.index(found) <= whole.index(needed)
    kind = found.partition("(")[0]
    return found in (needed, '"NULL"') or needed.partition("(")[0] in WIDER.get(kind, ())
