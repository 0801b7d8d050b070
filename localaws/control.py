"""The commands that AWS has no call for, on the endpoint's port: `/_localaws/status`, `drain`, `faults`, ..."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PREFIX = "/_localaws/"
COMMANDS_AT_ONCE = 8
# Raises ValueError for arguments it cannot use.
Command = Callable[[dict[str, Any]], dict[str, Any]]


class Control:
    """An ASGI application in front of MiniStack's that answers the commands."""

    def __init__(self, app: Any, commands: dict[str, Command]) -> None:
        self.app = app
        self.commands = commands
        # Commands answer while queries and Lambdas occupy all of the loop's own threads.
        self._threads = ThreadPoolExecutor(COMMANDS_AT_ONCE, thread_name_prefix="control")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        command = self.commands.get(scope["path"].removeprefix(PREFIX))
        status, answer = 404, dict[str, Any](error="unknown command", have=sorted(self.commands))
        if command is not None:
            status, answer = await self._run(command, await _body(receive))
        body = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _run(self, command: Command, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            arguments = json.loads(body or b"{}")
        except ValueError:
            return 400, {"error": "the body is not JSON"}
        try:
            # Commands wait for deliveries, which need this loop.
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, command, arguments)
        except ValueError as error:
            return 400, {"error": str(error)}
        return 200, {"pid": os.getpid(), **answer}


async def _body(receive: Any) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)
