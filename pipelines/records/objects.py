"""The objects of the data bucket: which of them count, and what they hold.

One rule for the stream, the batch lane, the local AWS and Athena: an object counts when it lies in a folder
`dt=YYYY-MM-DD/` of its prefix and neither its name nor a folder of it begins with `_` or `.`, which Athena does not
read. Its rows are as old as the time in its name (`2026-11-20-08-15-00`, as Firehose writes it); those of a file
without one are older than all others. What does not count is foreign: reported and passed over.
"""

import datetime
import re
import zlib
from collections.abc import Iterator
from typing import Any

RAW, CLEANED, FAILED, REPLAYED = "raw/", "cleaned/", "errors/cleaned/", "errors/replayed/"
# Files of the batch lane, and how far each is loaded.
LANDING, LOADED = "landing/", "loaded/"

_DAY = re.compile(r"dt=(\d{4}-\d\d-\d\d)")
_STAMP = re.compile(r"20\d\d(-\d\d){5}")
_GZIP = b"\x1f\x8b"


class ForeignObject(ValueError):
    """An object that is none of this project's; the text is the reason."""


class Objects:
    """The objects of a bucket, of all days or of those (UTC, YYYY-MM-DD) from `since` on.

    foreign: the keys that were passed over, with the reason.
    """

    def __init__(self, s3: Any, bucket: str, since: str | None = None) -> None:
        self.s3 = s3
        self.bucket = bucket
        self.since = since
        self.foreign: dict[str, str] = {}

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys under a prefix that count."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for found in page.get("Contents", []):
                key = found["Key"]
                try:
                    day = day_of(key, prefix)
                except ForeignObject as error:
                    self.foreign[key] = str(error)
                    continue
                if self.since is None or day >= self.since:
                    yield key

    def bodies(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """The keys under a prefix with their content, decompressed."""
        for key in self.keys(prefix):
            try:
                yield key, self.read(key)
            except ForeignObject as error:
                self.foreign[key] = str(error)

    def read(self, key: str) -> bytes:
        """An object's content, decompressed; raises ForeignObject for gzip that does not decompress."""
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        if not body.startswith(_GZIP):
            return body
        try:
            return _gunzip(body)
        except zlib.error as error:
            raise ForeignObject(f"does not decompress: {error}") from error


def day_of(key: str, prefix: str) -> str:
    """The day (YYYY-MM-DD) of an object under a prefix; raises ForeignObject when it does not count."""
    for folder in _visible(key, prefix)[:-1]:
        if found := _DAY.fullmatch(folder):
            try:
                return datetime.date.fromisoformat(found[1]).isoformat()
            except ValueError:
                break
    raise ForeignObject("not in a folder dt=YYYY-MM-DD/")


def refuse_hidden(key: str) -> None:
    """Raise ForeignObject for a key under landing/ that does not count."""
    _visible(key, LANDING)


def _visible(key: str, prefix: str) -> list[str]:
    """The folders and the name of a key under a prefix; raises ForeignObject for a folder or a hidden object."""
    words = key.removeprefix(prefix).split("/")
    if not words[-1]:
        raise ForeignObject("a folder")
    if any(each.startswith(("_", ".")) for each in words):
        raise ForeignObject("hidden: begins with _ or .")
    return words


def stamp_of(key: str, day: str) -> str:
    """The time of an object's rows, `YYYY-MM-DD-HH-MM-SS`."""
    found = _STAMP.search(key.rpartition("/")[2])
    return found[0] if found else f"{day}-00-00-00"


def _gunzip(body: bytes) -> bytes:
    """All members of a gzip file, as Firehose and others concatenate them."""
    plain = b""
    while body:
        member = zlib.decompressobj(wbits=31)
        plain += member.decompress(body)
        if not member.eof:
            raise zlib.error("it is cut off")
        body = member.unused_data.lstrip(b"\0")
    return plain
