"""Firehose's record format conversion: JSON records to one Parquet object with a Glue table's columns.

A record is JSON objects, one or several in a row; keys match columns without regard to case, unknown keys
are left out, missing ones are null. A record that does not fit fails alone. pyarrow is imported when it is
needed.
"""

import io
import json
from typing import Any

MALFORMED = "DataFormatConversion.MalformedData"
PARSE_ERROR = "DataFormatConversion.ParseError"

# Hive's primitive types by their pyarrow constructor.
TYPES = {
    "string": "string",
    "boolean": "bool_",
    "tinyint": "int8",
    "smallint": "int16",
    "int": "int32",
    "integer": "int32",
    "bigint": "int64",
    "float": "float32",
    "double": "float64",
}


class ConversionError(ValueError):
    """Why a record cannot be converted. code: as Firehose names it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


Document = dict[str, Any]


def convert(
    records: list[bytes], columns: list[dict[str, str]], compression: str = "snappy"
) -> tuple[bytes, dict[int, ConversionError]]:
    """One Parquet file of the records that fit, and by index why the others do not.

    columns: the Glue table's, each with Name and Type. The file is b"" when nothing fits. Raise
    ConversionError for a column type that is not implemented here.
    """
    import pyarrow
    import pyarrow.parquet

    fields = [pyarrow.field(column["Name"].lower(), _type(column)) for column in columns]
    rows, origins, errors = _parse(records)
    for field in fields:
        errors |= _misfits(rows, origins, field)
    fitting = [row for row, origin in zip(rows, origins, strict=True) if origin not in errors]
    if not fitting:
        return b"", errors
    arrays = [_array([row.get(field.name) for row in fitting], field.type) for field in fields]
    file = io.BytesIO()
    table = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields))
    pyarrow.parquet.write_table(table, file, compression=compression)
    return file.getvalue(), errors


def documents(record: bytes) -> list[Document]:
    """The JSON objects of a record, keys in lower case; raise ConversionError when it holds anything else."""
    try:
        text = record.decode()
        if not text.strip():
            raise ConversionError(MALFORMED, "The record was empty or contained only whitespace.")
        decoder, position, found = json.JSONDecoder(), 0, []
        while text[position:].strip():
            position += len(text[position:]) - len(text[position:].lstrip())
            document, position = decoder.raw_decode(text, position)
            if not isinstance(document, dict):
                raise ConversionError(MALFORMED, "The top level must be a JSON object.")
            found.append({key.lower(): value for key, value in document.items()})
    except ConversionError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConversionError(PARSE_ERROR, "Encountered malformed JSON.") from error
    return found


def _parse(records: list[bytes]) -> tuple[list[Document], list[int], dict[int, ConversionError]]:
    """All rows, the index of the record each came from, and the records that are not JSON objects."""
    rows: list[Document] = []
    origins: list[int] = []
    errors: dict[int, ConversionError] = {}
    for index, record in enumerate(records):
        try:
            found = documents(record)
        except ConversionError as error:
            errors[index] = error
            continue
        rows += found
        origins += [index] * len(found)
    return rows, origins, errors


def _misfits(rows: list[Document], origins: list[int], field: Any) -> dict[int, ConversionError]:
    """The records whose value does not fit; checked one by one only when the whole column fails."""
    if _fits([row.get(field.name) for row in rows], field.type):
        return {}
    return {
        origin: ConversionError(MALFORMED, f"{field.name} does not match the schema's {field.type}.")
        for row, origin in zip(rows, origins, strict=True)
        if not _fits([row.get(field.name)], field.type)
    }


def _fits(values: list[Any], arrow_type: Any) -> bool:
    import pyarrow

    try:
        _array(values, arrow_type)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _array(values: list[Any], arrow_type: Any) -> Any:
    import pyarrow

    if pyarrow.types.is_string(arrow_type):
        # A number in a string column is stored as its JSON text, as the OpenX JSON SerDe does.
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    elif pyarrow.types.is_integer(arrow_type):
        values = [_integer(value) for value in values]
    elif pyarrow.types.is_floating(arrow_type):
        values = [_double(value) for value in values]
    return pyarrow.array(values, type=arrow_type)


def _integer(value: Any) -> Any:
    """Refuse the fraction that pyarrow would cut off."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("a fraction")
    return value


def _double(value: Any) -> Any:
    """Refuse the truth value that pyarrow would take for 1; round the integer that it would refuse."""
    if isinstance(value, bool):
        raise ValueError("a truth value")
    return float(value) if isinstance(value, int) else value


def _type(column: dict[str, str]) -> Any:
    import pyarrow

    hive = column.get("Type", "string").strip().lower()
    if hive.startswith(("varchar", "char")):
        return pyarrow.string()
    if hive not in TYPES:
        raise ConversionError(
            "DataFormatConversion.InvalidSchema",
            f"Column {column['Name']}: type {hive} is not implemented here.",
        )
    return getattr(pyarrow, TYPES[hive])()
