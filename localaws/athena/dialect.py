"""Athena's SQL as DuckDB's, with Athena's result where DuckDB's differs; what cannot be made equal is refused.

A statement is parsed in Athena's dialect, its columns are resolved and typed against the Glue tables, and then the
expressions below are rewritten. Athena's functions are Trino's: https://trino.io/docs/current/functions.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

# Athena's arithmetic and casts where they depend on a value.
MACROS = (
    # A text is an integer only if it is written as one; a fraction rounds half away from zero.
    """athena_integer(x) AS CASE
         WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(CAST(x AS VARCHAR), '[+-]?[0-9]+') THEN NULL
         WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CAST(CAST(round(TRY_CAST(x AS DOUBLE)) AS HUGEINT) AS VARCHAR)
         WHEN typeof(x) = 'BOOLEAN' THEN CASE CAST(x AS VARCHAR) WHEN 'true' THEN '1' ELSE '0' END
         ELSE CAST(x AS VARCHAR) END""",
    r"""athena_double(x) AS CASE
         WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(CAST(x AS VARCHAR),
           '\s*[+-]?([0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|NaN|Infinity)\s*') THEN NULL
         WHEN typeof(x) = 'BOOLEAN' THEN CASE CAST(x AS VARCHAR) WHEN 'true' THEN '1' ELSE '0' END
         ELSE CAST(x AS VARCHAR) END""",
    """athena_cast(x, found, kind) AS CASE WHEN x IS NOT NULL AND found IS NULL
         THEN error('INVALID_CAST_ARGUMENT: Cannot cast ''' || CAST(x AS VARCHAR) || ''' to ' || kind)
         ELSE found END""",
    "athena_regexp_extract(s, p, g) AS CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END",
    "athena_substr(s, b, n) AS CASE WHEN b = 0 THEN '' ELSE substring(s, b, n) END",
    """athena_element(l, i) AS CASE WHEN i < 1 OR i > len(l)
         THEN error('INVALID_FUNCTION_ARGUMENT: Array subscript must be from 1 to the length of the array')
         ELSE l[i] END""",
)
# Functions that sqlglot passes on by name, and that are the same in DuckDB.
SAME = frozenset(
    (
        *("array_distinct", "array_sort", "bit_count", "chr", "codepoint", "cos", "degrees", "e", "from_utf8"),
        *("hamming_distance", "levenshtein_distance", "log10", "log2", "lpad", "pi", "radians", "reverse", "rpad"),
        *("sin", "tan", "to_utf8", "translate"),
    )
)
TEXT = ("VARCHAR", "TEXT", "CHAR", "NCHAR", "NVARCHAR")
WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT")
FRACTIONS = ("DOUBLE", "FLOAT")
# What a text is never compared with.
OTHERS = (*WHOLE, *FRACTIONS, "DECIMAL", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ")
# DuckDB has an information_schema of its own.
INFORMATION_SCHEMA = "athena_information_schema"
# Replaced by _col0, _col1, ... when the columns are known.
UNNAMED = "_unnamed"
DAYS_AND_LONGER = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


class QueryError(Exception):
    """A query fails in Athena's words; the text becomes its StateChangeReason."""


# (database, table) -> the columns' DuckDB types by name, `$path` among them.
Columns = Callable[[str, str], Mapping[str, str]]


def parse(text: str) -> Any:
    """sqlglot's tree of one statement; QueryError for what is none."""
    import logging

    import sqlglot
    from sqlglot.errors import SqlglotError

    # A statement that sqlglot does not know is refused by name.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        found = [each for each in sqlglot.parse(text, read="athena") if each is not None]
    except SqlglotError as error:
        raise QueryError(f"line 1:1: {str(error).splitlines()[0]}") from error
    if len(found) != 1:
        raise QueryError("Only one sql statement is allowed.")
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
            _rewrite(node)
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
            known.setdefault(home, {})[name] = dict(columns(home, name))
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


def _rewrite(node: Any) -> None:
    """Give an expression Athena's meaning in DuckDB; its parts have theirs by now."""
    from sqlglot import expressions as ast

    for kind, rewrite in _rewrites(ast).items():
        if type(node) is kind:
            made = rewrite(node)
            if made is not node:
                made.type = node.type
                node.replace(made)
            return


def _rewrites(ast: Any) -> dict[Any, Callable[[Any], Any]]:
    compared = dict.fromkeys((ast.EQ, ast.NEQ, ast.LT, ast.LTE, ast.GT, ast.GTE), _compare)
    return {
        **compared,
        ast.In: _compare,
        ast.Between: _compare,
        ast.Div: _divide,
        ast.Avg: _keep_type("DECIMAL"),
        ast.Sum: _sum,
        ast.Cast: _cast,
        ast.TryCast: _cast,
        ast.RegexpExtract: _extract,
        ast.RegexpReplace: _replace,
        ast.RegexpReplaceAll if hasattr(ast, "RegexpReplaceAll") else ast.RegexpReplace: _replace,
        ast.Substring: _substring,
        ast.Bracket: _element,
        ast.DateDiff: _difference,
        ast.DateAdd: _keep_date,
        ast.DateSub: _keep_date,
        ast.DateTrunc: _keep_date,
        ast.TimestampTrunc: _keep_date,
    }


def _kind(node: Any) -> str:
    return str(node.type.this.value).upper() if node is not None and node.type is not None else "UNKNOWN"


def _call(name: str, *arguments: Any) -> Any:
    from sqlglot import expressions as ast

    copies = [each.copy() if hasattr(each, "copy") else ast.convert(each) for each in arguments]
    return ast.Anonymous(this=name, expressions=copies)


def _compare(node: Any) -> Any:
    """Text and another type have no order; DuckDB would convert one of them."""
    left = node.this
    others = [node.args.get(each) for each in ("expression", "low", "high")] + list(node.args.get("expressions") or [])
    for right in others:
        kinds = {_kind(left), _kind(right)} if right is not None else set()
        if kinds & set(TEXT) and kinds & set(OTHERS):
            raise QueryError(
                f"TYPE_MISMATCH: line 1:1: Cannot apply operator: {_kind(left).lower()} = {_kind(right).lower()}"
            )
    return node


def _divide(node: Any) -> Any:
    """Integers give an integer, decimals a decimal of the longer fraction; a division by zero fails."""
    from sqlglot import expressions as ast

    kinds = {_kind(node.this), _kind(node.expression)}
    if kinds <= set(WHOLE):
        return ast.IntDiv(this=node.this.copy(), expression=node.expression.copy())
    if "DECIMAL" in kinds and kinds <= {"DECIMAL", *WHOLE}:
        scale = max(_scale(node.this), _scale(node.expression))
        quotient = ast.Div(this=node.this.copy(), expression=node.expression.copy(), typed=False, safe=False)
        return ast.cast(ast.paren(quotient), f"DECIMAL(38, {scale})")
    node.set("typed", False)
    return node


def _scale(node: Any) -> int:
    sizes = [int(each.name) for each in node.type.expressions]
    return sizes[1] if len(sizes) > 1 else 0


def _keep_type(kind: str) -> Callable[[Any], Any]:
    def same_type(node: Any) -> Any:
        from sqlglot import expressions as ast

        same = _kind(node.this) == kind
        return ast.cast(node.copy(), node.this.type.sql("duckdb")) if same else node

    return same_type


def _sum(node: Any) -> Any:
    """The sum of integers is a bigint, and fails where it is not one."""
    from sqlglot import expressions as ast

    # A window function is cast as a whole, which its OVER clause follows.
    inside = isinstance(node.parent, ast.Window)
    return ast.cast(node.copy(), "BIGINT") if _kind(node.this) in WHOLE and not inside else node


def _cast(node: Any) -> Any:
    from sqlglot import expressions as ast

    kind, source = str(node.to.this.value).upper(), node.this
    if kind in TEXT and node.to.expressions:
        cut = ast.Substring(
            this=ast.cast(source.copy(), "VARCHAR"), start=ast.convert(1), length=node.to.expressions[0].this.copy()
        )
        return cut
    if kind in WHOLE and _kind(source) not in WHOLE:
        return _checked_cast(node, kind, _call("athena_integer", source))
    if kind in FRACTIONS and _kind(source) not in (*WHOLE, *FRACTIONS, "DECIMAL"):
        return _checked_cast(node, kind, _call("athena_double", source))
    return node


def _checked_cast(node: Any, kind: str, text: Any) -> Any:
    from sqlglot import expressions as ast

    tried = ast.TryCast(this=text, to=node.to.copy())
    if isinstance(node, ast.TryCast):
        return tried
    return _call("athena_cast", node.this, tried, kind.lower())


def _extract(node: Any) -> Any:
    """Without a match NULL, where DuckDB has an empty text."""
    group = node.args.get("group")
    return _call("athena_regexp_extract", node.this, node.expression, group if group is not None else 0)


def _replace(node: Any) -> Any:
    """`$1` names a group, where DuckDB has a backslash and the number."""
    replacement = node.args.get("replacement")
    if replacement is not None and replacement.is_string:
        replacement.set("this", re.sub(r"\$(\d)", r"\\\1", replacement.name))
    return node


def _substring(node: Any) -> Any:
    start = node.args.get("start")
    if start is None or (start.is_int and int(start.name) > 0):
        return node
    length = node.args.get("length")
    return _call("athena_substr", node.this, start, length if length is not None else 2**31 - 1)


def _element(node: Any) -> Any:
    """A subscript out of bounds is an error; element_at gives NULL."""
    index = node.expressions[0]
    if node.args.get("safe") or not index.is_number:
        return node
    # sqlglot counts from 0 inside.
    return _call("athena_element", node.this, int(index.name) + 1 - (node.args.get("offset") or 0))


def _difference(node: Any) -> Any:
    """Whole units between two times, where DuckDB's date_diff counts the borders that are crossed."""
    unit = node.args.get("unit")
    name = str(unit.name if unit is not None else "day").lower()
    return _call("date_sub", name, node.expression, node.this)


def _keep_date(node: Any) -> Any:
    """A date moved by days, or cut to a month, is a date."""
    from sqlglot import expressions as ast

    unit = str(node.args["unit"].name).upper() if node.args.get("unit") is not None else "DAY"
    if _kind(node.this) == "DATE" and unit in DAYS_AND_LONGER:
        return ast.cast(node.copy(), "DATE")
    return node


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
