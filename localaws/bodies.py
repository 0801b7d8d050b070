"""Long contents of S3's objects on the disk instead of in memory, from the socket to the object's file and back.

MiniStack collects a body in memory and passes it on as bytes. Here it gets a short text in place of a long one, and
the functions that store an object or a part get the file instead. An object's file is sent in pieces.
"""

import contextvars
import io
import mmap
import os
import tempfile
import uuid
from typing import IO, Any
from urllib.parse import parse_qs

from localaws import contents
from localaws.contents import LONG_BYTES, Content, Long
from localaws.ministack import patches

RECEIVED_BYTES = SENT_BYTES = 1 << 20
# The length of the text that stands for a long body.
TEXT_BYTES = 32
# The query of a request whose body is an object or a part, besides that of a presigned URL.
OF_OBJECTS = {"partnumber", "uploadid", "x-id"}
# Headers of a request whose body is coded, or not that of an object.
CODED = {"x-amz-target", "x-amz-decoded-content-length", "x-amz-copy-source", "content-encoding"}


# Whether the caller of S3 can take an answer in pieces, which a request over HTTP can.
_streams: contextvars.ContextVar[bool] = contextvars.ContextVar("streams", default=False)


class Bodies:
    """An ASGI application in front of MiniStack's that holds the long contents of objects in files."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._long: dict[bytes, Long] = {}

    def install(self) -> None:
        """Give S3 the file in place of the text that stands for it."""
        s3 = patches.module("services.s3")
        put, upload, handle, data = s3._put_object, s3._upload_part, s3.handle_request, s3._get_object_data
        computed = s3._compute_s3_checksum

        def checksum(algorithm: str, body: Any) -> Any:
            found = contents.checksum(algorithm.upper(), body) if isinstance(body, Content) else None
            return found or computed(algorithm, bytes(body) if isinstance(body, Content) else body)

        def stored(store: Any) -> Any:
            return lambda bucket, key, body, *rest: store(bucket, key, self._long.get(body[:TEXT_BYTES], body), *rest)

        async def answer(*request: Any, **options: Any) -> Any:
            status, headers, body = await handle(*request, **options)
            if isinstance(body, Content):
                return status, headers, _streamed(body) if _streams.get() else bytes(body)
            return status, headers, body

        def whole(*request: Any, **options: Any) -> Any:
            body = data(*request, **options)
            return bytes(body) if isinstance(body, Content) else body

        s3._put_object, s3._upload_part = stored(put), stored(upload)
        s3.md5_hash, s3._compute_s3_checksum = contents.md5, checksum
        s3.handle_request, s3._get_object_data = answer, whole

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        _streams.set(scope["type"] == "http" and scope["method"] == "GET")
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


def _streamed(body: Content) -> Any:
    """An answer of MiniStack's that is sent piece by piece."""
    from ministack.core.responses import StreamingResponse

    async def send_pieces(send: Any, receive: Any) -> None:
        for piece in body.pieces():
            for start in range(0, len(piece), SENT_BYTES):
                sent = piece[start : start + SENT_BYTES]
                await send({"type": "http.response.body", "body": sent, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return StreamingResponse(send_pieces)
