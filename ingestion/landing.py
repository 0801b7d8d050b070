"""The records in a file of the batch lane: JSON lines, CSV with a header, or a JSON list, plain or compressed.

What a file is shows in its first bytes, not in its name. A record is the bytes that `record.to_row` reads: a line, an
element of the list, or a row of CSV as a JSON object of its columns, in which an empty field is null.

JSON lines and CSV are read in chunks of bytes, side by side; a chunk can be resumed after each of its batches. A line
belongs to the chunk in which it begins. A quoted field of CSV may hold line breaks, so its chunks begin where a first
reading finds a row's end. A list and a gzip file are one chunk.
"""

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ingestion.batches import batches

# A JSON list and a gzip file can only be read from their beginning, so that a large one cannot be resumed cheaply.
MAX_WHOLE_BYTES = 2**30
# Bytes of a chunk, and the most chunks of a file: their numbers are in the state machine's state of 256 KB.
CHUNK_BYTES, MAX_CHUNKS = 64 * 2**20, 10_000
# Of a CSV file only the beginning is searched for rows, in one invocation; what follows it belongs to the last chunk.
SCANNED_BYTES = 16 * 2**30
BATCH_RECORDS, BATCH_BYTES = 100_000, 32 * 2**20
HEAD_BYTES, READ_BYTES = 2**16, 2**18
# What is longer is cut, and no record then.
MAX_RECORD_BYTES = 2**20
GZIP, LIST, LINES, CSV = "gzip", "list", "lines", "csv"
NAMES = {GZIP: "a gzip file", LIST: "a JSON list"}
_SPACE: Any = re.compile(r"\s*")

# (first byte, byte after the last one or None) -> the content, with `read`.
Open = Callable[[int, int | None], Any]
# A record, and where its reading ends: bytes of the file, or records of a list or a gzip file.
Read = Iterator[tuple[int, bytes]]


class RefusedFile(ValueError):
    """A file that cannot be read as records; the text is the reason."""


class Plan(NamedTuple):
    """How a file is read. kind: GZIP, LIST, LINES or CSV. starts: of each chunk the byte at which it begins."""

    kind: str
    size: int
    starts: Sequence[int] = (0,)

    def end(self, number: int) -> int:
        """The byte after a chunk's last one."""
        return [*self.starts, self.size][number + 1]


class Batch(NamedTuple):
    """Consecutive records. content: a digest, equal for equal records. end: where the chunk is resumed after them."""

    content: str
    records: list[bytes]
    end: int


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


