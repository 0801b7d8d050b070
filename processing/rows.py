"""Reads the rows of the cleaned table: Parquet snapshots, or the CSV objects that Firehose writes.

Files are read in chunks, so that a table larger than the memory can be read.
"""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from columns import COLUMNS, FEWEST_COLUMNS

PARTITION = re.compile(r"dt=\d{4}-\d{2}-\d{2}")  # A day's folder of the live table.
OBJECT_TIME = re.compile(r"\d{4}(?:-\d{2}){5}")  # Firehose writes YYYY-MM-DD-HH-MM-SS into every object's name.
BATCH_ROWS = 65_536
# The only key of a row that could not be assigned to columns; its value is the number of values in the row.
VALUES = "values"

Row = dict[str, object]


class UnreadableInput(Exception):
    """A file's content does not match its first bytes or its name; the message names the file."""


def read_rows(folder: Path) -> Iterator[Row]:
    """Rows by column name, oldest first: by the time in the object's name, then the name, then the position.

    Skips empty files, names starting with `_` or `.`, and other suffixes than .csv, .gz and .parquet. A CSV line may
    be a header; its names hold for the rest of the file. Without one, a row written before a column was added ends
    earlier. A CSV row of another length is `{VALUES: length}`. Raises UnreadableInput.
    """
    for path in sorted(filter(_is_data, folder.rglob("*")), key=lambda path: _age(path, folder)):
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PAR1":
                yield from _read_parquet(path.name, file)
            elif path.suffix == ".parquet":
                raise UnreadableInput(f"{path.name} is not a Parquet file")
            else:
                yield from _read_csv(path.name, file, compressed=start[:2] == b"\x1f\x8b")


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


def _read_parquet(name: str, file: BinaryIO) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        missing = [column for column in COLUMNS if column not in parquet.schema_arrow.names]
        if missing:
            raise UnreadableInput(f"{name} has no column {', '.join(missing)}")
        for batch in parquet.iter_batches(BATCH_ROWS, columns=list(COLUMNS)):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableInput(f"{name} is a broken Parquet file: {error}") from None


def _read_csv(name: str, file: BinaryIO, compressed: bool) -> Iterator[Row]:
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
    columns, fewest = list(COLUMNS), FEWEST_COLUMNS
    try:
        # utf-8-sig: a byte order mark is not part of the first id.
        for values in csv.reader(io.TextIOWrapper(plain, "utf-8-sig", newline=""), strict=True):
            if set(COLUMNS) <= set(values):
                columns, fewest = values, len(values)
            elif values:
                fits = fewest <= len(values) <= len(columns)
                yield dict(zip(columns, values, strict=False)) if fits else {VALUES: len(values)}
    except (EOFError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInput(f"{name} is not a CSV file of the cleaned table: {error}") from None
