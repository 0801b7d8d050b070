"""The way from a sealed step to the endpoint: a socket that listens inside the step's network is accepted on here."""

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Iterator

CHUNK_BYTES = 65_536


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of all relays, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="relay", daemon=True).start()
    return loop


@contextlib.contextmanager
def forwarding(listener: socket.socket, port: int) -> Iterator[None]:
    """While inside, forward every connection of the listening socket to 127.0.0.1:port."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(inner_writer):
                await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    async def close(server: asyncio.Server) -> None:
        server.close()
        for task in list(tasks):
            task.cancel()

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(accept, sock=listener), _loop()).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(close(server), _loop()).result()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