def plan(open_: Open, size: int) -> Plan:
    """The plan of a file of `size` bytes; raises RefusedFile for one that is too large or, where it shows, no CSV."""
    kind = kind_of(open_(0, HEAD_BYTES).read(HEAD_BYTES) if size else b"")
    if kind in NAMES and size > MAX_WHOLE_BYTES:
        limit = f"{NAMES[kind]} of more than {MAX_WHOLE_BYTES:,} bytes"
        raise RefusedFile(f"{limit}: give JSON lines or CSV, not compressed")
    step = max(CHUNK_BYTES, -(-size // MAX_CHUNKS))
    if kind in NAMES or size <= step:
        return Plan(kind, size)
    return Plan(kind, size, range(0, size, step) if kind == LINES else tuple(_row_starts(open_, size, step)))


def kind_of(head: bytes) -> str:
    """What a file is, by its first bytes. Raises RefusedFile for an object over several lines."""
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.partition(b"\n")[0].rstrip() == b"{":
        raise RefusedFile("a JSON object over several lines: give a list, or a record on each line")
    return {b"[": LIST, b"{": LINES, b"": LINES}.get(text[:1], CSV)


def whole(open_: Open, size: int) -> Iterator[Batch]:
    """The batches of all chunks of a file. Raises RefusedFile, also after some of them."""
    planned = plan(open_, size)
    for number in range(len(planned.starts)):
        yield from chunk(open_, planned, number)


def chunk(open_: Open, planned: Plan, number: int, begin: int = 0) -> Iterator[Batch]:
    """The batches of a chunk, all or those after a batch's `end`. Raises RefusedFile, also after some of them."""
    refused: list[RefusedFile] = []

    def readable() -> Read:
        try:
            yield from _records(open_, planned, number, begin)
        except RefusedFile as error:
            # After the records before it, which are a batch by then.
            refused.append(error)

    for each in batches(readable(), BATCH_RECORDS, BATCH_BYTES, lambda item: len(item[1])):
        digest = hashlib.sha256()
        for _, content in each:
            digest.update(len(content).to_bytes(8) + content)
        yield Batch(digest.hexdigest()[:32], [content for _, content in each], each[-1][0])
    if refused:
        raise refused[0]


def _records(open_: Open, planned: Plan, number: int, begin: int) -> Read:
    start, end = planned.starts[number], planned.end(number)
    if planned.kind == LINES:
        return _lines_of(open_, start, end, begin)
    if planned.kind == CSV:
        return _rows_of(open_, begin or start, end)
    stream = _buffered(open_(0, None))
    found = _elements(stream) if planned.kind == LIST else _unzipped(stream)
    return ((count, content) for count, content in enumerate(found, 1) if count > begin)


def _buffered(body: Any) -> Any:
    return io.BufferedReader(_Stream(body), READ_BYTES)


def _lines_of(open_: Open, start: int, end: int, begin: int) -> Read:
    """The lines that begin in [start, end), from `begin` on where that is later."""
    # The byte before the chunk shows whether a line begins with it.
    at = begin or max(start - 1, 0)
    if at >= end:
        return iter(())
    stream = _buffered(open_(at, end + MAX_RECORD_BYTES))
    if at < start:
        at += _line(stream)[1]
    return _lines(stream, at, end)


def _lines(stream: Any, at: int, end: int | None) -> Read:
    while end is None or at < end:
        line, length = _line(stream)
        if not length:
            return
        content = (line if at else line.removeprefix(codecs.BOM_UTF8)).strip()
        at += length
        if content:
            yield at, content


def _line(stream: Any) -> tuple[bytes, int]:
    """The next line, cut after MAX_RECORD_BYTES, and its whole length."""
    line = stream.readline(MAX_RECORD_BYTES)
    more, length = line, len(line)
    while more and not more.endswith(b"\n"):
        more = stream.readline(MAX_RECORD_BYTES)
        length += len(more)
    return line, length


def _unzipped(stream: Any) -> Iterator[bytes]:
    """The records of a gzip file, whatever is in it."""
    plain: Any = io.BufferedReader(gzip.GzipFile(fileobj=stream), READ_BYTES)
    try:
        kind = kind_of(plain.peek(HEAD_BYTES))
        if kind == LIST:
            yield from _elements(plain)
        elif kind == LINES:
            yield from (content for _, content in _lines(plain, 0, None))
        else:
            yield from (content for _, content in _rows(plain, *_header(plain)))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedFile(f"it does not decompress: {error}") from error


def _elements(stream: Any) -> Iterator[bytes]:
    """The elements of a JSON list, each decoded alone, so that the list is never in memory as a whole."""
    text, start, first, more = "", 0, True, True
    decode = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape").decode
    scan = json.JSONDecoder().raw_decode
    opened = False
    while True:
        if more and len(text) - start < MAX_RECORD_BYTES:
            # An element of the allowed size is always in the text as a whole, with what follows it.
            text, start = text[start:] + decode(data := stream.read(4 * MAX_RECORD_BYTES), not data), 0
            more = bool(data)
        if not opened:
            opened, start = True, text.index("[") + 1
        start = _SPACE.match(text, start).end()
        if text.startswith("]", start):
            if text[start + 1 :].strip() or any(map(bytes.strip, iter(lambda: stream.read(READ_BYTES), b""))):
                raise RefusedFile("it is not a JSON list: there is more after its end")
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


def _row_starts(open_: Open, size: int, step: int) -> Iterator[int]:
    """Where chunks of a CSV file begin: the first, and then the first row in each `step` bytes."""
    stream = _buffered(open_(0, None))
    position = _Position(_header(stream)[1])
    yield 0
    after = step
    try:
        for _ in csv.reader(position.lines(stream), strict=True):
            if after <= position.at < size:
                yield position.at
                after = (position.at // step + 1) * step
            if position.at >= SCANNED_BYTES:
                return
    except csv.Error:
        # The last chunk has the rows before it, and refuses the file.
        return


def _rows_of(open_: Open, begin: int, end: int) -> Read:
    """The rows of a CSV file in [begin, end), both ends of rows; from 0 on without the header."""
    if begin >= end:
        return iter(())
    stream = _buffered(open_(0, None if begin else end))
    header, at = _header(stream)
    return _rows(_buffered(open_(begin, end)) if begin else stream, header, begin or at)


def _header(stream: Any) -> tuple[list[str], int]:
    """The names of the columns, and the bytes up to the first row."""
    position = _Position(0)
    try:
        names = next((row for row in csv.reader(position.lines(stream), strict=True) if row), [])
    except csv.Error:
        names = []
    header = [name.strip() for name in names]
    if not {"id", "name"} <= set(header):
        raise RefusedFile("neither JSON nor CSV: its first line does not name the columns id and name")
    if twice := next((name for name in header if name and header.count(name) > 1), ""):
        raise RefusedFile(f"its first line names the column {twice} twice")
    return header, position.at


def _rows(stream: Any, header: list[str], at: int) -> Read:
    """The rows of a CSV file as JSON objects, from a byte on."""
    position = _Position(at)
    try:
        # Strict, as a quote that is not closed, or not where a field ends, would take the rows after it into the field.
        for row in csv.reader(position.lines(stream), strict=True):
            if row:
                values = {name: value or None for name, value in zip(header, row, strict=False) if name}
                yield position.at, json.dumps(values, separators=(",", ":")).encode()
    except csv.Error as error:
        raise RefusedFile(f"it is not CSV before byte {position.at:,}: {error}") from error


class _Position:
    """The bytes of a CSV file that were read; csv.reader takes no line before it needs it."""

    def __init__(self, at: int) -> None:
        self.at = at

    def lines(self, stream: Any) -> Iterator[str]:
        while line := stream.readline(MAX_RECORD_BYTES):
            text = line if self.at else line.removeprefix(codecs.BOM_UTF8)
            self.at += len(line)
            if len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n"):
                raise csv.Error(f"a line of more than {MAX_RECORD_BYTES:,} bytes")
            yield text.decode(errors="surrogateescape")
