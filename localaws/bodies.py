"""Long request bodies in the memory once, not twice: MiniStack collects the pieces of a body and then joins them."""

import tempfile
from typing import Any

LONG_BYTES = 64 << 20


class Bodies:
    """An ASGI application in front of another that hands a long body over as one piece."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and _length(scope) > LONG_BYTES:
            receive = _in_one_piece(receive)
        await self.app(scope, receive, send)


def _length(scope: dict[str, Any]) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _in_one_piece(receive: Any) -> Any:
    """A `receive` that collects the body in a file, so that its pieces are freed as they come."""
    given = False

    async def receive_once() -> dict[str, Any]:
        nonlocal given
        if given:
            answer: dict[str, Any] = await receive()
            return answer
        given = True
        with tempfile.TemporaryFile() as file:
            more = True
            while more:
                message: dict[str, Any] = await receive()
                if message["type"] != "http.request":
                    return message
                file.write(message.get("body", b""))
                more = message.get("more_body", False)
            file.seek(0)
            return {"type": "http.request", "body": file.read(), "more_body": False}

    return receive_once
