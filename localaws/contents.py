"""Long contents of S3's objects, which are read piece by piece and never are in memory as a whole."""

import base64
import hashlib
import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

LONG_BYTES, PIECE_BYTES = 4 << 20, 8 << 20


class Content:
    """A content of more than LONG_BYTES. MiniStack takes its length and slices of it, as of bytes."""

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces of at most PIECE_BYTES."""
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces())

    def __deepcopy__(self, memo: dict[int, Any]) -> "Content":
        return self


class Long(Content, mmap.mmap):
    """The bytes of a temporary file, which is deleted with it."""

    def pieces(self) -> Iterator[bytes]:
        """The bytes, which do not stay in memory."""
        for start in range(0, len(self), PIECE_BYTES):
            yield self[start : start + PIECE_BYTES]
            self.madvise(mmap.MADV_DONTNEED, start, min(PIECE_BYTES, len(self) - start))


class Stored(Content):
    """The bytes of a file from `start` to `stop`, also after the file is deleted."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        self._file = file
        self._start = start
        self._stop = stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, wanted: slice) -> "bytes | Stored":
        start, stop, _ = wanted.indices(len(self))
        found = Stored(self._file, self._start + start, self._start + max(start, stop))
        return found if len(found) > LONG_BYTES else bytes(found)

    def pieces(self) -> Iterator[bytes]:
        """The bytes as the file has them now."""
        for start in range(self._start, self._stop, PIECE_BYTES):
            yield os.pread(self._file.fileno(), min(PIECE_BYTES, self._stop - start), start)


class Joined(Content):
    """Contents one after the other."""

    def __init__(self, contents: Sequence[bytes | Content]) -> None:
        self._contents = contents

    def __len__(self) -> int:
        return sum(map(len, self._contents))  # type: ignore[arg-type]

    def pieces(self) -> Iterator[bytes]:
        """The pieces of each content."""
        for each in self._contents:
            yield from pieces(each)


def pieces(body: bytes | Content) -> Iterator[bytes]:
    """A body in pieces; one that is short is one piece."""
    return body.pieces() if isinstance(body, Content) else iter((body,))


def crc32(body: bytes | Content) -> int:
    """The CRC-32 of a body."""
    total = 0
    for piece in pieces(body):
        total = zlib.crc32(piece, total)
    return total


def md5(body: bytes | Content) -> str:
    """The hexadecimal MD5 of a body, which S3's ETag is."""
    found = hashlib.md5(usedforsecurity=False)
    for piece in pieces(body):
        found.update(piece)
    return found.hexdigest()


def checksum(algorithm: str, body: bytes | Content) -> str | None:
    """S3's checksum of a body in base64; None for an algorithm that reads no pieces.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """
    if algorithm == "CRC32":
        return base64.b64encode(crc32(body).to_bytes(4, "big")).decode()
    if algorithm not in ("SHA1", "SHA256"):
        return None
    found = hashlib.new(algorithm, usedforsecurity=False)
    for piece in pieces(body):
        found.update(piece)
    return base64.b64encode(found.digest()).decode()
