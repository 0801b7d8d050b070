"""The endpoint's HTTP server: what a client without credentials can make it hold, and how it stops."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localaws import http_server
from localaws.http_server import HEAD_BYTES, Server
from localaws.server import listen

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOO_LONG = b"The head of the request is too long."


class Recorder:
    """An ASGI application that collects the headers and bodies of requests, and waits with the answer for `release`."""

    def __init__(self) -> None:
        self.requests: list[tuple[list[tuple[bytes, bytes]], bytes]] = []
        self.release = asyncio.Event()
        self.release.set()

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Answer the request with `ok`; take part in start and stop."""
        if scope["type"] == "lifespan":
            for what in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{what}.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.requests.append((list(scope["headers"]), body))
        await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(app: Recorder) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Server]]:
    """A connection to a server of the application."""
    listener = listen(0)
    server = Server(app, listener)
    await server.start()
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer, server
    finally:
        writer.close()
        await server.stop()


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nX: ",
        b"GET /",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;",
    ],
    ids=["header", "target", "trailer", "chunk"],
)
def test_a_head_without_end_is_refused(begin: bytes) -> None:
    async def run() -> bytes:
        async with served(Recorder()) as (reader, writer, _):
            writer.write(begin)
            await asyncio.sleep(0.01)
            writer.write(b"a" * (HEAD_BYTES + 1))
            return await reader.read()

    answer = asyncio.run(run())
    assert (answer.split(b"\r\n")[0], answer.endswith(TOO_LONG)) == (b"HTTP/1.1 400 Bad Request", True)


def test_a_long_body_is_no_head_and_trailers_are_no_headers() -> None:
    app: list[Recorder] = []
    body = b"x" * (3 * HEAD_BYTES)

    async def run() -> bytes:
        app.append(Recorder())
        async with served(app[0]) as (reader, writer, _):
            writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n0\r\nX-Amz-Target: Trailer\r\n\r\n" % (len(body), body))
            first = await reader.readexactly(len(ANSWER))
            writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
            return first + await reader.readexactly(len(ANSWER))

    assert asyncio.run(run()) == 2 * ANSWER
    assert app[0].requests == [
        ([(b"host", b"h"), (b"transfer-encoding", b"chunked")], body),
        ([(b"host", b"h"), (b"content-length", b"2")], b"hi"),
    ]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\n\r\nGET"])
def test_a_connection_without_a_complete_head_is_closed_after_a_while(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.05)

    async def run() -> bytes:
        async with served(Recorder()) as (reader, writer, _):
            writer.write(sent)
            return await reader.read()

    assert asyncio.run(run()) == (ANSWER if sent.endswith(b"GET") else b"")


def test_answers_leave_without_delay() -> None:
    async def run() -> set[int]:
        async with served(Recorder()) as (reader, writer, server):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.readexactly(len(ANSWER))
            sockets = [each.transport.get_extra_info("socket") for each in server.connections()]
            return {each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets}

    assert asyncio.run(run()) == {1}


def test_a_running_request_is_answered_before_the_server_stops() -> None:
    async def run() -> bytes:
        app = Recorder()
        app.release.clear()
        async with served(app) as (reader, writer, server):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            while not app.requests:
                await asyncio.sleep(0.001)
            asyncio.get_running_loop().call_later(0.01, app.release.set)
            await server.stop()
            return await reader.read()

    assert asyncio.run(run()) == ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
