"""The objects of the data bucket that count, and what they hold; ingestion/names.py has the rule."""

import zlib
from collections.abc import Iterator, Set
from typing import Any

from ingestion.names import ForeignObject, day_of

_GZIP = b"\x1f\x8b"


class Objects:
    """The objects of a bucket, of all days or of those (UTC, YYYY-MM-DD) from `since` on.

    without: keys that are left out. foreign: the keys that were passed over, with the reason.
    """

    def __init__(self, s3: Any, bucket: str, since: str | None = None, without: Set[str] = frozenset()) -> None:
        self.s3 = s3
        self.bucket = bucket
        self.since = since
        self.without = without
        self.foreign: dict[str, str] = {}

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys under a prefix that count."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for found in page.get("Contents", []):
                key = found["Key"]
                if key in self.without:
                    continue
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
