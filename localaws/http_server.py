"""HTTP/1.1 on the endpoint's socket: uvicorn's protocol on a parser in C, bounded against clients without credentials.

A request is the dearest part of most calls, and hypercorn, which MiniStack brings, parses it in Python.
"""

import asyncio
import socket
from typing import Any

from uvicorn import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

# The longest head of a request; the parser itself has no bound.
HEAD_BYTES = 1 << 16
# An idle connection, and one whose next head is not complete, is closed after so long.
IDLE_SECONDS = 75
# Requests that are running when the server stops may take so long.
FINISH_SECONDS = 0.2
# asyncio accepts so many connections at a time. When descriptors run out it tries each of them again a second later,
# and for each as many: more than one would fill processor and log.
ACCEPTED_AT_ONCE = 1


class Server:
    """Serves an ASGI application on a listening socket."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        self._config = Config(
            app,
            http=Protocol,
            ws="wsproto",
            lifespan="on",
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            log_config=None,
            log_level="error",
            access_log=False,
        )
        self._config.load()
        self._lifespan = LifespanOn(self._config)
        self._state = ServerState()
        self._listener = listener
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Start the application, then accept connections."""
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise RuntimeError("the application did not start")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(self._config, self._state, self._lifespan.state),
            sock=self._listener,
            backlog=ACCEPTED_AT_ONCE,
        )

    def connections(self) -> list[Any]:
        """The open connections."""
        return list(self._state.connections)

    async def stop(self) -> None:
        """Let running requests finish for a moment, close every connection, and stop the application."""
        if self._server:
            self._server.close()
        for connection in self.connections():
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=FINISH_SECONDS)
        for connection in self.connections():
            connection.transport.abort()
        for task in self._state.tasks:
            task.cancel()
        await self._lifespan.shutdown()


class Protocol(HttpToolsProtocol):
    """One connection. The head of a request, and what else the parser collects, has HEAD_BYTES and IDLE_SECONDS."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._collected = 0
        self._deadline = self.loop.call_later(IDLE_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that runs."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give the parser what has arrived."""
        self._collected += len(data)
        super().data_received(data)
        if self._collected > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._deadline.cancel()
        self._deadline = self.loop.call_later(IDLE_SECONDS, self.transport.close)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the application."""
        self._deadline.cancel()
        self._collected = 0
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            # Trailers are no headers: nobody has checked them.
            self.headers = []

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on."""
        self._collected = 0
        super().on_body(body)
