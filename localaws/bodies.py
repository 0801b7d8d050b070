"""Long contents of S3's objects on the disk instead of in memory, from the socket to the object's file.

MiniStack collects a body in memory and passes it on as bytes. Here it gets a short text in place of a long one, and
the functions that store an object or a part get the file instead, as a buffer.
"""

import base64
import hashlib
import io
import mmap
import os
import struct
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import parse_qs

from localaws.ministack import patches

LONG_BYTES, PIECE_BYTES, RECEIVED_BYTES = 4 << 20, 8 << 20, 1 << 20
# The length of the text that stands for a long body.
TEXT_BYTES = 32
# The query of a request whose body is an object or a part, besides that of a presigned URL.
OF_OBJECTS = {"partnumber", "uploadid", "x-id"}
# Headers of a request whose body is coded, or not that of an object.
CODED = {"x-amz-target", "x-amz-decoded-content-length", "x-amz-copy-source", "content-encoding"}


class Long(mmap.mmap):
    """The bytes of a temporary file, which is deleted with it."""

    def pieces(self) -> Iterator[bytes]:
        """The bytes, piece by piece, which do not stay in memory."""
        for start in range(0, len(self), PIECE_BYTES):
            yield self[start : start + PIECE_BYTES]
            self.madvise(mmap.MADV_DONTNEED, start, min(PIECE_BYTES, len(self) - start))


class Bodies:
    """An ASGI application in front of MiniStack's that holds the long contents of objects in files."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._long: dict[bytes, Long] = {}

    def install(self) -> None:
        """Give S3 the file in place of the text that stands for it."""
        s3 = patches.module("services.s3")
        put, upload, md5, computed = s3._put_object, s3._upload_part, s3.md5_hash, s3._compute_s3_checksum

        def digest(body: Any) -> str:
            if not isinstance(body, Long):
                return str(md5(body))
            found = hashlib.md5(usedforsecurity=False)
            for piece in body.pieces():
                found.update(piece)
            return found.hexdigest()

        def checksum(algorithm: str, body: Any) -> Any:
            if not isinstance(body, Long) or algorithm.upper() != "CRC32":
                return computed(algorithm, memoryview(body) if isinstance(body, Long) else body)
            return base64.b64encode(struct.pack(">I", crc32(body))).decode()

        def stored(store: Any) -> Any:
            return lambda bucket, key, body, *rest: store(bucket, key, self._long.get(body[:TEXT_BYTES], body), *rest)

        s3._put_object, s3._upload_part = stored(put), stored(upload)
        s3.md5_hash, s3._compute_s3_checksum = digest, checksum

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        length = _long_object(scope) if scope["type"] == "http" else 0
        if not length:
            await self.app(scope, receive, send)
            return
        with await collect(receive) as file:
            if file.seek(0, io.SEEK_END) != length:
                # MiniStack refuses what has broken off.
                file.seek(0)
                await self.app(scope, replay(file, receive), send)
                return
            text = uuid.uuid4().hex.encode()
            self._long[text] = Long(file.fileno(), 0, access=mmap.ACCESS_READ)
        others = [each for each in scope["headers"] if each[0].lower() != b"content-length"]
        headers = [*others, (b"content-length", str(TEXT_BYTES).encode())]
        try:
            await self.app({**scope, "headers": headers}, replay(io.BytesIO(text), receive), send)
        finally:
            del self._long[text]


def _long_object(scope: dict[str, Any]) -> int:
    """The length of the body if it is the plain content of an object, or of a part of one, and long; else 0.

    MiniStack verifies the signed body itself when it enforces policies.
    """
    if scope["method"] != "PUT":
        return 0
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    length = headers.get("content-length", "")
    if not length.isdigit() or int(length) <= LONG_BYTES or os.environ["AUTH"] == "true":
        return 0
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    named = {name.lower() for name in query if not name.lower().startswith("x-amz-")}
    if CODED & headers.keys() or not named <= OF_OBJECTS:
        return 0
    service = patches.module("core.router").detect_service("PUT", scope["path"], headers, query)
    return int(length) if service == "s3" else 0


async def collect(receive: Any) -> IO[bytes]:
    """A request's body in a temporary file, which is in memory while it is short. A body that breaks off is shorter."""
    file = tempfile.SpooledTemporaryFile(LONG_BYTES)  # noqa: SIM115
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        file.write(message.get("body", b""))
        more = message.get("more_body", False)
    file.seek(0)
    return file


def replay(file: IO[bytes], receive: Any) -> Any:
    """A `receive` that gives a body again, which is collected in a file, and then what follows."""
    ended = False

    async def again() -> dict[str, Any]:
        nonlocal ended
        if ended:
            answer: dict[str, Any] = await receive()
            return answer
        piece = file.read(RECEIVED_BYTES)
        ended = len(piece) < RECEIVED_BYTES
        return {"type": "http.request", "body": piece, "more_body": not ended}

    return again


def crc32(body: "bytes | Long") -> int:
    """The CRC-32 of a body."""
    total = 0
    for piece in body.pieces() if isinstance(body, Long) else (body,):
        total = zlib.crc32(piece, total)
    return total
