"""Fault injection: an API that misbehaves by a script, a stream that does so at a rate and from a seed.

Everything listens on 127.0.0.1 only and stops by itself at the end of a `with`.
"""

import base64
import contextlib
import io
import json
import random
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.awsrequest import AWSResponse

THROTTLED = "ProvisionedThroughputExceededException"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer and how it goes wrong.

    delay: seconds before the first byte. drip: seconds before each byte of the body, or of the head, too,
    with drip_head. repeat: how often the body is sent. cut: bytes of the body after which the connection is
    closed. reset: no answer, the connection is reset. Content-Length is that of the whole body unless headers
    has another.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    drip_head: bool = False
    repeat: int = 1
    cut: int | None = None
    reset: bool = False

    def head(self) -> bytes:
        headers = {"Content-Length": str(len(self.body) * self.repeat), **self.headers, "Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()


class HostileServer:
    """Answers the n-th request with the n-th reply, and all later ones with the last.

    paths: what was asked for. "{port}" in a header stands for the server's own port.
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies = replies
        self.paths: list[str] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> "HostileServer":
        handler = type("ScriptedHandler", (_ScriptedHandler,), {"script": self})
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def next_reply(self, path: str) -> Reply:
        with self._lock:
            self.paths.append(path)
            return self.replies[min(len(self.paths), len(self.replies)) - 1]


class _ScriptedHandler(socketserver.StreamRequestHandler):
    script: HostileServer

    def handle(self) -> None:
        path = self.rfile.readline().decode().split(" ")[1]
        while self.rfile.readline().strip():
            pass
        reply = self.script.next_reply(path)
        if reply.reset:
            # Closing with unsent data and no lingering makes the kernel send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.script.stopping.wait(reply.delay)
        # A client with a deadline closes the connection.
        with contextlib.suppress(OSError):
            port = str(self.script.port).encode()
            self._send(reply.head().replace(b"{port}", port), reply.drip * reply.drip_head)
            for _ in range(reply.repeat):
                self._send(reply.body[: reply.cut], reply.drip)

    def _send(self, data: bytes, drip: float) -> None:
        if not drip:
            self.wfile.write(data)
            return
        for byte in data:
            if self.script.stopping.wait(drip):
                return
            self.wfile.write(bytes([byte]))

    def finish(self) -> None:
        # Flushing and closing fail, too, once the client has left.
        with contextlib.suppress(OSError):
            super().finish()


class FakeKinesis:
    """Takes PutRecords as Kinesis does, within its limits, and stores what it accepted: (partition key, data)."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.calls = 0

    def __enter__(self) -> "FakeKinesis":
        handler = type("KinesisHandler", (_KinesisHandler,), {"kinesis": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls += 1
        if target != "Kinesis_20131202.PutRecords":
            return 400, {"__type": "UnknownOperationException", "message": target}
        records = [(entry["PartitionKey"], base64.b64decode(entry["Data"])) for entry in body["Records"]]
        sizes = [len(key.encode()) + len(data) for key, data in records]
        if not 1 <= len(records) <= 500 or max(sizes) > 2**20 or sum(sizes) > 5 * 2**20:
            return 400, {"__type": "InvalidArgumentException", "message": "beyond the limits of PutRecords"}
        self.taken += records
        results = [{"SequenceNumber": str(number), "ShardId": "shardId-0"} for number in range(len(records))]
        return 200, {"FailedRecordCount": 0, "Records": results}


class _KinesisHandler(BaseHTTPRequestHandler):
    kinesis: FakeKinesis

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, value = self.kinesis.answer(self.headers["X-Amz-Target"], body)
        answer = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


class StreamFaults:
    """Fault injection for PutRecords: whole calls throttled, and single records refused, at a rate.

    It works through botocore's events, so against any endpoint; install it on a client's `meta.events`, or
    on a session's `events` for all clients made later. calls counts all calls, throttlings and refusals the faults.
    """

    def __init__(self, *, throttled: float = 0.0, refused: float = 0.0, seed: int = 0) -> None:
        self.throttled = throttled
        self.refused = refused
        self.calls = 0
        self.throttlings = 0
        self.refusals = 0
        self._random = random.Random(seed)
        self._call = threading.local()

    def install(self, events: Any) -> None:
        events.register("provide-client-params.kinesis.PutRecords", self._hold_back)
        events.register("before-send.kinesis.PutRecords", self._answer_instead)
        events.register("after-call.kinesis.PutRecords", self._add_refusals)

    def _hold_back(self, params: dict[str, Any], **_: Any) -> dict[str, Any] | None:
        """Choose the records to refuse; the others go on, unless all are chosen: there are no empty calls."""
        records = params["Records"]
        self._call.refused = {number for number in range(len(records)) if self._random.random() < self.refused}
        self._call.length = len(records)
        passing = [record for number, record in enumerate(records) if number not in self._call.refused]
        return {**params, "Records": passing} if passing else None

    def _answer_instead(self, request: Any, **_: Any) -> AWSResponse | None:
        self.calls += 1
        if self._random.random() < self.throttled:
            self.throttlings += 1
            self._call.refused = set()
            return _response(request, 400, {"__type": THROTTLED, "message": "Rate exceeded for shard"})
        if len(self._call.refused) == self._call.length:
            return _response(request, 200, {"FailedRecordCount": 0, "Records": []})
        return None

    def _add_refusals(self, parsed: dict[str, Any], **_: Any) -> None:
        """Put the refused records' results back at their indexes."""
        taken = iter(parsed.get("Records", []))
        if not self._call.refused:
            return
        refusal = {"ErrorCode": THROTTLED, "ErrorMessage": "Rate exceeded for shard"}
        parsed["Records"] = [
            refusal if number in self._call.refused else next(taken) for number in range(self._call.length)
        ]
        parsed["FailedRecordCount"] = len(self._call.refused)
        self.refusals += len(self._call.refused)


class _Body(io.BytesIO):
    """What botocore reads of urllib3's responses."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def _response(request: Any, status: int, value: dict[str, Any]) -> AWSResponse:
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return AWSResponse(request.url, status, headers, _Body(json.dumps(value).encode()))
