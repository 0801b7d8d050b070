"""The objects that a statement writes: one per partition, in the table's format."""

import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from localaws.athena import catalog, tables
from localaws.athena.connection import Connection
from localaws.athena.errors import QueryError
from localaws.athena.tables import identifier, quoted

# https://docs.aws.amazon.com/athena/latest/ug/ctas-considerations-limitations.html
MOST_PARTITIONS = 100


class Written(NamedTuple):
    """What was written: the number of rows, and the values of their partitions."""

    rows: int
    partitions: list[list[str]]


def write(connection: Connection, table: catalog.Table, statement: str, given: dict[str, Any], where: str) -> Written:
    """One object per partition. Beyond Athena's limit the first 100 stay behind, as there."""
    keys = [identifier(name) for name, _ in catalog.keys(table)]
    connection.execute(f"CREATE TEMP TABLE written AS SELECT * FROM ({statement}){where}")
    count = connection.execute("SELECT count(*) FROM written").fetchall()[0][0]
    location, form = table["StorageDescriptor"]["Location"], _format(table)
    compression = given.get("write_compression", given.get("parquet_compression", "GZIP"))
    if not keys:
        if count or form == "PARQUET":
            put(connection, "SELECT * FROM written", location, form, compression, table)
        return Written(count, [])
    listed = ", ".join(keys)
    found = connection.execute(f"SELECT DISTINCT {listed} FROM written ORDER BY {listed}").fetchall()
    partitions = []
    for row in found[:MOST_PARTITIONS]:
        partitions.append([tables.NULL_PARTITION if value is None else _text(value) for value in row])
        pairs = zip(keys, row, strict=True)
        same = " AND ".join(f"{key} IS NOT DISTINCT FROM {_literal(value)}" for key, value in pairs)
        query = f"SELECT * EXCLUDE ({listed}) FROM written WHERE {same}"
        put(connection, query, tables.partition_location(table, partitions[-1]), form, compression, table)
    if len(found) > MOST_PARTITIONS:
        raise QueryError(
            f"HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of {MOST_PARTITIONS} open writers for partitions/buckets. "
            f"You may need to manually clean the data at location '{location}' before retrying. Athena will not delete "
            "data in your account."
        )
    return Written(count, partitions)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _literal(value: Any) -> str:
    return "NULL" if value is None else quoted(_text(value))


def _format(table: catalog.Table) -> str:
    return "PARQUET" if tables.serde(table["StorageDescriptor"]) == tables.PARQUET else "TEXTFILE"


def put(
    connection: Connection, query: str, folder: str, form: str, compression: str, table: catalog.Table | None = None
) -> None:
    """A translated query's rows as one object, named as Athena names it."""
    from localaws.sagemaker.s3 import client, split

    path = Path(connection.folders[0]) / "part"
    ending = ".gz" if form == "TEXTFILE" else ""
    options = f"FORMAT parquet, COMPRESSION {identifier(compression.lower())}"
    if form == "TEXTFILE":
        parameters = table["StorageDescriptor"]["SerdeInfo"].get("Parameters") or {} if table else {}
        delimiter = quoted(parameters.get("field.delim", "\x01"))
        options = (
            f"FORMAT csv, HEADER false, DELIMITER {delimiter}, QUOTE '', ESCAPE '', NULLSTR '\\N', COMPRESSION gzip"
        )
    connection.execute(f"COPY ({query}) TO {quoted(str(path))} ({options})")
    stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    bucket, key = split(f"{folder.rstrip('/')}/{stamp}_{uuid.uuid4()}{ending}")
    client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


def require_empty(location: str) -> None:
    from localaws.sagemaker.s3 import keys_under

    if keys_under(location):
        raise QueryError(
            f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{location}' already exists: {location}. You may "
            f"need to manually clean the data at location '{location}' before retrying. Athena will not delete data in "
            "your account."
        )
