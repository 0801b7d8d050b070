"""Athena's SQL as DuckDB's, with Athena's result where DuckDB's differs; what cannot be made equal is refused.

A statement is parsed in Athena's dialect, its columns are resolved and typed against the Glue tables, and then its
expressions are rewritten (`rewrites`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from localaws.athena import syntax
from localaws.athena.errors import QueryError
from localaws.athena.rewrites import rewrite

# Functions that sqlglot passes on by name, and that are the same in DuckDB.
SAME = frozenset(
    (
        *("array_distinct", "array_sort", "bit_count", "chr", "codepoint", "cos", "degrees", "e", "from_utf8"),
        *("hamming_distance", "levenshtein_distance", "log10", "log2", "lpad", "pi", "radians", "reverse", "rpad"),
        *("sin", "tan", "to_utf8", "translate"),
    )
)
# DuckDB has an information_schema of its own.
INFORMATION_SCHEMA = "athena_information_schema"
# Replaced by _col0, _col1, ... when the columns are known.
UNNAMED = "_unnamed"


# (database, table) -> the columns' DuckDB types by name, `$path` among them.
Columns = Callable[[str, str], Mapping[str, str]]


def parse(text: str) -> Any:
    """sqlglot's tree of one statement; QueryError for what is none."""
    import logging

    import sqlglot
    from sqlglot.errors import SqlglotError

    syntax.check_tokens(text)
    # A statement that sqlglot does not know is refused by name.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        found = [each for each in sqlglot.parse(text, read="athena") if each is not None]
    except SqlglotError as error:
        raise QueryError(f"line 1:1: {str(error).splitlines()[0]}") from error
    if len(found) != 1:
        raise QueryError("Only one sql statement is allowed.")
    syntax.check_tree(found[0])
    return found[0]


def table_name(table: Any, database: str) -> tuple[str, str]:
    """(database, name) of a table in a parsed statement; Athena's names have small letters."""
    if table.catalog and table.catalog.lower() != "awsdatacatalog":
        raise QueryError(f"CATALOG_NOT_FOUND: line 1:1: Catalog '{table.catalog}' not found")
    return (table.db or database).lower(), table.name.lower()


def translate(tree: Any, database: str, columns: Columns) -> str:
    """A parsed query in DuckDB's dialect. columns: gives a table's columns, or raises QueryError for a missing table.

    Raises QueryError for a query that Athena refuses, and for one that has no equal in DuckDB.
    """
    import sqlglot
    from sqlglot import expressions as ast
    from sqlglot.errors import SqlglotError

    tree = tree.copy()
    try:
        _refuse_other_sources(tree)
        _mark_unnamed(tree)
        tree = _resolved(tree, database, columns)
        for node in list(tree.find_all(ast.Expression, bfs=False))[::-1]:
            rewrite(node)
        _name_columns(tree)
        return str(tree.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE))
    except SqlglotError as error:
        raise QueryError(f"line 1:1: {str(error).splitlines()[0]}") from error


def _refuse_other_sources(tree: Any) -> None:
    """Athena reads tables and nothing else; DuckDB's functions read files and settings."""
    from sqlglot import expressions as ast

    if not isinstance(tree, ast.Query | ast.Values):
        raise QueryError(f"NOT_SUPPORTED: The local Athena does not run {tree.key.upper()}.")
    for table in tree.find_all(ast.Table):
        if not isinstance(table.this, ast.Identifier):
            raise QueryError(f"FUNCTION_NOT_FOUND: {table.this.sql(dialect='athena')} is not a table.")
        if table.args.get("version"):
            raise QueryError("NOT_SUPPORTED: The local Athena has no Iceberg tables, whose versions can be queried.")
    for lateral in tree.find_all(ast.Lateral):
        raise QueryError(f"NOT_SUPPORTED: {lateral.sql(dialect='athena')}")
    for function in tree.find_all(ast.Anonymous, ast.ReadCSV, ast.ReadParquet):
        name = str(function.name or function.key).lower()
        if name not in SAME:
            raise QueryError(f"FUNCTION_NOT_FOUND: The local Athena does not offer {name}.")
    for reduction in tree.find_all(ast.Reduce):
        if reduction.args.get("finish"):
            raise QueryError("NOT_SUPPORTED: The local Athena ignores no output function of reduce, and has none.")


def _resolved(tree: Any, database: str, columns: Columns) -> Any:
    """The tree with every column's table and type; `*` is Athena's, without the hidden `$path`."""
    from sqlglot import expressions as ast
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    common = {each.alias.lower() for each in tree.find_all(ast.CTE)}
    known: dict[str, dict[str, dict[str, str]]] = {}
    for table in tree.find_all(ast.Table):
        if table.db or table.name.lower() not in common:
            home, name = table_name(table, database)
            if home == "information_schema":
                home = INFORMATION_SCHEMA
                table.set("db", ast.to_identifier(home))
            if name not in known.setdefault(home, {}):
                known[home][name] = dict(columns(home, name))
        table.set("catalog", None)
    visible = {
        home: {name: [each for each in listed if each != "$path"] for name, listed in tables.items()}
        for home, tables in known.items()
    }
    for literal in list(tree.find_all(ast.Literal)):
        _type_decimal(literal)
    schema = MappingSchema(known, visible=visible, dialect="athena") if known else None
    tree = qualify(tree, schema=schema, db=database, dialect="athena", validate_qualify_columns=False)
    return annotate_types(tree, schema=schema, dialect="athena")


def _type_decimal(literal: Any) -> None:
    """A number with a point and no exponent is a decimal of just its digits."""
    from sqlglot import expressions as ast

    if not literal.is_string and re.fullmatch(r"\d*\.\d+", literal.name):
        whole, fraction = literal.name.split(".")
        kind = f"DECIMAL({max(1, len(whole.lstrip('0')) + len(fraction))}, {len(fraction)})"
        literal.replace(ast.cast(literal.copy(), kind))


def _mark_unnamed(tree: Any) -> None:
    """Give the result's expressions without a name one that qualification leaves alone."""
    from sqlglot import expressions as ast

    for column in tree.selects:
        if not isinstance(column, ast.Alias | ast.Column | ast.Star):
            column.replace(ast.alias_(column.copy(), UNNAMED, quoted=True))


def _name_columns(tree: Any) -> None:
    """Athena names such a column _col0, _col1, ... by its place, which a `*` before it moves."""
    for place, column in enumerate(tree.selects):
        if column.alias == UNNAMED:
            column.args["alias"].set("this", f"_col{place}")
