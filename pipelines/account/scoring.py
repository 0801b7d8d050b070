"""Scoring the whole table: start the state machine `score`, follow it, and count what the table `predictions` holds."""

import json
import time
from collections.abc import Callable

from localaws.errors import NOT_FOUND, RUN_FAILED, ExpectedError
from pipelines.account import queries
from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

POLL_SECONDS = 0.25
CLASSES = 100


def score(stacks: Stacks, show: Callable[[str], None]) -> Document:
    """Score every beer of the table with the newest approved model.

    Returns {"decision": "scored" or "unchanged", "version", "beers", "cut_off", "uri", "table", "query", "classes":
    [{"class", "beers", "without_label"}]}. Raises ExpectedError where there is nothing to score, or scoring fails.
    """
    machine = stacks.output("deployment", "ScoreStateMachineArn")
    with aws_errors("starting the state machine score"):
        execution = stacks.clients.stepfunctions.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    output = follow(stacks, execution, show)
    if output["decision"] == "skipped":
        raise ExpectedError(
            f"there is nothing to score: {output['reason']}",
            where=machine,
            hint=stacks.clients.command("registry", "list"),
            code=NOT_FOUND,
        )
    table = f"{stacks.output('ingestion', 'GlueDatabase')}.{stacks.output('deployment', 'PredictionsTable')}"
    counted = f"""SELECT coalesce(class, 'error') AS class, count(*) AS beers, count(*) - count(actual) AS without_label
        FROM {table} GROUP BY 1 ORDER BY 2 DESC"""
    found = queries.run(stacks, counted, CLASSES)
    if "error" in found:
        raise ExpectedError(
            f"the table of the predictions cannot be read: {found['error']}",
            where=table,
            hint=stacks.clients.command("registry", "predict", "--table"),
            code=RUN_FAILED,
        )
    classes = [
        {"class": name, "beers": int(beers), "without_label": int(without)} for name, beers, without in found["rows"]
    ]
    return {
        **output,
        "version": int(output["version"]),
        "table": table,
        "query": f"SELECT * FROM {table} WHERE actual IS NULL",
        "classes": classes,
    }


def follow(stacks: Stacks, execution: str, show: Callable[[str], None]) -> Document:
    """Wait for an execution's end and show its states meanwhile; returns its output, or raises ExpectedError."""
    stepfunctions = stacks.clients.stepfunctions
    while True:
        with aws_errors(f"reading {execution}"):
            described = stepfunctions.describe_execution(executionArn=execution)
            events = stepfunctions.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=5)
        if described["status"] != "RUNNING":
            break
        names = [each["stateEnteredEventDetails"]["name"] for each in events["events"] if _entered(each)]
        show(names[0] if names else "starting")
        time.sleep(POLL_SECONDS)
    if described["status"] != "SUCCEEDED":
        raise ExpectedError(
            f"scoring failed: {reason(described)}",
            where=execution,
            hint=stacks.clients.command("registry", "list"),
            code=RUN_FAILED,
        )
    output: Document = json.loads(described["output"])
    return output


def _entered(event: Document) -> bool:
    return "stateEnteredEventDetails" in event


def reason(described: Document) -> str:
    """Why an execution failed; of a failed job its exit message, which is part of the cause."""
    cause = str(described.get("cause") or described.get("error") or described["status"])
    try:
        job = json.loads(cause)
        return str(job.get("ExitMessage") or job["FailureReason"]).replace("\n", "; ")
    except (ValueError, KeyError, TypeError, AttributeError):
        return cause
