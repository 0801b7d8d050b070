"""Fault injection: fail an API call N times.

    endpoint.control("faults", call="sagemaker:StartPipelineExecution", times=2)

The error reaches every caller: AWS's clients, the pipeline's steps and Step Functions' integrations. The exception is
`sns:publish`, which MiniStack runs without a request. A service whose requests name no operation is addressed by the
HTTP method: `s3:GET`.
"""

import json
import threading
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from localaws.ministack import patches

THROTTLED = ("ThrottlingException", "Rate exceeded")


@dataclass
class Fault:
    """An error to return. times: for so many calls, or None for every call until it is removed. injected: calls so far.

    containing: only requests whose path, query or body contains this text fail.
    """

    code: str
    message: str
    status: int
    times: int | None
    containing: str
    injected: int = 0


class Faults:
    """Injected faults, at most one per call (`sagemaker:StartPipelineExecution`)."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._handlers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def install(self) -> None:
        """Wrap the handler of every service. Call it after the last service is added."""
        self._handlers = patches.module("app").SERVICE_HANDLERS
        for service, handler in list(self._handlers.items()):
            self._handlers[service] = self._wrap(service, handler)

    def inject(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The command `faults`: add a fault, or remove it with `times` 0. Returns the injected errors by call.

        call: `<service>:<operation>`; without it nothing changes. times: number of calls (1), null for all.
        code, message, status: the error (throttling). containing: see Fault. Raises ValueError for an unknown service.
        """
        call = arguments.get("call", "")
        service = call.partition(":")[0]
        if call and service not in self._handlers:
            raise ValueError(f"there is no service {service!r} (have: {', '.join(self._handlers)})")
        with self._lock:
            if call:
                code, message = arguments.get("code", THROTTLED[0]), arguments.get("message", THROTTLED[1])
                times, containing = arguments.get("times", 1), arguments.get("containing", "")
                self._faults[call] = Fault(code, message, arguments.get("status", 400), times, containing)
            return {"injected": {each: fault.injected for each, fault in self._faults.items()}}

    def _wrap(self, service: str, handler: Any) -> Any:
        async def handle(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
            if not self._faults:
                return await handler(method, path, headers, body, query)
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            text = body.decode(errors="replace") if isinstance(body, bytes) else body
            fault = self._match(f"{service}:{operation or method}", f"{path} {query} {text}")
            if fault is None:
                return await handler(method, path, headers, body, query)
            return fault.status, *(_json(fault) if operation else _xml(fault))

        return handle

    def _match(self, call: str, request: str) -> Fault | None:
        """The fault for a request, counted as injected, or None."""
        with self._lock:
            fault = self._faults.get(call)
            if fault is None or fault.injected == fault.times or fault.containing not in request:
                return None
            fault.injected += 1
            return fault


def _json(fault: Fault) -> tuple[dict[str, str], bytes]:
    answer = json.dumps({"__type": fault.code, "message": fault.message})
    return {"Content-Type": "application/x-amz-json-1.1"}, answer.encode()


def _xml(fault: Fault) -> tuple[dict[str, str], bytes]:
    code, message = escape(fault.code), escape(fault.message)
    answer = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return {"Content-Type": "application/xml"}, answer.encode()
