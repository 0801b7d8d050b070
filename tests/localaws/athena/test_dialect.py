"""Functions and edge cases with Athena's documented result, against the local Athena's translation to DuckDB."""

from typing import Any

import duckdb
import pytest

from localaws.athena import dialect, results, rewrites
from localaws.athena.errors import QueryError

COLUMNS = {"id": "VARCHAR", "n": "BIGINT", "x": "DOUBLE", "d": "DATE", "p": "DECIMAL(5,2)", "$path": "VARCHAR"}
TABLE = """
    CREATE TABLE db.t AS SELECT * FROM (VALUES
      ('7', 7, 7.0::DOUBLE, DATE '2026-01-31', 1.25::DECIMAL(5,2), 's3://b/dt=1/a-2026-01-02'),
      ('', NULL, NULL, NULL, NULL, 's3://b/dt=1/backfill')
    ) v(id, n, x, d, p, "$path")
"""


@pytest.fixture(scope="module")
def connection() -> Any:
    """DuckDB with the macros and a table; the second row is all NULL, its text empty."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    for macro in rewrites.MACROS:
        connection.execute(f"CREATE MACRO {macro}")
    connection.execute("CREATE SCHEMA db")
    connection.execute(TABLE)
    return connection


def run(connection: Any, query: str) -> list[Any]:
    statement = dialect.translate(dialect.parse(query), "db", lambda database, table: COLUMNS)
    return [[results.text(each) for each in row] for row in connection.execute(statement).fetchall()]


# Expression -> its value on the first row of the table, from Athena's documentation (Trino's functions).
VALUES = {
    # regexp_extract: NULL without a match, '' for an empty match.
    "regexp_extract('abc', 'x(.)', 1)": None,
    "regexp_extract('abc', 'b(.)', 1)": "c",
    "regexp_extract('abc', 'b')": "b",
    "regexp_extract('abc', 'x*')": "",
    "regexp_extract(CAST(NULL AS varchar), 'b')": None,
    "coalesce(regexp_extract(\"$path\", '20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]'), 'none')": "2026-01-02",
    "regexp_replace('abc', '(b)', '<$1>')": "a<b>c",
    "regexp_replace('abcb', 'b')": "ac",
    "regexp_like('abc', 'b')": True,
    # Integer division truncates, and the type of one operand decides.
    "7 / 2": 3,
    "-7 / 2": -3,
    "n / 2": 3,
    "n / 2e0": 3.5,
    "x / 2": 3.5,
    "7 % 4": 3,
    "1e0 / 4": 0.25,
    "p / 2": "0.63",
    "1.5 * 2": "3.0",
    # Casts: a text is a number only if it is written as one; fractions round half away from zero.
    "try_cast('1.5' AS bigint)": None,
    "try_cast('1e3' AS bigint)": None,
    "try_cast('12' AS bigint)": 12,
    "try_cast('' AS bigint)": None,
    "try_cast('' AS double)": None,
    "try_cast('1e3' AS double)": 1000.0,
    "try_cast('1_000' AS double)": None,
    **{
        f"try_cast('{text}' AS double)": float(text)
        for text in (" 5 ", ".5", "5.", "+5", "-1E-2", "1e400", "-Infinity")
    },
    **{
        f"try_cast('{text}' AS double)": None
        for text in ("inf", "nan", "-infinity", "1_0.5", "0x1F", "1,5", "--5", "x")
    },
    "try_cast(NULLIF(CAST(x AS varchar), '') AS double)": 7.0,
    "try_cast(NULLIF(CAST(id AS varchar), '') AS bigint)": 7,
    "CAST(2.5e0 AS bigint)": 3,
    "CAST(-2.5e0 AS bigint)": -3,
    "CAST(true AS bigint)": 1,
    "CAST('abcdef' AS varchar(3))": "abc",
    "CAST(7 AS varchar)": "7",
    # Dates and times.
    "date_diff('minute', timestamp '2026-01-01 00:00:59', timestamp '2026-01-01 00:01:00')": 0,
    "date_diff('day', date '2026-01-01', date '2026-01-31')": 30,
    "date_add('day', 1, d)": "2026-02-01",
    "date_add('month', 1, d)": "2026-02-28",
    "date_trunc('month', d)": "2026-01-01",
    "CAST(from_iso8601_timestamp('2026-01-01T10:00:00+02:00') AS varchar)": "2026-01-01 08:00:00+00",
    "from_iso8601_timestamp('2026-01-01T10:00:00+02:00')": "2026-01-01 08:00:00.000 UTC",
    # Text, NULL and arrays.
    "'a' || NULL": None,
    "concat('a', 'b')": "ab",
    "NULLIF('', '')": None,
    "substr('hops', 0, 2)": "",
    "substr('hops', 2, 2)": "op",
    "length('')": 0,
    "array[1, 2][2]": 2,
    "element_at(array[1, 2], 5)": None,
    "array[1, 2][n - 6]": 1,
    "map(array['a'], array[1])['a']": 1,
    "DATE '2026-01-31' + INTERVAL '1' MONTH": "2026-02-28",
    "d - INTERVAL '1' DAY": "2026-01-30",
    "substr('hops', n - 7, 2)": "",
    "CASE n WHEN 7 THEN 'seven' END": "seven",
    "to_hex(md5(to_utf8('hops')))": "A6B9236BF6C7A3DFAFDBC0709208ACC0",
    "try(date_parse('sour', '%Y-%m-%d'))": None,
    "coalesce(NULL, 5)": 5,
    "if(n > 1, 'many')": "many",
    "greatest(1, 2)": 2,
    # An aggregate over a window has one value per row.
    "count(*) OVER ()": 2,
}


@pytest.mark.parametrize("expression", VALUES)
def test_an_expression_has_athenas_value(connection: Any, expression: str) -> None:
    found = run(connection, f"SELECT {expression} FROM t ORDER BY id DESC LIMIT 1")
    assert found == [[VALUES[expression]]]


# Query -> its rows.
QUERIES = {
    "SELECT count(*) / 2, count(n), sum(n), avg(p) FROM t": [[1, 1, 7, "1.25"]],
    "SELECT * FROM t WHERE n IS NOT NULL": [["7", 7, 7.0, "2026-01-31", "1.25"]],
    'SELECT t.*, "$path" FROM db.t WHERE n = 7': [["7", 7, 7.0, "2026-01-31", "1.25", "s3://b/dt=1/a-2026-01-02"]],
    "WITH c AS (SELECT n FROM t) SELECT max(n) / 2 FROM c": [[3]],
    "SELECT id FROM t ORDER BY n DESC": [["7"], [""]],
    "SELECT id FROM t ORDER BY n": [["7"], [""]],
    "SELECT u FROM (SELECT 1 AS one) CROSS JOIN UNNEST(ARRAY[1, 2]) AS z(u)": [[1], [2]],
    "SELECT a.n FROM t a JOIN t b ON a.id = b.id WHERE a.n BETWEEN 1 AND 9 AND a.id IN ('7')": [[7]],
    "SELECT 1.5, DATE '2026-01-02'": [["1.5", "2026-01-02"]],
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_athenas_rows(connection: Any, query: str) -> None:
    assert run(connection, query) == QUERIES[query]


def test_columns_without_a_name_are_numbered_by_their_place(connection: Any) -> None:
    statement = dialect.translate(
        dialect.parse("SELECT 1, n AS one, count(*) FROM t GROUP BY n"), "db", lambda *_: COLUMNS
    )
    assert [each[0] for each in connection.execute(statement).description] == ["_col0", "one", "_col2"]


# Query -> the beginning of Athena's error, or of the refusal of what DuckDB would do otherwise.
ERRORS = {
    "SELECT 1 / 0": "Division by zero",
    "SELECT n / (n - 7) FROM t": "Division by zero",
    "SELECT CAST('1.5' AS bigint)": "INVALID_CAST_ARGUMENT",
    "SELECT CAST('sour' AS double)": "INVALID_CAST_ARGUMENT",
    "SELECT array[1, 2][5]": "INVALID_FUNCTION_ARGUMENT",
    "SELECT * FROM t WHERE id = 1": "TYPE_MISMATCH",
    "SELECT * FROM t WHERE n > '1'": "TYPE_MISMATCH",
    "SELECT * FROM t WHERE id BETWEEN 1 AND 2": "TYPE_MISMATCH",
    "SELECT * FROM t WHERE d = '2026-01-31'": "TYPE_MISMATCH",
    "SELECT * FROM t WHERE id IN (1, 2)": "TYPE_MISMATCH",
    "SELECT array[1, 2][n] FROM t": "INVALID_FUNCTION_ARGUMENT",
    "SELECT map(array['a'], array[1])['b']": "INVALID_FUNCTION_ARGUMENT: Key not present in map: b",
    "SELECT * FROM t a JOIN t b ON a.id = b.n": "TYPE_MISMATCH",
    "SELECT CASE id WHEN 1 THEN 2 END FROM t": "TYPE_MISMATCH",
    "SELECT NULLIF(id, 1) FROM t": "TYPE_MISMATCH",
    "SELECT id FROM t UNION SELECT n FROM t": "TYPE_MISMATCH",
    "SELECT id FROM t WHERE id IN (SELECT n FROM t)": "Cannot compare values of type",
    "SELECT coalesce(id, 1) FROM t": "Cannot mix values of type",
    "SELECT id || 1 FROM t": "FUNCTION_NOT_FOUND",
    "SELECT concat(id, 1) FROM t": "FUNCTION_NOT_FOUND",
    "SELECT lower(n) FROM t": "FUNCTION_NOT_FOUND",
    "SELECT regexp_like(d, '2026') FROM t": "FUNCTION_NOT_FOUND",
    "SELECT d + INTERVAL '1' HOUR FROM t": "Cannot add hour, minutes or seconds to a date",
    "SELECT sum(x) FROM (VALUES 9223372036854775807, 1) v(x)": "out of range",
    "SELECT `id` FROM t": "line 1:1",
    # What sqlglot reads of other dialects.
    "FROM t": "mismatched input 'FROM'",
    "SELECT id, FROM t": "mismatched input 'FROM'",
    "SELECT n::varchar FROM t": "mismatched input '::'",
    "SELECT * FROM t WHERE n == 7": "mismatched input '=='",
    "SELECT [1, 2]": "mismatched input '['",
    "SELECT {'a': 1}": "mismatched input '{'",
    "SELECT n & 1 FROM t": "mismatched input '&'",
    "SELECT id FROM t LIMIT 1 OFFSET 1": "mismatched input 'OFFSET'",
    "SELECT id FROM t LIMIT 1, 1": "mismatched input ','",
    "SELECT id FROM t LIMIT 10 PERCENT": "NOT_SUPPORTED: LIMIT PERCENT",
    "SELECT * EXCLUDE (id) FROM t": "NOT_SUPPORTED: * EXCEPT",
    "SELECT DISTINCT ON (id) id FROM t": "NOT_SUPPORTED: DISTINCT ON",
    "SELECT id FROM t WHERE id ILIKE 'A'": "NOT_SUPPORTED: ILIKE",
    "SELECT id, count(*) FROM t GROUP BY ALL": "NOT_SUPPORTED: GROUP BY ALL",
    "SELECT id FROM t QUALIFY row_number() OVER () = 1": "",
    "SELECT id FROM t USING SAMPLE 10%": "NOT_SUPPORTED: USING SAMPLE",
    "SELECT t.id FROM t SEMI JOIN t u ON t.id = u.id": "NOT_SUPPORTED: SEMI",
    "SELECT unnest(ARRAY[1, 2])": "NOT_SUPPORTED: UNNEST",
    "SELECT current_user": "NOT_SUPPORTED: current_user",
    "SELECT version()": "FUNCTION_NOT_FOUND",
    "SELECT nvl(n, 1) FROM t": "FUNCTION_NOT_FOUND: line 1:10: Function 'nvl' not registered",
    "SELECT string_agg(id, ',') FROM t": "FUNCTION_NOT_FOUND",
    "SELECT median(n) FROM t": "FUNCTION_NOT_FOUND",
    "SELECT CAST(n AS string) FROM t": "TYPE_NOT_FOUND",
    "SELECT md5(id) FROM t": "FUNCTION_NOT_FOUND",
    # Functions without an equal in DuckDB.
    "SELECT format_datetime(current_timestamp, 'yyyy')": "FUNCTION_NOT_FOUND",
    "SELECT to_iso8601(d) FROM t": "FUNCTION_NOT_FOUND",
    "SELECT every(n > 1) FROM t": "FUNCTION_NOT_FOUND",
    "SELECT nan()": "FUNCTION_NOT_FOUND",
    "SELECT infinity()": "FUNCTION_NOT_FOUND",
    "SELECT width_bucket(1e0, 0e0, 2e0, 2)": "does not exist",
    "SELECT xxhash64(to_utf8('a'))": "FUNCTION_NOT_FOUND",
    "SELECT normalize('a')": "does not exist",
    "SELECT checksum(n) FROM t": "FUNCTION_NOT_FOUND",
    "SELECT url_extract_host('http://a/b')": "FUNCTION_NOT_FOUND",
    "SELECT reduce(array[1], 0, (s, y) -> s + y, s -> s * 2)": "NOT_SUPPORTED",
    "SELECT * FROM read_text('/etc/passwd')": "FUNCTION_NOT_FOUND",
    "SELECT * FROM read_csv('/etc/passwd')": "FUNCTION_NOT_FOUND",
    "SELECT * FROM t, LATERAL read_text('/etc/passwd')": "",
    "SELECT * FROM t CROSS JOIN LATERAL (SELECT * FROM read_text('/etc/passwd'))": "",
    "SELECT getenv('HOME')": "FUNCTION_NOT_FOUND",
    "SELECT getvariable('x')": "FUNCTION_NOT_FOUND",
    "COPY t TO '/tmp/x'": "NOT_SUPPORTED",
    "ATTACH '/etc/passwd' AS p": "",
    "INSTALL httpfs": "NOT_SUPPORTED",
    "DROP TABLE t": "NOT_SUPPORTED",
    "SELEC 1": "",
}


@pytest.mark.parametrize("query", ERRORS)
def test_a_statement_fails_where_athena_fails_or_duckdb_would_differ(connection: Any, query: str) -> None:
    with pytest.raises((QueryError, duckdb.Error)) as failure:
        run(connection, query)
    assert ERRORS[query] in str(failure.value)
