"""Answers of S3, Kinesis and Firehose when the workspace cannot be written or read: the error names the reason."""

import json
import logging
import sqlite3
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from localaws.errors import ExpectedError
from localaws.ministack import patches

Answer = tuple[int, dict[str, str], bytes]
logger = logging.getLogger("localaws.disk")


def install() -> None:
    """Let the services answer with the reason."""
    handlers = patches.module("app").SERVICE_HANDLERS
    for service, answer in (("s3", _xml), ("kinesis", _json), ("firehose", _json)):
        handlers[service] = _described(service, handlers[service], answer)


def _described(service: str, handle: Any, answer: Callable[[str], Answer]) -> Any:
    async def handle_described(*request: Any, **options: Any) -> Any:
        try:
            return await handle(*request, **options)
        except (OSError, sqlite3.Error, ExpectedError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            logger.error("%s cannot answer: %s", service, reason)
            return answer(f"The workspace cannot be used: {reason}")

    return handle_described


def _xml(message: str) -> Answer:
    body = f"<Error><Code>InternalError</Code><Message>{escape(message)}</Message></Error>"
    return 500, {"Content-Type": "application/xml"}, body.encode()


def _json(message: str) -> Answer:
    body = json.dumps({"__type": "InternalFailureException", "message": message})
    return 500, {"Content-Type": "application/x-amz-json-1.1"}, body.encode()
