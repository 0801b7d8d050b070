"""Pipeline executions: their steps, waiting for their end, and the error of one that did not succeed."""

import time
from collections.abc import Callable

from localaws.errors import RUN_FAILED, ExpectedError
from pipelines.account import failures, logs
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.failures import Failure
from pipelines.cli.output import Document

# PipelineExecutionStatus of an execution that has not ended.
UNFINISHED = ("Executing", "Stopping")


def steps(clients: Clients, execution_arn: str) -> list[Document]:
    """The execution's steps that have begun, in that order, as ListPipelineExecutionSteps returns them."""
    pages = clients.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=execution_arn, SortOrder="Ascending"
    )
    return [step for page in pages for step in page["PipelineExecutionSteps"]]


def step_name(step: Document) -> str:
    """The step's name in the definition's source; the SDK adds a suffix to the name of a model step."""
    return str(step["StepName"]).removesuffix("-RegisterModel")


def summary(step: Document) -> Document:
    """A step as the commands' JSON has it: name, status, seconds (null while it runs)."""
    ended, started = step.get("EndTime"), step.get("StartTime")
    seconds = round((ended - started).total_seconds(), 3) if ended and started else None
    return {"name": step_name(step), "status": step["StepStatus"], "seconds": seconds}


def step_line(step: Document) -> str:
    """A step in words: `Train 3.4 s`, `Preprocess reused` for a cache hit, `Evaluate executing`."""
    short = summary(step)
    if step.get("CacheHitResult"):
        return f"{short['name']} reused"
    done = short["status"] == "Succeeded" and short["seconds"] is not None
    return f"{short['name']} {format(short['seconds'], '.1f') + ' s' if done else short['status'].lower()}"


# How long a poll waits, as a share of what the execution has taken.
LEAST_PAUSE_SECONDS, PAUSE_SHARE = 0.05, 0.03


def wait(clients: Clients, execution_arn: str, show: Callable[[str], None], every_seconds: float) -> Document:
    """Poll the execution until it has ended; show(its steps in words) is called when one has changed.

    every_seconds: the longest pause; a run of seconds is polled more often than one of minutes.
    Returns {"arn", "status", "steps"} as the commands' JSON has it. In an account the list of steps may lag behind the
    status, so it is read until it no longer changes.
    """
    shown, began = "", time.monotonic()
    settled: list[Document] | None = None
    with aws_errors(f"following {execution_arn}"):
        while True:
            described = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution_arn)
            status = described["PipelineExecutionStatus"]
            listed = steps(clients, execution_arn)
            words = ", ".join(map(step_line, listed))
            if words != shown:
                show(words)
                shown = words
            if status not in UNFINISHED:
                if clients.consistent or listed == settled:
                    return {"arn": execution_arn, "status": status, "steps": [summary(step) for step in listed]}
                settled = listed
            time.sleep(min(every_seconds, max(LEAST_PAUSE_SECONDS, PAUSE_SHARE * (time.monotonic() - began))))


def failed_step(steps: list[Document]) -> Document | None:
    """The first step that failed; a step that Stop ended or that never began is not one."""
    failed = [step for step in steps if step["StepStatus"] == "Failed"]
    return min(failed, key=lambda step: step.get("EndTime") or step["StartTime"], default=None)


def step_failure(clients: Clients, step: Document) -> Failure:
    """Why a step failed: its own message, or else the last traceback of its log."""
    failure = failures.unwrap(step.get("FailureReason", "no reason given"))
    log = logs.job(step)
    if log is None or failure.where:
        return failure
    return failure._replace(what=failures.traceback_message(logs.lines(clients, *log)) or failure.what)


def failure(clients: Clients, execution_arn: str) -> ExpectedError:
    """The error of an execution that did not succeed: its first failed step and the reason."""
    with aws_errors(f"reading {execution_arn}"):
        step = failed_step(steps(clients, execution_arn))
        described = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution_arn)
    run = run_id(execution_arn)
    if step is None:
        what = f"the run ended as {described['PipelineExecutionStatus']}: {described.get('FailureReason', 'no reason')}"
        return ExpectedError(what, where=f"run {run}", hint=clients.command("runs", "show", run), code=RUN_FAILED)
    reason, name, log = step_failure(clients, step), step_name(step), logs.job(step)
    place = reason.where or (f"log {' '.join(log)}" if log else f"step {name}")
    return ExpectedError(
        f"step {name} failed: {reason.what}" + (f"; {reason.advice}" if reason.advice else ""),
        where=f"run {run}, {place}",
        hint=clients.command("runs", "logs", run, name) if log else clients.command("runs", "show", run),
        code=RUN_FAILED,
    )


def run_id(execution_arn: str) -> str:
    """The last part of an execution's ARN, by which the commands name it."""
    return execution_arn.rpartition("/")[2]


def registered_arn(steps: list[Document]) -> str | None:
    """The ARN of the model package that one of the steps registered; None when none did."""
    arns = [step["Metadata"]["RegisterModel"]["Arn"] for step in steps if "RegisterModel" in step.get("Metadata", {})]
    return str(arns[0]) if arns else None


def registered_package(clients: Clients, execution_arn: str) -> Document | None:
    """The model package that an execution registered, described; None when it registered none."""
    with aws_errors("reading the registered model package"):
        arn = registered_arn(steps(clients, execution_arn))
        if arn is None:
            return None
        found: Document = clients.sagemaker.describe_model_package(ModelPackageName=arn)
    return found
