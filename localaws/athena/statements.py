"""One statement, from its text to its result."""

import re
from collections.abc import Callable
from typing import Any

from localaws.athena import catalog, create_table_as, dialect, hive, insert, views, writing
from localaws.athena.connection import Connection
from localaws.athena.create_table_as import Destination
from localaws.athena.dialect import table_name
from localaws.athena.errors import QueryError
from localaws.athena.results import NOTHING, Result

UNLOAD = re.compile(
    r"\s*UNLOAD\s*\(\s*(?P<query>.*)\)\s*TO\s*'(?P<target>s3://[^']+)'\s*WITH\s*\((?P<options>[^)]*)\)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
# What runs besides Hive's statements, as README.md lists it.
STATEMENTS = ("SELECT", "UNLOAD", "CREATE [OR REPLACE] VIEW", "DROP VIEW", "CREATE TABLE AS", "INSERT INTO")
OPTION = re.compile(r"(\w+)\s*=\s*'?([\w-]+)'?")


def run(text: str, database: str, destination: Destination) -> Result:
    """Run a statement. database: for names without one. Raises QueryError."""
    if found := hive.find(text):
        statement, cursor = found
        return statement(cursor, database)
    unload = UNLOAD.fullmatch(text)
    tree = dialect.parse(unload["query"] if unload else text)
    with Connection(database) as connection:
        if unload:
            return _unload(connection, tree, unload)
        return _statement(tree)(connection, tree, destination)


def _statement(tree: Any) -> Callable[[Connection, Any, Destination], Result]:
    """What runs a parsed statement; QueryError for one that is not offered here."""
    from sqlglot import expressions as ast

    if isinstance(tree, ast.Query | ast.Values):
        return _select
    if isinstance(tree, ast.Insert):
        return lambda connection, tree, _: insert.run(connection, tree)
    kind = tree.args.get("kind")
    if isinstance(tree, ast.Create) and kind == "VIEW":
        return _create_view
    if isinstance(tree, ast.Create) and kind == "TABLE" and tree.expression and not tree.args.get("replace"):
        return create_table_as.run
    if isinstance(tree, ast.Drop) and kind == "VIEW":
        return _drop_view
    words = str(tree.this).upper() if isinstance(tree, ast.Command) else tree.key.upper()
    raise QueryError(f"NOT_SUPPORTED: The local Athena does not run {' '.join([words, str(kind or '')]).strip()}.")


def _select(connection: Connection, tree: Any, _: Destination) -> Result:
    return connection.select(tree)


def _unload(connection: Connection, tree: Any, match: re.Match[str]) -> Result:
    """The query's rows as one Parquet object below the target, which must be empty."""
    target = match["target"].rstrip("/") + "/"
    options = {name.lower(): value.upper() for name, value in OPTION.findall(match["options"])}
    if options.get("format") != "PARQUET":
        raise QueryError("NOT_SUPPORTED: The local Athena unloads as PARQUET only: WITH (format = 'PARQUET').")
    if others := options.keys() - {"format", "compression"}:
        raise QueryError(f"NOT_SUPPORTED: The local Athena unloads without {', '.join(sorted(others))}.")
    writing.require_empty(target)
    writing.put(connection, connection.translate(tree), target, "PARQUET", options.get("compression", "GZIP"))
    return NOTHING


def _create_view(connection: Connection, tree: Any, _: Destination) -> Result:
    """CREATE [OR REPLACE] VIEW; the query is translated, which finds what a query through it would find."""
    from sqlglot import expressions as ast

    if tree.args.get("properties") or isinstance(tree.this, ast.Schema):
        raise QueryError("NOT_SUPPORTED: The local Athena creates views without column names and properties.")
    database, name = table_name(tree.this, connection.database)
    catalog.require_database(database)
    text = tree.expression.sql(dialect="athena", pretty=True)
    columns = connection.describe(connection.translate(tree.expression))
    described = views.table_input(name, text, connection.database, columns)
    existing = catalog.find(database, name)
    request = {"DatabaseName": database, "TableInput": described}
    if existing is None:
        catalog.call("create_table", request)
    elif tree.args.get("replace") and catalog.is_view(existing):
        catalog.call("update_table", request)
    else:
        kind = "View" if catalog.is_view(existing) else "Table"
        raise QueryError(f"ALREADY_EXISTS: line 1:1: {kind} already exists: 'awsdatacatalog.{database}.{name}'")
    return NOTHING


def _drop_view(connection: Connection, tree: Any, _: Destination) -> Result:
    for each in tree.args["tables"]:
        database, name = table_name(each, connection.database)
        found = catalog.find(database, name)
        if found is not None and catalog.is_view(found):
            catalog.call("delete_table", {"DatabaseName": database, "Name": name})
        elif found is not None or not tree.args.get("exists"):
            raise QueryError(f"VIEW_NOT_FOUND: line 1:1: View 'awsdatacatalog.{database}.{name}' does not exist")
    return NOTHING
