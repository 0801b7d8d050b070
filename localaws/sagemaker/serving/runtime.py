"""InvokeEndpoint: a request to an endpoint's containers, and its errors as sagemaker-runtime gives them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import asyncio
import contextvars
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import unquote

from localaws.sagemaker.service import arn, scope
from localaws.sagemaker.serving.capture import Capture
from localaws.sagemaker.serving.container import INVOCATION_SECONDS, Container
from localaws.sagemaker.serving.deployments import ENDPOINT, LOG_GROUP, Deployments
from localaws.sagemaker.serving.fleet import Variant
from localaws.sagemaker.serving.metrics import Metrics
from localaws.store import Document

Answer = tuple[int, dict[str, str], bytes]
INVOCATIONS = 64
PAYLOAD_BYTES, SERVERLESS_PAYLOAD_BYTES = 6_291_456, 4_194_304
PREFIX = "x-amzn-sagemaker-"
ATTRIBUTES, INFERENCE_ID, TARGET = f"{PREFIX}custom-attributes", f"{PREFIX}inference-id", f"{PREFIX}target-variant"
# Request headers that ask for what is not offered here.
NOT_OFFERED = {
    f"{PREFIX}target-model": "TargetModel",
    f"{PREFIX}target-container-hostname": "TargetContainerHostname",
    f"{PREFIX}enable-explanations": "EnableExplanations",
    f"{PREFIX}inference-component": "InferenceComponentName",
    f"{PREFIX}session-id": "SessionId",
}
# Operations that are not offered here, by the end of their path.
OPERATIONS = {
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
# What nginx answers when the model server ends in the middle of a request.
BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


class RuntimeFault(Exception):
    """An error answer of sagemaker-runtime: code, HTTP status, members of the body."""

    def __init__(self, code: str, status: int, **members: object) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.members = members


class Invocation(NamedTuple):
    """A request. headers: names in small letters."""

    endpoint: str
    headers: dict[str, str]
    body: bytes


class Runtime:
    """Answers the requests below /endpoints/."""

    def __init__(self, deployments: Deployments, capture: Capture, metrics: Metrics) -> None:
        # Invocations may take a minute; other requests must not wait for their threads.
        self._threads = ThreadPoolExecutor(INVOCATIONS, thread_name_prefix="invocation")
        self.deployments = deployments
        self.capture = capture
        self.metrics = metrics

    async def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        """Answer POST /endpoints/NAME/invocations, or Step Functions' SageMakerRuntime.InvokeEndpoint."""
        answer = self._from_step_functions if "x-amz-target" in headers else self._over_http
        run = functools.partial(contextvars.copy_context().run, answer, path, headers, body)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _over_http(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        _, _, name, operation = path.split("/", 3)
        headers = {key.lower(): value for key, value in headers.items()}
        try:
            if operation != "invocations":
                named = OPERATIONS.get(operation, operation)
                raise _wrong(f"The local SageMaker does not offer {named}. It offers InvokeEndpoint.")
            return self.invoke(Invocation(unquote(name), headers, body))
        except RuntimeFault as fault:
            error = {"Content-Type": "application/json", "x-amzn-ErrorType": fault.code}
            return fault.status, error, json.dumps(fault.members).encode()

    def get_state(self) -> Document:
        """The state that MiniStack saves at shutdown: none, the store is on disk."""
        return {}

    def load_persisted_state(self, state: Document) -> None:
        """Load nothing: the store is on disk."""

    def reset(self) -> None:
        """Nothing of its own to delete."""

    def invoke(self, given: Invocation) -> Answer:
        """InvokeEndpoint. Raises RuntimeFault."""
        traffic = self.deployments.traffic.get(arn(f"{ENDPOINT}/{given.endpoint.lower()}"))
        if traffic is None or not traffic.fleets:
            raise _wrong(f"Endpoint {given.endpoint} of account {scope()[1]} not found.")
        for header, member in NOT_OFFERED.items():
            if header in given.headers:
                raise _wrong(f"The local SageMaker does not offer {member}.")
        with traffic.request(given.headers.get(TARGET)) as chosen:
            if chosen is None:
                raise _wrong(f"Variant {given.headers.get(TARGET)} of endpoint {given.endpoint} not found.")
            fleet, variant = chosen
            _check_limits(variant, given.body)
            started_at = time.monotonic()
            status, headers, body = _through(variant.containers, given)
            self.metrics.add(given.endpoint, fleet, variant, status, time.monotonic() - started_at)
        if status >= 400 or status < 200:
            raise _model_error(given.endpoint, status, body)
        content_type = headers.get("content-type", "")
        self.capture.add(given.endpoint, fleet, variant, given.headers, given.body, content_type, body)
        answered = {"Content-Type": content_type, "x-Amzn-Invoked-Production-Variant": variant.name}
        if ATTRIBUTES in headers:
            answered["X-Amzn-SageMaker-Custom-Attributes"] = headers[ATTRIBUTES]
        return 200, answered, body

    def _from_step_functions(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """aws-sdk:sagemakerruntime:invokeEndpoint: Body is sent as JSON, and comes back as text."""
        try:
            answer = self._invoke_with_json(json.loads(body))
        except RuntimeFault as fault:
            # AWS's SDK for Java, which names the errors of Step Functions, ends all names so.
            name = f"{fault.code.removesuffix('Exception')}Exception"
            message = fault.members.get("Message", "")
            return fault.status, {}, json.dumps({"__type": name, "message": message}).encode()
        return 200, {}, json.dumps(answer).encode()

    def _invoke_with_json(self, request: Document) -> Document:
        members = {"ContentType": "content-type", "Accept": "accept", "CustomAttributes": ATTRIBUTES}
        members |= {"TargetVariant": TARGET, "InferenceId": INFERENCE_ID}
        headers = {header: str(request[member]) for member, header in members.items() if member in request}
        body = json.dumps(request.get("Body", "")).encode()
        _, answered, content = self.invoke(Invocation(str(request.get("EndpointName", "")), headers, body))
        return {
            "Body": content.decode(errors="replace"),
            "ContentType": answered["Content-Type"],
            "InvokedProductionVariant": answered["x-Amzn-Invoked-Production-Variant"],
        }


def _check_limits(variant: Variant, body: bytes) -> None:
    most = SERVERLESS_PAYLOAD_BYTES if variant.serverless else PAYLOAD_BYTES
    if len(body) > most:
        raise _wrong(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less "
            f"than or equal to {most}"
        )
    if variant.serverless and variant.in_flight > variant.serverless["MaxConcurrency"]:
        raise RuntimeFault("ThrottlingException", 400)


def _through(containers: list[Container], given: Invocation) -> Answer:
    """The answer of the last container, which gets the request's Accept; each gets the answer of the one before it."""
    names = ("content-type", ATTRIBUTES)
    headers = {name: given.headers[name] for name in names if given.headers.get(name)}
    status, answered, body = 200, headers, given.body
    deadline = time.monotonic() + INVOCATION_SECONDS
    for number, container in enumerate(containers):
        if number:
            headers = {**headers, "content-type": answered.get("content-type", "")}
        if container is containers[-1] and given.headers.get("accept"):
            headers = {**headers, "accept": given.headers["accept"]}
        try:
            left = max(0.001, deadline - time.monotonic())
            status, answered, body = container.request("POST", "/invocations", headers, body, left)
        except TimeoutError:
            return 0, {}, TIMED_OUT.encode()
        except OSError:
            return 502, {"content-type": "text/html"}, BAD_GATEWAY
        if status >= 400:
            break
    return status, answered, body


def _wrong(message: str) -> RuntimeFault:
    return RuntimeFault("ValidationError", 400, Message=message)


def _model_error(endpoint: str, status: int, body: bytes) -> RuntimeFault:
    region, account = scope()
    group = f"{LOG_GROUP}/{endpoint}"
    text = body.decode(errors="replace")
    kind = "client" if 400 <= status < 500 else "server"
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group}"
    return RuntimeFault(
        "ModelError",
        424,
        Message=f'Received {kind} error ({status}) from primary with message "{text}". See {console} in account '
        f"{account} for more information.",
        OriginalMessage=text,
        OriginalStatusCode=status,
        LogStreamArn=f"arn:aws:logs:{region}:{account}:log-group:{group}",
    )
