"""API Gateway's integration with SageMaker's runtime: REST APIs of type AWS whose URI is `runtime.sagemaker:path/...`.

MiniStack decides on signature, key, throttling and quota, and maps the answer; it has the integration with SQS alone.
The call is signed with the integration's role. https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-integration-types.html
"""

import asyncio
import http.client
import os
import re
from typing import Any
from urllib.parse import urlsplit

from localaws.ministack import patches
from localaws.sagemaker.serving.container import INVOCATION_SECONDS
from localaws.security import sessions

SERVICE, SIGNING_NAME = "runtime.sagemaker", "sagemaker"
STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")
Answer = tuple[int, dict[str, str], str]


def install() -> None:
    """Answer requests of APIs that integrate SageMaker's runtime."""
    gateway = patches.module("services.apigateway_v1")
    others = gateway._invoke_lambda_custom_v1

    async def invoke(integration: dict[str, Any], *request: Any, **context: Any) -> Any:
        stage, headers, body, query, path = request[2], request[6], request[7], request[8], request[9]
        variables = stage.get("variables") or {}
        uri = STAGE_VARIABLE.sub(lambda found: str(variables.get(found[1], "")), integration.get("uri") or "")
        target = gateway._parse_service_integration_uri(uri)
        if target is None or target[1:3] != (SERVICE, "path"):
            return await others(integration, *request, **context)
        given = {name.lower(): value for name, value in headers.items()}
        sent = {"content-type": given.get("content-type", "application/json"), **_mapped(integration, given)}
        arguments = (integration["credentials"], target[0], f"/{target[3]}", sent, body)
        status, answered, content = await asyncio.to_thread(_call, *arguments)
        values = {**headers, **{name: each[0] for name, each in query.items()}, **(path or {})}
        result = gateway._service_integration_response(
            integration, status, content, given.get("accept", "application/json"), values
        )
        return result[0], {name: _from_answer(value, answered) for name, value in result[1].items()}, result[2]

    gateway._invoke_lambda_custom_v1 = invoke


def _mapped(integration: dict[str, Any], headers: dict[str, str]) -> dict[str, str]:
    """The headers that the integration takes from the request's, or has as a fixed text."""
    mapped = {}
    for target, source in (integration.get("requestParameters") or {}).items():
        fixed = source[1:-1] if source.startswith("'") else headers.get(source.rpartition(".")[2].lower())
        if target.startswith("integration.request.header.") and fixed:
            mapped[target.rpartition(".")[2].lower()] = fixed
    return mapped


def _from_answer(value: str, answered: dict[str, str]) -> str:
    name = value.removeprefix("integration.response.header.")
    return value if name == value else answered.get(name.lower(), "")


def _call(role: str, region: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    """Call the runtime as the role: status, headers, text."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    key = sessions.of_role(role, "BackplaneAssumeRoleSession")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    request = AWSRequest("POST", f"{endpoint}{path}", headers, body)
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret_access_key, key.session_token), SIGNING_NAME, region)
    signer.add_auth(request)
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=INVOCATION_SECONDS)
    try:
        connection.request("POST", path, body, dict(request.headers))
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return response.status, answered, response.read().decode(errors="replace")
    finally:
        connection.close()
