"""Access control: an ASGI application in front of the others that admits requests with valid credentials.

from a web page, or for another host             403
/_localaws/..., /_ministack/...                  the workspace's token in a header
an API of API Gateway, a function's URL          as the API's own authoriser decides
everything else                                  signed with the workspace's key or one made from it
"""

import email.parser
import email.policy
import hashlib
import hmac
import time
import uuid
from typing import Any
from urllib.parse import parse_qs, quote
from xml.sax.saxutils import escape

from localaws.bodies import collect, replay
from localaws.ministack import patches
from localaws.security import origin, signatures
from localaws.security.credentials import TOKEN_HEADER
from localaws.security.keys import Keys
from localaws.security.signatures import Refused, Request

TOKEN = TOKEN_HEADER.lower()
# The address itself is the secret there, as it is at AWS: a presigned URL that CloudFormation hands to one Lambda.
CAPABILITIES = ("/_ministack/cfn-response/", "/_ministack/cfn-signal/")
CONTROL_BYTES = 1 << 20


class Guard:
    """Lets requests with valid credentials through to `app`. port: the endpoint's own."""

    def __init__(self, app: Any, keys: Keys, port: int) -> None:
        self.app = app
        self.keys = keys
        self.port = port

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = _request(scope)
        try:
            origin.check(scope["headers"], self.port)
            receive = await self._admit(scope, request, receive)
        except Refused as refusal:
            await _refuse(scope, request, refusal, send)
            return
        await self.app(scope, receive, _without_cors(send))

    async def _admit(self, scope: dict[str, Any], request: Request, receive: Any) -> Any:
        """The `receive` to read the request's body from; Refused unless its credentials are valid."""
        path = scope["path"]
        if path.startswith(CAPABILITIES):
            return receive
        if _decides_itself(request, path):
            return receive
        if scope["type"] == "websocket":
            raise Refused("AccessDenied", "Only the WebSocket APIs of API Gateway are offered here.")
        if path.startswith("/_") and not _is_signed_api_call(request, path):
            if not hmac.compare_digest(request.headers.get(TOKEN, "").encode(), self.keys.key.control_token().encode()):
                raise Refused("AccessDenied", f"The header {TOKEN_HEADER} lacks the workspace's token.")
            return _limited(receive, CONTROL_BYTES)
        if _is_form(request):
            body = await collect(receive)
            self._check_form(request, body.read())
            body.seek(0)
            return replay(body, receive)
        return await self._admit_signed(request, receive)

    async def _admit_signed(self, request: Request, receive: Any) -> Any:
        signature = signatures.parse(request)
        key = self.keys.find(signature)
        signatures.check_time(signature, time.time())
        declared = signatures.declared_hash(request, signature)
        if declared is not None:
            # Before the body is read: nobody without a key fills this process's memory.
            signatures.verify(request, signature, key, declared)
        if declared in (signatures.UNSIGNED, signatures.STREAMING_UNSIGNED):
            return receive
        body = await collect(receive)
        if declared is not None and declared.startswith(signatures.STREAMING):
            signatures.verify_chunks(body.read(), signature, key)
            body.seek(0)
            return replay(body, receive)
        digest = hashlib.sha256()
        while piece := body.read(1 << 20):
            digest.update(piece)
        body.seek(0)
        if declared is None:
            signatures.verify(request, signature, key, digest.hexdigest())
        elif declared != digest.hexdigest():
            raise Refused("SignatureDoesNotMatch", "The body is not the one that was signed.")
        return replay(body, receive)

    def _check_form(self, request: Request, body: bytes) -> None:
        fields = _form_fields(request.headers["content-type"], body)
        signature = signatures.of_form(fields)
        signatures.verify_form(fields.get("policy", ""), signature, self.keys.find(signature), time.time())


def _request(scope: dict[str, Any]) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    bucket = patches.module("app")._extract_s3_vhost_bucket(headers.get("host", "")) or ""
    return Request(
        scope.get("method", "GET"), path.decode("latin-1"), scope["query_string"].decode("latin-1"), headers, bucket
    )


def _decides_itself(request: Request, path: str) -> bool:
    """Whether the request is an unsigned call of an API or a function's URL that does not ask for IAM's signature.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-control-access-to-api.html
    """
    if "x-amz-target" in request.headers or request.headers.get("authorization", "").startswith(("AWS4-", "AWS ")):
        return False
    app, host = patches.module("app"), request.headers.get("host", "")
    called = app._parse_execute_api_url(host, path)
    if called:
        api, stage, rest = called
        stage, rest = app._resolve_stage_and_path(api, stage, rest)
        return bool(app._execute_api_authorization_type(api, stage, request.method, rest) != "AWS_IAM")
    url = app._parse_lambda_url(host, path)
    found = patches.module("services.lambda_svc").resolve_function_url(url[0]) if url else None
    return bool(found and found[4].get("AuthType") == "NONE")


def _is_signed_api_call(request: Request, path: str) -> bool:
    """Whether the request calls an API of API Gateway or a function's URL, by its path, with a signature."""
    called = path.startswith(("/_aws/execute-api/", "/_aws/lambda-url/"))
    return called and request.headers.get("authorization", "").startswith("AWS4-")


def _is_form(request: Request) -> bool:
    """Whether the request is S3's upload form, which signs a policy instead of itself."""
    content_type = request.headers.get("content-type", "")
    return request.method == "POST" and content_type.startswith("multipart/form-data") and not request.query


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of an upload form before its file, with lower-case names."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        if name == "file":
            break
        content = part.get_payload(decode=True)
        fields[str(name).lower()] = content.decode(errors="replace") if isinstance(content, bytes) else ""
    return fields


def _limited(receive: Any, most: int) -> Any:
    """A `receive` that ends a body which is longer than `most` bytes."""
    read = 0

    async def limited() -> dict[str, Any]:
        nonlocal read
        message: dict[str, Any] = await receive()
        read += len(message.get("body", b""))
        return message if read <= most else {"type": "http.disconnect"}

    return limited


def _without_cors(send: Any) -> Any:
    """A `send` that drops the permissions for pages of other origins, which MiniStack gives to everybody."""

    async def strict(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [each for each in message["headers"] if not each[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": headers}
        await send(message)

    return strict


def _answer(service: str, request: Request, refusal: Refused) -> tuple[int, dict[str, str], bytes]:
    actions: Any = patches.module("core.iam_actions")
    reference = str(uuid.uuid4())
    if service == "s3":
        code, status, _ = actions._AUTH_FAILURES.get(refusal.code, (0, 0, 0, (refusal.code, 403, "")))[3]
        body = (
            f"<Error><Code>{code}</Code><Message>{escape(refusal.message)}</Message>"
            f"<RequestId>{reference}</RequestId></Error>"
        )
        return status, {"Content-Type": "application/xml"}, body.encode()
    answer: tuple[int, dict[str, str], bytes] = actions.access_denied_response(
        service, "", "", reference, error_code=refusal.code, message=refusal.message, headers=request.headers
    )
    return answer


async def _refuse(scope: dict[str, Any], request: Request, refusal: Refused, send: Any) -> None:
    """Answer in the protocol of the service that was called."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    query = parse_qs(request.query, keep_blank_values=True)
    service = patches.module("core.router").detect_service(request.method, scope["path"], dict(request.headers), query)
    status, headers, body = _answer(service, request, refusal)
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    sent.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
