"""Firehose's conversion of JSON records to Parquet by a Glue table: what fits, and what fails alone."""

import base64
import io
import itertools
import json
import re
from typing import Any

import pyarrow.parquet
import pytest

from benchmarks.support.streams import REGION, ROLE, Streams, without_times
from localaws.endpoint import Endpoint


@pytest.fixture
def streams(endpoint: Endpoint) -> Streams:
    return Streams(endpoint)


COLUMNS = [
    {"Name": "id", "Type": "bigint"},
    {"Name": "name", "Type": "string"},
    {"Name": "abv", "Type": "double"},
]


def parquet_of(streams: Streams, columns: list[dict[str, str]], table: str = "beers") -> dict[str, Any]:
    """A delivery stream's format conversion by a Glue table, which is made."""
    glue = streams.client("glue")
    glue.create_database(DatabaseInput={"Name": streams.name})
    glue.create_table(
        DatabaseName=streams.name, TableInput={"Name": "beers", "StorageDescriptor": {"Columns": columns}}
    )
    return {
        "Enabled": True,
        "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
        "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {"Compression": "SNAPPY"}}},
        "SchemaConfiguration": {
            "DatabaseName": streams.name,
            "TableName": table,
            "RoleARN": ROLE,
            "Region": REGION,
        },
    }


CONVERTED = {
    "all columns": (b'{"id": 1, "name": "IPA", "abv": 4.5}', [(1, "IPA", 4.5)]),
    "an integer in a double column": (b'{"id": 1, "name": "IPA", "abv": 5}', [(1, "IPA", 5.0)]),
    "keys in another case": (b'{"ID": 1, "Name": "IPA"}', [(1, "IPA", None)]),
    "unknown keys": (b'{"id": 1, "hops": ["Citra"]}', [(1, None, None)]),
    "a number in a text column": (b'{"id": 1, "name": 7}', [(1, "7", None)]),
    "two objects": (b'{"id": 1}\n{"id": 2}\n', [(1, None, None), (2, None, None)]),
}
UNCONVERTED = {
    "not JSON": (b"nonsense", "ParseError", "Encountered malformed JSON."),
    "cut off": (b'{"id": 1', "ParseError", "Encountered malformed JSON."),
    "not UTF-8": (b'{"name": "\xff"}', "ParseError", "Encountered malformed JSON."),
    "nested too deep": (b"[" * 100_000, "ParseError", "Encountered malformed JSON."),
    "white space": (b" \n", "MalformedData", "The record was empty or contained only whitespace."),
    "an array": (b'[{"id": 1}]', "MalformedData", "The top level must be a JSON object."),
    "a truth value for a number": (b'{"abv": true}', "MalformedData", "abv does not match the schema's double."),
    "text for a number": (
        b'{"id": 1, "abv": "x"}',
        "MalformedData",
        "abv does not match the schema's double.",
    ),
    "a fraction for an integer": (b'{"id": 1.5}', "MalformedData", "id does not match the schema's int64."),
    "too large an integer": (
        b'{"id": 9223372036854775808}',
        "MalformedData",
        "id does not match the schema's int64.",
    ),
}


def table_rows(objects: dict[str, bytes]) -> list[tuple[Any, ...]]:
    [(key, body)] = objects.items()
    assert key.endswith(".parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_the_records_that_fit_the_table_become_one_parquet_object(streams: Streams) -> None:
    streams.deliver("cleaned/", size=64, DataFormatConversionConfiguration=parquet_of(streams, COLUMNS))
    records = [record for record, _ in CONVERTED.values()]
    bad = [record for record, *_ in UNCONVERTED.values()]
    streams.put(*itertools.chain.from_iterable(itertools.zip_longest(records, bad, fillvalue=b'{"id": 0}')))
    streams.drain()
    rows = [row for _, rows in CONVERTED.values() for row in rows]
    assert table_rows(streams.objects("cleaned/")) == rows + [(0, None, None)] * (len(bad) - len(records))


def test_the_records_that_do_not_fit_go_to_the_error_prefix(streams: Streams) -> None:
    streams.deliver("cleaned/", size=64, DataFormatConversionConfiguration=parquet_of(streams, COLUMNS))
    streams.put(*[record for record, *_ in UNCONVERTED.values()])
    streams.drain()
    [(key, body)] = streams.objects().items()
    assert re.match(r"errors/cleaned/format-conversion-failed/dt=\d{4}-\d\d-\d\d/", key)
    lines = [without_times(json.loads(line)) for line in body.splitlines()]
    assert all(line.pop("sequenceNumber").isdigit() for line in lines)
    assert lines == [
        {
            "attemptsMade": 1,
            "lastErrorCode": f"DataFormatConversion.{code}",
            "lastErrorMessage": message,
            "rawData": base64.b64encode(record).decode(),
            "subSequenceNumber": 0,
            "dataCatalogTable": {
                "catalogId": None,
                "databaseName": streams.name,
                "tableName": "beers",
                "region": REGION,
                "versionId": "LATEST",
            },
        }
        for record, code, message in UNCONVERTED.values()
    ]


@pytest.mark.parametrize(
    ("columns", "table", "code"),
    [
        (COLUMNS, "wines", "DataFormatConversion.EntityNotFound"),
        ([{"Name": "id", "Type": "map<string,int>"}], "beers", "DataFormatConversion.InvalidSchema"),
    ],
)
def test_without_a_usable_table_every_record_fails_conversion(
    streams: Streams, columns: list[dict[str, str]], table: str, code: str
) -> None:
    conversion = parquet_of(streams, columns, table)
    streams.deliver("cleaned/", size=64, DataFormatConversionConfiguration=conversion)
    streams.put(b'{"id": 1}', b'{"id": 2}')
    streams.drain()
    [(key, body)] = streams.objects().items()
    assert key.startswith("errors/cleaned/format-conversion-failed/")
    assert [json.loads(line)["lastErrorCode"] for line in body.splitlines()] == [code, code]
