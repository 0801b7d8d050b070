"""The records in a file of the batch lane: JSON lines, CSV with a header, or a JSON list, plain or compressed.

What a file is shows in its first bytes, not in its name. A record is the bytes that `record.to_row` reads: a line, an
element of the list, or a row of CSV as a JSON object of its columns, in which an empty field is null.
"""

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ingestion.batches import batches

# A JSON list and a gzip file can only be read from their beginning, so that a large one cannot be resumed.
MAX_WHOLE_BYTES = 2**30
CHUNK_RECORDS, CHUNK_BYTES = 20_000, 8 * 2**20
READ_BYTES = 2**16
MAX_RECORD_BYTES = 2**20
_SPACE: Any = re.compile(r"\s*")


class RefusedFile(ValueError):
    """A file that cannot be read as records; the text is the reason."""


class Chunk(NamedTuple):
    """Consecutive records of a file. content: a digest, equal for equal records."""

    content: str
    records: list[bytes]


class _Stream(io.RawIOBase):
    """Anything with `read`, such as the body of an S3 object, for a buffered reader."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def chunks(body: Any, size: int) -> Iterator[Chunk]:
    """The chunks of a file. body: has `read`. size: the file's bytes. Raises RefusedFile, also after some chunks."""
    for each in batches(records(body, size), CHUNK_RECORDS, CHUNK_BYTES, len):
        digest = hashlib.sha256()
        for content in each:
            digest.update(len(content).to_bytes(8) + content)
        yield Chunk(digest.hexdigest()[:32], each)


def records(body: Any, size: int) -> Iterator[bytes]:
    """The records of a file in their order."""
    stream: Any = io.BufferedReader(_Stream(body), READ_BYTES)
    compressed = stream.peek(2)[:2] == b"\x1f\x8b"
    if compressed:
        _refuse_large(size, "a gzip file")
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), READ_BYTES)
    try:
        first = _first_byte(stream)
        if first == b"[":
            _refuse_large(size, "a JSON list")
            yield from _elements(stream)
        elif first == b"{":
            yield from (line.strip() for line in stream if line.strip())
        elif first:
            yield from _rows(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedFile(f"it does not decompress: {error}") from error


def _refuse_large(size: int, kind: str) -> None:
    if size > MAX_WHOLE_BYTES:
        raise RefusedFile(f"{kind} of more than {MAX_WHOLE_BYTES:,} bytes: give JSON lines or CSV, not compressed")


def _first_byte(stream: io.BufferedReader) -> bytes:
    """The first byte that is neither white space nor a byte order mark; what is before it is read."""
    if stream.peek(3).startswith(codecs.BOM_UTF8):
        stream.read(3)
    while (byte := stream.peek(1)[:1]) and byte.isspace():
        stream.read(1)
    return byte


def _elements(stream: io.BufferedReader) -> Iterator[bytes]:
    """The elements of a JSON list, each decoded alone, so that the list is never in memory as a whole."""
    stream.read(1)
    text, start, first, more = "", 0, True, True
    decode = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape").decode
    scan = json.JSONDecoder().raw_decode
    while True:
        if more and len(text) - start < MAX_RECORD_BYTES:
            # An element of the allowed size is always in the text as a whole, with what follows it.
            text, start = text[start:] + decode(data := stream.read(4 * MAX_RECORD_BYTES), not data), 0
            more = bool(data)
        start = _SPACE.match(text, start).end()
        if text.startswith("]", start):
            return
        if not first:
            if not text.startswith(",", start):
                raise RefusedFile("it is not a JSON list: a comma or the end is missing after an element")
            start = _SPACE.match(text, start + 1).end()
        try:
            _, end = scan(text, start)
        except (ValueError, RecursionError) as error:
            raise RefusedFile(f"it is not a JSON list: {error}") from error
        yield text[start:end].encode(errors="surrogateescape")
        start, first = end, False


def _rows(stream: io.BufferedReader) -> Iterator[bytes]:
    """The rows of a CSV file as JSON objects."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=False)
    header = [name.strip() for name in next(reader, [])]
    if not {"id", "name"} <= set(header):
        raise RefusedFile("neither JSON nor CSV: its first line does not name the columns id and name")
    try:
        for row in reader:
            if row:
                values = {name: value or None for name, value in zip(header, row, strict=False) if name}
                yield json.dumps(values, separators=(",", ":")).encode()
    except csv.Error as error:
        raise RefusedFile(f"line {reader.line_num} is not CSV: {error}") from error
