"""Reads the cleaned table: a Parquet snapshot or the CSV objects of Firehose, told apart by their first bytes."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("id", "name", "abv", "ibu", "target_fg", "target_og", "ebc", "srm", "ph")
PARTITION = re.compile(r"dt=\d{4}-\d{2}-\d{2}")  # A day's folder of the live table.
OBJECT_TIME = re.compile(r"\d{4}(?:-\d{2}){5}")  # Firehose writes YYYY-MM-DD-HH-MM-SS into every object's name.

Row = dict[str, object]


class UnreadableInput(Exception):
    """A file of the input is not what its first bytes or its name promise; the text names it."""


def read_rows(folder: Path) -> Iterator[Row]:
    """Rows by column name, oldest first: by the time in the object's name, then the name, then the position.

    Skips empty files and whatever is not data: names starting with `_` or `.`, and foreign suffixes. A CSV row
    with another number of values than the table's nine is an empty row. Raises UnreadableInput.
    """
    for path in sorted(filter(_is_data, folder.rglob("*")), key=lambda path: _age(path, folder)):
        yield from _parse(path)


def is_live(folder: Path, uri: str) -> bool:
    """Whether these rows are the cleaned table itself or a day of it, by the address or by the folders in it."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if _is_data(path))
    return any(PARTITION.fullmatch(part) for path in (uri, *paths) for part in path.split("/"))


def _is_data(path: Path) -> bool:
    if path.name.startswith(("_", ".")) or not path.is_file() or path.stat().st_size == 0:
        return False
    return path.suffix in (".parquet", ".csv", ".gz") or not re.fullmatch(r"\.[A-Za-z]+", path.suffix)


def _age(path: Path, folder: Path) -> tuple[str, str]:
    time = OBJECT_TIME.search(path.name)
    return (time.group() if time else "", path.relative_to(folder).as_posix())


def _parse(path: Path) -> Iterator[Row]:
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        return _parse_parquet(path, content)
    if path.suffix == ".parquet":
        raise UnreadableInput(f"{path.name} is not a Parquet file")
    return _parse_csv(path, content)


def _parse_parquet(path: Path, content: bytes) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(io.BytesIO(content)).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableInput(f"{path.name} is a broken Parquet file: {error}") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise UnreadableInput(f"{path.name} has no column {', '.join(missing)}")
    yield from table.select(list(COLUMNS)).to_pylist()


def _parse_csv(path: Path, content: bytes) -> Iterator[Row]:
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        for values in csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True):
            if values and values != list(COLUMNS):  # Somebody's header is not a beer.
                yield dict(zip(COLUMNS, values, strict=True)) if len(values) == len(COLUMNS) else {}
    except (EOFError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInput(f"{path.name} is not a CSV file of the cleaned table: {error}") from None
