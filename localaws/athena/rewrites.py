"""Expressions of Athena's with their meaning in DuckDB, where the two differ; each is typed by now.

Athena's functions are Trino's: https://trino.io/docs/current/functions.html
"""

import re
from collections.abc import Callable
from typing import Any

from localaws.athena.errors import QueryError

# Athena's arithmetic and casts where they depend on a value.
MACROS = (
    # A text is an integer only if it is written as one; a fraction rounds half away from zero.
    """athena_integer(x) AS CASE
         WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(CAST(x AS VARCHAR), '[+-]?[0-9]+') THEN NULL
         WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CAST(CAST(round(TRY_CAST(x AS DOUBLE)) AS HUGEINT) AS VARCHAR)
         WHEN typeof(x) = 'BOOLEAN' THEN CASE CAST(x AS VARCHAR) WHEN 'true' THEN '1' ELSE '0' END
         ELSE CAST(x AS VARCHAR) END""",
    # The pattern is slow; what DuckDB reads as a finite number has it, but for its own separator of digits.
    r"""athena_double(x) AS CASE
         WHEN typeof(x) = 'VARCHAR'
           AND NOT (coalesce(isfinite(TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE)), false)
             AND NOT contains(CAST(x AS VARCHAR), '_'))
           AND NOT regexp_full_match(CAST(x AS VARCHAR),
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
    """athena_value(m, k) AS CASE WHEN NOT list_contains(map_keys(m), k)
         THEN error('INVALID_FUNCTION_ARGUMENT: Key not present in map: ' || CAST(k AS VARCHAR)) ELSE m[k] END""",
)
TEXT = ("VARCHAR", "TEXT", "CHAR", "NCHAR", "NVARCHAR")
WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT")
FRACTIONS = ("DOUBLE", "FLOAT")
# What a text is never compared with.
OTHERS = (*WHOLE, *FRACTIONS, "DECIMAL", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ")
# Functions of bytes, which to_utf8 makes of a text: sqlglot's names.
OF_BYTES = frozenset(("MD5", "MD5Digest", "SHA", "SHA1Digest", "SHA2", "SHA2Digest"))
# Functions whose first argument is a text, and || and concat, all of whose are: sqlglot's names.
OF_TEXT = frozenset(
    (
        *("Concat", "DPipe", "Lower", "RegexpExtract", "RegexpLike", "RegexpReplace", "Replace", "Split", "SplitPart"),
        *("StrPosition", "Substring", "Trim", "Upper"),
    )
)
DAYS_AND_LONGER = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


def rewrite(node: Any) -> None:
    """Give an expression Athena's meaning in DuckDB; its parts have theirs by now."""
    from sqlglot import expressions as ast

    if type(node).__name__ in OF_TEXT:
        _require_text(node)
    if type(node).__name__ in OF_BYTES and _kind(node.this) in TEXT:
        raise QueryError(f"FUNCTION_NOT_FOUND: line 1:1: Unexpected parameters (varchar) for function {node.key}")
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
        ast.Add: _keep_day,
        ast.Sub: _keep_day,
        ast.Nullif: _compare,
        ast.Case: _compare_cases,
        **dict.fromkeys((ast.Union, ast.Except, ast.Intersect), _unite),
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
    others = [node.args.get(each) for each in ("expression", "low", "high")] + list(node.args.get("expressions") or [])
    for right in others:
        if right is not None:
            _require_same(node.this, right)
    return node


def _require_same(left: Any, right: Any) -> None:
    kinds = {_kind(left), _kind(right)}
    if kinds & set(TEXT) and kinds & set(OTHERS):
        raise QueryError(
            f"TYPE_MISMATCH: line 1:1: Cannot apply operator: {_kind(left).lower()} = {_kind(right).lower()}"
        )


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
    """A subscript out of bounds, or a key that is not there, is an error; element_at gives NULL."""
    from sqlglot import expressions as ast

    index, counted_from = node.expressions[0], node.args.get("offset") or 0
    if node.args.get("safe"):
        return node
    if _kind(node.this) == "MAP":
        return _call("athena_value", node.this, index)
    # sqlglot counts literals from 0 inside.
    place = int(index.name) + 1 - counted_from if index.is_number else ast.paren(index.copy())
    return _call("athena_element", node.this, place)


def _keep_day(node: Any) -> Any:
    """A date moved by an interval of days or longer is a date."""
    from sqlglot import expressions as ast

    interval = node.expression
    if _kind(node.this) != "DATE" or not isinstance(interval, ast.Interval):
        return node
    if str(interval.unit.name if interval.unit else "DAY").upper() not in DAYS_AND_LONGER:
        raise QueryError("INVALID_FUNCTION_ARGUMENT: Cannot add hour, minutes or seconds to a date")
    return ast.cast(ast.paren(node.copy()), "DATE")


def _compare_cases(node: Any) -> Any:
    for case in node.args["ifs"] if node.this is not None else []:
        _require_same(node.this, case.this)
    return node


def _unite(node: Any) -> Any:
    """The columns of a set operation, by place."""
    for left, right in zip(node.left.selects, node.right.selects, strict=False):
        _require_same(left, right)
    return node


def _require_text(node: Any) -> None:
    """Text functions take no numbers; DuckDB would print them."""
    found = {"dpipe": [node.this, node.expression], "concat": node.expressions}.get(node.key, [node.this])
    for each in found:
        if _kind(each) in OTHERS:
            raise QueryError(
                f"FUNCTION_NOT_FOUND: line 1:1: Unexpected parameters ({_kind(each).lower()}) for function {node.key}"
            )


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
