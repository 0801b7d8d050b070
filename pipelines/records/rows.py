"""Objects of the cleaned table that are written directly, not by Firehose."""

import io
import json
from typing import Any

from ingestion import record

ARROW_TYPES = {"integer": "int64", "text": "string", "number": "float64"}


def write_rows(s3: Any, bucket: str, target: str, rows: list[bytes]) -> None:
    """Put the object of some rows; remove what a killed attempt with another transform left in its place.

    target: its key without the extension. With no rows, only what is there is removed.
    """
    key = None
    if rows:
        # The transform writes JSON lines exactly when the table is Parquet.
        parquet = rows[0].startswith(b"{")
        key = target + (".parquet" if parquet else ".csv")
        s3.put_object(Bucket=bucket, Key=key, Body=_parquet(rows) if parquet else b"".join(rows))
    for found in s3.list_objects_v2(Bucket=bucket, Prefix=target).get("Contents", []):
        if found["Key"] != key:
            s3.delete_object(Bucket=bucket, Key=found["Key"])


def _parquet(rows: list[bytes]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(column.name, ARROW_TYPES[column.kind]) for column in record.COLUMNS])
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist([json.loads(row) for row in rows], schema)
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()
