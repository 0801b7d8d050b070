"""The pages of endpoints: what serves, a request to try, its latency, and the last captured requests."""

import math
import secrets
import time
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from console.context import Console

Document = dict[str, Any]


def listing(console: Console, request: Request) -> Response:
    """Every endpoint."""
    return console.render(request, "endpoints.html", title="Endpoints", endpoints=console.account.endpoints())


def endpoint(console: Console, request: Request) -> Response:
    """One endpoint: status, variants, models, configuration, a form to try it, captured requests."""
    found = console.account.endpoint(request.path_params["endpoint"])
    answer: Document = console.answers.get(request.query_params.get("answer", ""), dict, math.inf).value
    deployment = found.get("PendingDeploymentSummary")
    return console.render(
        request, "endpoint.html", title=f"Endpoint {found['EndpointName']}", endpoint=found, deployment=deployment,
        fields=console.plugin.fields(found), captured=console.account.captured(found), answer=answer or None,
        latency=console.account.latency(found), cards=console.plugin.about(found),
        actions=console.plugin.actions(found), rows=console.plugin.answer_rows(answer["text"]) if answer else [],
    )  # fmt: skip


def try_out(console: Console, path: dict[str, str], form: dict[str, str]) -> str:
    """Send a request to an endpoint; the path of its answer, errors as a client gets them."""
    found = console.account.endpoint(path["endpoint"])
    content_type = form.pop("content_type", "application/json")
    body = form.pop("body", "") or console.plugin.body(form)
    line = console.plugin.command("predict", endpoint=found["EndpointName"], body=body)
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
    answer = {"status": status, "text": text, "milliseconds": milliseconds, "body": body, "line": line, "values": form}
    name = secrets.token_urlsafe(9)
    console.answers.get(name, lambda: answer, math.inf)
    return f"/endpoints/{quote(found['EndpointName'])}?answer={name}#answer"
