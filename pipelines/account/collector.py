"""Invoke the collector Lambda by hand."""

import json
import shlex

from localaws.errors import RUN_FAILED, ExpectedError
from pipelines.account import failures
from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

CATALOGUE: Document = {"mode": "catalogue"}


def collect(stacks: Stacks, event: Document = CATALOGUE) -> Document:
    """Invoke the collector and return its answer: {"sent": n, "refused": {reason: n}, ...}.

    event: {"mode": "catalogue"} for every beer, {"mode": "random", "count": n} for some. Raises ExpectedError when the
    function fails.
    """
    name = stacks.output("ingestion", "CollectorName")
    with aws_errors("invoking the collector"):
        answer = stacks.clients["lambda"].invoke(FunctionName=name, Payload=json.dumps(event).encode())
        payload: Document = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        frame = failures.own_frame(payload.get("stackTrace", []))
        raise ExpectedError(
            f"the collector failed: {payload.get('errorMessage', payload)}" + (f" ({frame})" if frame else ""),
            where=f"the Lambda function {name}",
            hint=log_command(stacks, name),
            code=RUN_FAILED,
        )
    return payload


def collect_command(stacks: Stacks) -> str:
    """The command that collects every beer, to paste."""
    if stacks.clients.local:
        return stacks.clients.command("local", "collect")
    invocation = ["aws", "lambda", "invoke", "--function-name", stacks.output("ingestion", "CollectorName")]
    # Neither version 1 nor version 2 of the AWS CLI decodes a payload that it reads with fileb://.
    invocation += ["--payload", "fileb:///dev/stdin", "/dev/stdout"]
    return f"echo {shlex.quote(json.dumps(CATALOGUE))} | {shlex.join(invocation)}"


def log_command(stacks: Stacks, function: str) -> str:
    """The command that shows the collector's log."""
    if stacks.clients.local:
        return stacks.clients.command("local", "logs", "collector")
    with aws_errors(f"reading the configuration of {function}"):
        described = stacks.clients["lambda"].get_function_configuration(FunctionName=function)
    group = described.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{function}")
    return shlex.join(["aws", "logs", "filter-log-events", "--log-group-name", group])
