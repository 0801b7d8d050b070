"""The names of types: in a Glue table (Hive's), in a statement and a view (Trino's), and in DuckDB.

https://docs.aws.amazon.com/athena/latest/ug/data-types.html
"""

from localaws.athena.errors import QueryError

# Hive's name -> DuckDB's; a decimal has its digits after it.
GLUE_TYPES = {
    "bigint": "BIGINT",
    "binary": "BLOB",
    "boolean": "BOOLEAN",
    "char": "VARCHAR",
    "date": "DATE",
    "decimal": "DECIMAL",
    "double": "DOUBLE",
    "float": "FLOAT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "smallint": "SMALLINT",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "tinyint": "TINYINT",
    "varchar": "VARCHAR",
}
HIVE_NAMES = {"integer": "int", "varchar": "string", "real": "float", "varbinary": "binary", "timestamp": "timestamp"}
TRINO_NAMES = {"float": "real", "blob": "varbinary"}
# The types that hold every value of a number's or a date's type without a cast.
WIDER = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), ("DECIMAL", "FLOAT", "DOUBLE")),
    "DECIMAL": ("DECIMAL", "FLOAT", "DOUBLE"),
    "FLOAT": ("DOUBLE",),
    "DATE": ("TIMESTAMP",),
}
STORED = frozenset(GLUE_TYPES.values())


def duckdb_type(kind: str) -> str:
    """A Glue column's type in DuckDB; QueryError for one that is not read here."""
    name, _, digits = kind.lower().partition("(")
    try:
        found = GLUE_TYPES[name.strip()]
    except KeyError as error:
        raise QueryError(f"NOT_SUPPORTED: The local Athena does not read columns of type {kind}.") from error
    return f"DECIMAL({digits or '10,0)'}" if found == "DECIMAL" else found


def trino_type(duckdb_type: str) -> str:
    """The type of a query's column, as a view stores it and information_schema has it."""
    name = duckdb_type.lower()
    if name.startswith("timestamp with"):
        return "timestamp(3) with time zone"
    if name.startswith("timestamp"):
        return "timestamp(3)"
    return TRINO_NAMES.get(name, name)


def hive_type(duckdb_type: str) -> str:
    """The type of a query's column in a Glue table; QueryError for one that no Hive table stores."""
    name = trino_type(duckdb_type)
    if duckdb_type.partition("(")[0] not in STORED and name != "timestamp(3)":
        raise QueryError(f"NOT_SUPPORTED: Unsupported Hive type: {name}")
    return HIVE_NAMES.get(name.partition("(")[0], name)


def trino_of_glue(kind: str) -> str:
    """The type of a Glue table's column in statements; Hive's name for one that is not read here."""
    name, _, length = kind.lower().partition("(")
    if name in ("varchar", "char") and length:
        return kind.lower()
    return trino_type(duckdb_type(kind)) if name in GLUE_TYPES else kind.lower()
