"""What sqlglot reads of other dialects, and Athena does not.

A query that runs here and fails in an account would be found too late, so it is refused.
https://docs.aws.amazon.com/athena/latest/ug/functions.html
"""

import functools
from typing import Any

from localaws.athena.errors import QueryError

# Of the functions that sqlglot knows by name, those of Athena's; keywords before a bracket are among them.
NAMES = """
abs acos and any_value approx_distinct approx_percentile arbitrary array array_agg array_distinct array_except
array_intersect array_join array_max array_min array_position array_remove array_sort asin atan atan2 avg bitwise_and
bitwise_and_agg bitwise_not bitwise_or bitwise_or_agg bitwise_xor bool_and bool_or cardinality case cast cbrt ceil
ceiling chr coalesce concat concat_ws contains corr cos cosh count count_if covar_pop covar_samp cume_dist
current_catalog current_date current_time current_timestamp date date_add date_diff date_format date_parse date_trunc
day day_of_month day_of_week day_of_year degrees dense_rank dow doy element_at exists exp extract filter first_value
flatten floor format from_base from_base32 from_base64 from_iso8601_date from_iso8601_timestamp
from_iso8601_timestamp_nanos from_unixtime from_utf8 greatest grouping hour if is_nan json_array_contains json_extract
json_extract_scalar json_format json_object json_parse json_query json_value kurtosis lag last_day_of_month last_value
lead least length levenshtein_distance listagg ln localtime localtimestamp log log10 log2 lower lpad ltrim map
map_from_entries map_keys max max_by md5 min min_by minute mod month normalize now nth_value ntile nullif or
parse_datetime percent_rank pi position pow power quarter radians rand random rank reduce regexp_count regexp_extract
regexp_extract_all regexp_like regexp_replace regexp_split regr_intercept regr_slope repeat replace reverse round row
row_number rpad rtrim second sequence sha1 sha256 sha512 shuffle sign sin sinh skewness slice soundex split split_part
split_to_map sqrt starts_with stddev stddev_pop stddev_samp strpos substr substring sum tan tanh to_base32 to_base64
to_char to_hex to_unixtime to_utf8 transform translate trim truncate try try_cast typeof unnest upper uuid var_pop
var_samp variance week week_of_year width_bucket year year_of_week
"""
FUNCTIONS = frozenset(NAMES.split())
# Types of Athena's statements, by sqlglot's names.
TYPES = frozenset(
    (
        *("BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "VARCHAR", "CHAR"),
        *("VARBINARY", "JSON", "DATE", "TIME", "TIMETZ", "TIMESTAMP", "TIMESTAMPTZ", "ARRAY", "MAP", "STRUCT"),
        *("INTERVAL", "IPADDRESS", "UUID", "NULL", "UNKNOWN"),
    )
)
# Operators of other dialects.
OPERATORS = ("::", "==", "{", "&", "|", "^", "~", "=>", "->>", "<=>", "**", "//")


def check_tokens(text: str) -> None:
    """Raise QueryError for a word or an operator that Athena does not have, by the statement's text."""
    from sqlglot.errors import SqlglotError

    try:
        tokens = _trino().tokenize(text)
    except SqlglotError as error:
        raise QueryError(f"line 1:1: {str(error).splitlines()[0]}") from error
    words = [each.text.lower() for each in tokens]
    for place, token in enumerate(tokens):
        before, after = words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""
        word, kind = words[place], token.token_type.name
        if kind in ("STRING", "IDENTIFIER"):
            continue
        if after == "(" and word in _known() and word not in FUNCTIONS and before not in ("as", "."):
            raise QueryError(f"FUNCTION_NOT_FOUND: line {token.line}:{token.col}: Function '{word}' not registered")
        wrong = (
            token.text in OPERATORS
            or (word == "[" and tokens[place - 1].token_type.name in _BEFORE_A_LIST)
            or (word == "from" and before == ",")
            or (word == "from" and not place)
            or (word == "offset" and "limit" in words[max(0, place - 2) : place])
            or (word == "," and "limit" in words[max(0, place - 2) : place])
        )
        if wrong:
            raise QueryError(f"line {token.line}:{token.col}: mismatched input '{token.text}'")


# A bracket after these begins a list without ARRAY.
_BEFORE_A_LIST = ("SELECT", "COMMA", "L_PAREN", "EQ", "L_BRACKET", "IN", "WHERE", "AND", "OR")


@functools.cache
def _trino() -> Any:
    from sqlglot.dialects.trino import Trino

    return Trino()


@functools.cache
def _known() -> frozenset[str]:
    parser = _trino().parser_class
    return frozenset(name.lower() for name in (*parser.FUNCTIONS, *parser.FUNCTION_PARSERS))


def check_tree(tree: Any) -> None:
    """Raise QueryError for a clause or a type that Athena does not have, by the statement's tree."""
    from sqlglot import expressions as ast

    clauses = {
        "* EXCEPT or REPLACE": any(any(star.args.values()) for star in tree.find_all(ast.Star)),
        "ILIKE, SIMILAR TO, LIKE ANY": any(
            isinstance(each, ast.ILike | ast.SimilarTo) or isinstance(each.expression, ast.Any | ast.All)
            for each in tree.find_all(ast.ILike, ast.SimilarTo, ast.Like)
        ),
        "DISTINCT ON": any(each.args.get("on") for each in tree.find_all(ast.Distinct)),
        "GROUP BY ALL": any(each.args.get("all") for each in tree.find_all(ast.Group)),
        "QUALIFY": any(tree.find_all(ast.Qualify)),
        "USING SAMPLE": any(each.args.get("sample") for each in tree.find_all(ast.Select)),
        "LIMIT PERCENT": any(
            options.args.get("percent")
            for each in tree.find_all(ast.Limit)
            if (options := each.args.get("limit_options"))
        ),
        "SEMI, ANTI and ASOF JOIN": any(
            str(each.args.get(name) or "").upper() in ("SEMI", "ANTI", "ASOF", "POSITIONAL")
            for each in tree.find_all(ast.Join)
            for name in ("kind", "method", "side")
        ),
        "UNNEST outside of FROM": any(isinstance(each.parent, ast.Select) for each in tree.find_all(ast.Unnest)),
        "current_user": any(tree.find_all(ast.CurrentUser)),
    }
    for name, found in clauses.items():
        if found:
            raise QueryError(f"NOT_SUPPORTED: {name}")
    for cast in tree.find_all(ast.Cast, ast.TryCast):
        if (kind := str(cast.to.this.value).upper()) not in TYPES:
            raise QueryError(f"TYPE_NOT_FOUND: line 1:1: Unknown type: {kind.lower()}")
