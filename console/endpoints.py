"""The pages of endpoints: what serves, a request to try, its latency, and the last captured requests."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from console.context import Console

Document = dict[str, Any]


def listing(console: Console, request: Request) -> Response:
    """Every endpoint."""
    return console.render(request, "endpoints.html", title="Endpoints", endpoints=console.account.endpoints())


def endpoint(console: Console, request: Request) -> Response:
    """One endpoint: status, variants, models, configuration, a form to try it, captured requests."""
    return shown(console, request, console.account.endpoint(request.path_params["endpoint"]))


def shown(console: Console, request: Request, found: Document, **answer: Any) -> Response:
    """An endpoint's page, with the answer to a request when there was one."""
    deployment = found.get("PendingDeploymentSummary")
    return console.render(
        request, "endpoint.html", title=f"Endpoint {found['EndpointName']}", endpoint=found, deployment=deployment,
        fields=console.plugin.fields(found), captured=console.account.captured(found), answer=answer or None,
    )  # fmt: skip


def try_out(console: Console, path: dict[str, str], form: dict[str, str]) -> Response:
    """Send a request to an endpoint and show its answer, errors as a client gets them."""
    found = console.account.endpoint(path["endpoint"])
    content_type = form.pop("content_type", "application/json")
    body = form.pop("body", "") or console.plugin.body(form)
    runtime = console.account.client("sagemaker-runtime")
    began = time.perf_counter()
    try:
        answered = runtime.invoke_endpoint(
            EndpointName=found["EndpointName"], ContentType=content_type, Accept=content_type, Body=body.encode()
        )
        status, text = 200, answered["Body"].read().decode(errors="replace")
    except runtime.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        text = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        text += f"\n{error.response.get('OriginalMessage', '')}".rstrip()
    milliseconds = (time.perf_counter() - began) * 1000
    request = Request({"type": "http", "method": "GET", "path": f"/endpoints/{path['endpoint']}", "query_string": b"",
                       "headers": []})  # fmt: skip
    return shown(console, request, found, status=status, text=text, milliseconds=milliseconds, body=body)
