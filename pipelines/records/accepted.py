"""The records in an object of raw/, whatever the producers put on the stream.

Firehose writes a newline after each record. A record may itself hold newlines: it may be pretty-printed, compressed,
or several objects. Three things show where it ends: it is known as a whole from an error object, it is one JSON object
over several lines, or else it is the line. A newline at a record's own end is not another record, so that an empty
record after one without such a newline is not counted: it is the one thing that the bytes do not show.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from ingestion import record

# A record of Kinesis has at most 1 MiB; most that span lines are much shorter.
WINDOWS = (2**13, 2**20 + 1)
Result = record.Clean | record.Dropped | record.Failed


def digest(content: bytes) -> bytes:
    """What makes two records the same, besides a newline at the end."""
    return blake2b(content.removesuffix(b"\n"), digest_size=16).digest()


class KnownRecords:
    """Records that are known as a whole, from error objects: the end of such a record needs no guess."""

    def __init__(self, contents: Iterable[bytes] = ()) -> None:
        self._digests: set[bytes] = set()
        self._spanning: dict[bytes, list[bytes]] = defaultdict(list)
        for content in contents:
            self.add(content)

    def add(self, content: bytes) -> None:
        """Know one more."""
        name = digest(content)
        if name in self._digests:
            return
        self._digests.add(name)
        content = content.removesuffix(b"\n")
        first, newline, _ = content.partition(b"\n")
        if newline:
            self._spanning[first].append(content)
            self._spanning[first].sort(key=len, reverse=True)

    def __contains__(self, line: bytes) -> bool:
        return digest(line) in self._digests

    def at(self, body: bytes, start: int, line: bytes) -> bytes | None:
        """The known record of several lines that begins here with this line, or None."""
        for content in self._spanning.get(line, ()):
            end = start + len(content)
            if body.startswith(content, start) and body[end : end + 1] in (b"", b"\n"):
                return content
        return None


def records_in(body: bytes, known: KnownRecords) -> Iterator[tuple[bytes, Result]]:
    """The records of a raw object in their order, each with what the transform makes of it."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        line = body[start:] if end < 0 else body[start:end]
        spanning = known.at(body, start, line)
        if spanning is not None:
            found = [(spanning, record.to_row(spanning))]
        else:
            outcome = record.to_row(line)
            found = [(line, outcome)]
            if outcome == NOT_JSON and line not in known:
                found = [(each, record.to_row(each)) for each in _objects(body, start, line)]
        yield from found
        start += sum(len(content) for content, _ in found) + 1
        if found[-1][0] and body.startswith(b"\n", start) and known.at(body, start, b"") is None:
            start += 1


NOT_JSON = record.Failed("not_json")
_DECODER = json.JSONDecoder()


def _objects(body: bytes, start: int, line: bytes) -> list[bytes]:
    """A JSON object over several lines, or several objects without a delimiter; otherwise the line."""
    if not line.lstrip().startswith(b"{"):
        return [line]
    for size in WINDOWS:
        # Bytes that are not UTF-8 stay as they are, and a character cut in two does no harm.
        text = body[start : start + size].decode(errors="surrogateescape")
        found = _decode(text, whole=start + size >= len(body))
        if found:
            return [each.encode(errors="surrogateescape") for each in found]
    return [line]


def _decode(text: str, whole: bool) -> list[str]:
    """The objects from the beginning to an end of line, with the white space around them; [] when there are none.

    whole: the text ends where the body ends, which is then an end of line, too.
    """
    found: list[str] = []
    start = 0
    try:
        while True:
            first = len(text) - len(text[start:].lstrip())
            value, end = _DECODER.raw_decode(text, first)
            if not isinstance(value, dict):
                return []
            rest = text.find("\n", end)
            if rest < 0 and not whole:
                return []
            rest = len(text) if rest < 0 else rest
            if not text[end:rest].strip():
                return [*found, text[start:rest]]
            found.append(text[start:end])
            start = end
    except (ValueError, RecursionError):
        return []
