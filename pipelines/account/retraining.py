"""A run by hand: start the state machine `retrain`, which decides on the data and the champion, and find its run."""

import json
import shlex
import time
from collections.abc import Set

from localaws.errors import CONFLICT, RUN_FAILED, ExpectedError
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.collector import collect_command
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

# The state that retrain enters when it has started the pipeline execution (pipelines/authoring/notifications.py).
STARTED = "WaitForRun"
POLL_SECONDS = 0.25
# Polls of the history of an execution that has failed.
HISTORY_POLLS = 20
HISTORY = ["aws", "stepfunctions", "get-execution-history", "--reverse-order", "--execution-arn"]
Values = dict[str, str]


def start(stacks: Stacks, parameters: Values) -> str:
    """Start `retrain` so that it trains whatever the table holds; returns the state machine execution's ARN.

    parameters: of the pipeline run, beside those that the state machine sets (InputData, CutOff, ...).
    """
    machine = stacks.output("pipelines", "RetrainStateMachineArn")
    given: Document = {"force": True} | ({"parameters": parameters} if parameters else {})
    with aws_errors("starting the state machine retrain"):
        started = stacks.clients.stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(given))
    return str(started["executionArn"])


def executions(stacks: Stacks, keys: set[str] | None = None, without: Set[str] = frozenset()) -> set[str]:
    """The ARNs of the executions of `retrain`, or only of those whose event is about one of these objects.

    without: executions that are left out, and not described.
    """
    machine = stacks.output("pipelines", "RetrainStateMachineArn")
    stepfunctions = stacks.clients.stepfunctions
    with aws_errors("listing the state machine's executions"):
        pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine)
        found = {each["executionArn"] for page in pages for each in page["executions"]} - without
        if keys is None:
            return found
        return {arn for arn in found if _key(stepfunctions.describe_execution(executionArn=arn)) in keys}


def _key(described: Document) -> str | None:
    """The key of the object that an execution's event is about; None for another input."""
    try:
        return str(json.loads(described["input"])["detail"]["object"]["key"])
    except (ValueError, KeyError, TypeError):
        return None


def wait_for_run(stacks: Stacks, execution: str) -> str:
    """Wait until a state machine execution has started the pipeline; returns the pipeline execution's ARN.

    Raises ExpectedError when the state machine skips or fails.
    """
    polls_after_the_end = 0
    while True:
        ended = final_status(stacks.clients, execution)
        run = pipeline_run(stacks.clients, execution)
        if run:
            return run
        if ended:
            polls_after_the_end += 1
            # The history may lag behind the status, but a skip has no run.
            if ended[0] == "SUCCEEDED" or stacks.clients.consistent or polls_after_the_end > HISTORY_POLLS:
                raise not_started(stacks, execution, *ended)
        time.sleep(POLL_SECONDS)


def pipeline_run(clients: Clients, execution: str) -> str | None:
    """The ARN of the pipeline execution that a state machine execution has started; None while it has started none."""
    with aws_errors(f"reading the history of {execution}"):
        described = clients.stepfunctions.describe_execution(executionArn=execution)
        run = json.loads(described.get("output", "{}")).get("run")
        if run:
            return str(run)
        pages = clients.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
        for event in (event for page in pages for event in page["events"]):
            entered = event.get("stateEnteredEventDetails", {})
            if entered.get("name") == STARTED:
                return str(json.loads(entered["input"])["run"]["arn"])
    return None


def final_status(clients: Clients, execution: str) -> tuple[str, str] | None:
    """(status, reason) of a state machine execution that has ended; None while it runs."""
    with aws_errors(f"reading {execution}"):
        described = clients.stepfunctions.describe_execution(executionArn=execution)
    if described["status"] == "RUNNING":
        return None
    output = json.loads(described.get("output", "{}"))
    reason = output.get("reason") or described.get("cause") or described.get("error") or "no reason given"
    return described["status"], str(reason)


def not_started(stacks: Stacks, execution: str, status: str, reason: str) -> ExpectedError:
    """The error of a state machine execution that ended without a pipeline run."""
    if status == "SUCCEEDED":
        empty = "no beers" in reason or "too few beers" in reason
        return ExpectedError(
            f"the state machine did not train: {reason}",
            where=execution,
            hint=collect_command(stacks) if empty else stacks.clients.command("runs", "list"),
            code=RUN_FAILED if empty else CONFLICT,
        )
    return ExpectedError(
        f"the state machine ended as {status}: {reason}",
        where=execution,
        hint=stacks.clients.command("runs", "list") if stacks.clients.local else shlex.join([*HISTORY, execution]),
        code=RUN_FAILED,
    )
