"""Failures that are ordered: chosen API calls answer an error as often as asked, then all is as before.

    endpoint.control("faults", call="sagemaker:StartPipelineExecution", times=2)

Whoever makes the call gets the error: AWS's clients, the pipeline's steps and Step Functions' integrations alike,
but for `sns:publish`, which MiniStack runs by itself. A service that names no operation in its requests is asked by
the request's method: `s3:GET`.
"""

import json
import threading
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from localaws.ministack import patches

THROTTLED = ("ThrottlingException", "Rate exceeded")


@dataclass
class Order:
    """What a call answers, and how often yet (None: until the order is taken back).

    containing: only requests whose path, query or body contains this text fail.
    """

    code: str
    message: str
    status: int
    times: int | None
    containing: str
    answered: int = 0


class Faults:
    """The orders, by call (`sagemaker:StartPipelineExecution`); one at a time for each."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._handlers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def install(self) -> None:
        """Stand in front of every service; the services of our own must be there by now."""
        self._handlers = patches.module("app").SERVICE_HANDLERS
        for service, handler in list(self._handlers.items()):
            self._handlers[service] = self._in_front_of(service, handler)

    def order(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The command `faults`: let a call fail, or take it back with `times` 0; tells how often each has failed.

        call: `<service>:<operation>`; without one, nothing changes. times: how often, 1 unless given, null for ever.
        code, message, status: the error, throttling unless given. containing: see Order. Raises ValueError for a
        service that is not there.
        """
        call = arguments.get("call", "")
        service = call.partition(":")[0]
        if call and service not in self._handlers:
            raise ValueError(f"there is no service {service!r} (have: {', '.join(self._handlers)})")
        with self._lock:
            if call:
                code, message = arguments.get("code", THROTTLED[0]), arguments.get("message", THROTTLED[1])
                times, containing = arguments.get("times", 1), arguments.get("containing", "")
                self._orders[call] = Order(code, message, arguments.get("status", 400), times, containing)
            return {"answered": {each: order.answered for each, order in self._orders.items()}}

    def _in_front_of(self, service: str, handler: Any) -> Any:
        async def handle(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
            if not self._orders:
                return await handler(method, path, headers, body, query)
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            text = body.decode(errors="replace") if isinstance(body, bytes) else body
            order = self._take(f"{service}:{operation or method}", f"{path} {query} {text}")
            if order is None:
                return await handler(method, path, headers, body, query)
            return order.status, *(_json(order) if operation else _xml(order))

        return handle

    def _take(self, call: str, request: str) -> Order | None:
        """The order for a call, counted, or None."""
        with self._lock:
            order = self._orders.get(call)
            if order is None or order.answered == order.times or order.containing not in request:
                return None
            order.answered += 1
            return order


def _json(order: Order) -> tuple[dict[str, str], bytes]:
    answer = json.dumps({"__type": order.code, "message": order.message})
    return {"Content-Type": "application/x-amz-json-1.1"}, answer.encode()


def _xml(order: Order) -> tuple[dict[str, str], bytes]:
    code, message = escape(order.code), escape(order.message)
    answer = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return {"Content-Type": "application/xml"}, answer.encode()
