"""The logs of Lambda functions, and the last error in one."""

import json
from collections.abc import Iterator
from typing import Any

from pipelines.account.clients import Clients, aws_errors
from pipelines.account.failures import traceback_message
from pipelines.cli.output import Document


def last_error(clients: Clients, function: str, since: float) -> str | None:
    """The last error in a function's log since a moment (epoch seconds); None when there is none."""
    with aws_errors(f"reading the log of {function}"):
        found = list(messages(clients.logs, log_group(clients, function), since))
    for message in reversed(found):
        if payload := _payload(message):
            lines = ["Traceback (most recent call last)", *map(str, payload["stackTrace"])]
            return traceback_message([*lines, f"{payload['errorType']}: {payload.get('errorMessage', '')}"])
    return traceback_message(found)


def log_group(clients: Clients, function: str) -> str:
    """The name of a function's log group."""
    configuration = clients["lambda"].get_function_configuration(FunctionName=function)
    return str(configuration.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{function}"))


def messages(logs: Any, group: str, since: float = 0) -> Iterator[str]:
    """The messages of a log group since a moment (epoch seconds), in their order."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=int(since * 1000))
    for page in pages:
        yield from (event["message"] for event in page["events"])


def _payload(message: str) -> Document | None:
    """The error that Lambda logs as one JSON object when the log format is JSON."""
    if '"stackTrace"' not in message:
        return None
    try:
        found = json.loads(message)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "errorType" in found else None
