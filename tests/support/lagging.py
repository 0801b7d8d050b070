"""AWS at its slowest, between boto3 and the local endpoint: stale reads, throttles, short pages.

A read (Describe..., List..., Get...) answers what the same read answered some time before, errors included. Any call
may be throttled once. A page holds one item, however many were asked for.
"""

import random
import time
from collections import defaultdict
from typing import Any, NamedTuple

from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

from pipelines.account.clients import Clients

SERVICES = ("cloudformation", "sagemaker", "stepfunctions", "s3")
READS = ("Describe", "List", "GetExecutionHistory", "HeadObject")
THROTTLED = {
    "cloudformation": (
        b"<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>"
        b"</ErrorResponse>"
    ),
    "s3": b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
}
THROTTLED_JSON = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'


class Answer(NamedTuple):
    """A response as it came at a time (seconds, monotonic)."""

    at: float
    url: str
    status: int
    headers: Any
    content: bytes

    def response(self) -> AWSResponse:
        """As botocore takes it."""
        response = AWSResponse(self.url, self.status, self.headers, None)
        response._content = self.content
        return response


class Lagging:
    """Makes an account's clients lag. lag_seconds: how old what is read may be. throttled: share of the calls."""

    def __init__(self, clients: Clients, seed: int, *, lag_seconds: float = 0.4, throttled: float = 0.05) -> None:
        self.random = random.Random(seed)
        self.lag_seconds = lag_seconds
        self.throttled = throttled
        self.stale = self.throttles = 0
        self._http = URLLib3Session()
        self._answers: dict[tuple[str, bytes], list[Answer]] = defaultdict(list)
        self._refused: set[tuple[str, bytes]] = set()
        clients.consistent = False
        for service in SERVICES:
            events = clients[service].meta.events
            events.register("before-send", self._send)
            events.register("provide-client-params.sagemaker", self._one_item)

    def _one_item(self, params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        """Every page holds one item: a service may return fewer than MaxResults."""
        paged = "MaxResults" in model.input_shape.members and "NextToken" in model.output_shape.members
        return {**params, "MaxResults": 1} if paged and model.name.startswith("List") else params

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        _, service, operation = event_name.split(".")
        body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
        # The path names the object in S3.
        key = (f"{service}.{operation} {request.url}", body)
        if key not in self._refused and self.random.random() < self.throttled:
            self._refused.add(key)
            self.throttles += 1
            return self._throttle(service, request.url)
        self._refused.discard(key)
        if not operation.startswith(READS):
            return None
        answer = self._http.send(request)
        answers = self._answers[key]
        answers.append(Answer(time.monotonic(), request.url, answer.status_code, answer.headers, answer.content))
        old = [each for each in answers if each.at <= time.monotonic() - self.lag_seconds * self.random.random()]
        chosen = old[-1] if old else answers[0]
        self.stale += chosen.content != answers[-1].content
        return chosen.response()

    @staticmethod
    def _throttle(service: str, url: str) -> AWSResponse:
        content = THROTTLED.get(service, THROTTLED_JSON)
        kind = "application/xml" if service in THROTTLED else "application/x-amz-json-1.1"
        headers = {"content-type": kind, "content-length": str(len(content))}
        return Answer(0.0, url, 503 if service == "s3" else 400, headers, content).response()
