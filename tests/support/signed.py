"""Requests to the local endpoint with exactly the headers that a test gives."""

import http.client
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from localaws.endpoint import Endpoint
from localaws.security.credentials import Credentials


def port(endpoint: Endpoint) -> int:
    return int(endpoint.url.rpartition(":")[2])


def answer(endpoint: Endpoint, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[int, Any, str]:
    """(status, headers, body) of a request as it is given, its Host header included."""
    connection = http.client.HTTPConnection("127.0.0.1", port(endpoint), timeout=20)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() or None)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode(errors="replace")
    finally:
        connection.close()


def signed(endpoint: Endpoint, host: str, key: Credentials | None = None, **headers: str) -> dict[str, str]:
    """The headers of a signed `GET /` of S3 that is sent to `host`."""
    key = key or endpoint.credentials
    request = AWSRequest("GET", f"http://{host}/", {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", **headers})
    request.headers["Host"] = host
    SigV4Auth(
        BotocoreCredentials(key.access_key_id, key.secret_access_key, key.session_token), "s3", "us-east-1"
    ).add_auth(request)
    return dict(request.headers)
