"""An HTTP response with a status, as a WSGI application.

SageMaker's container answers 500 with an HTML page to every exception of the serving functions, and 200 to every text
that they return. Flask gets anything else, and it calls a WSGI application, so a refusal keeps its status.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any


class Response:
    """A text with its status and media type."""

    def __init__(self, text: str, status_code: int, mimetype: str = "application/json") -> None:
        self.text = text
        self.status_code = status_code
        self.mimetype = mimetype

    def get_data(self) -> bytes:
        """The body."""
        return self.text.encode()

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers a WSGI request."""
        body = self.get_data()
        headers = [("Content-Type", self.mimetype), ("Content-Length", str(len(body)))]
        start_response(f"{self.status_code} {HTTPStatus(self.status_code).phrase}", headers)
        return [body]
