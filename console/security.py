"""What protects the console: it answers this machine's browser only, and changes only what its own pages ask for.

A page of another site can make the browser send requests to 127.0.0.1. So the Host must be a loopback name with the
console's port (DNS rebinding), a request from another origin is refused, every change carries a token that only the
console's pages contain, and the pages allow no script, style or frame of anybody else.
"""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

HOSTS = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d+))?", re.IGNORECASE)
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MAX_BODY = 6 * 1024 * 1024 + 64 * 1024
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Guard:
    """An ASGI application in front of the console's. port: where it listens."""

    def __init__(self, app: Any, port: Callable[[], int]) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if refusal:
            await _refuse(send, refusal)
            return
        await self._app(scope, receive, _with_headers(send))

    def refusal(self, scope: dict[str, Any]) -> str:
        """Why a request is refused, or "" where it is not."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1")):
            return "this console answers http://127.0.0.1 only"
        origin = headers.get(b"origin", [b""])[0].decode("latin-1")
        site = headers.get(b"sec-fetch-site", [b""])[0].decode("latin-1")
        changing = scope["method"] not in ("GET", "HEAD")
        if origin and (not origin.startswith("http://") or not self._is_ours(origin.removeprefix("http://"))):
            return "a request of another origin"
        if site not in ("", "same-origin", "none") and (changing or site != "same-site"):
            navigation = headers.get(b"sec-fetch-mode", [b""])[0] == b"navigate"
            if changing or not navigation:
                return "a request of another site"
        if int(headers.get(b"content-length", [b"0"])[0] or 0) > MAX_BODY:
            return "the request is too large"
        return ""

    def _is_ours(self, host: str) -> bool:
        found = HOSTS.fullmatch(host)
        return bool(found) and int(found[1] or 80) == self._port() if found else False


class Token:
    """The secret of one console process, in a hidden field of every form."""

    def __init__(self) -> None:
        self.value = secrets.token_urlsafe(32)

    def matches(self, given: str) -> bool:
        """Whether a form carried it."""
        return hmac.compare_digest(self.value.encode(), given.encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            more = {**HEADERS, "Content-Security-Policy": POLICY}
            message["headers"] = [
                *message["headers"],
                *(
                    (name.encode(), value.encode())
                    for name, value in more.items()
                    if name.lower().encode() not in there
                ),
            ]
        await send(message)

    return sending


async def _refuse(send: Send, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"Refused: {why}\n".encode()})
