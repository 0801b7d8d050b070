"""Pipeline executions: their steps, waiting for their end, and the error of one that did not succeed."""

import time
from collections.abc import Callable

from pipelines.account.clients import Clients, aws_errors
from pipelines.cli.errors import RUN_FAILED, ExpectedError
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


def wait(clients: Clients, execution_arn: str, show: Callable[[str], None], every_seconds: float) -> Document:
    """Poll the execution until it has ended; show(its steps in words) is called when one has changed.

    Returns {"arn", "status", "steps"} as the commands' JSON has it.
    """
    shown = ""
    with aws_errors(f"following {execution_arn}"):
        while True:
            status = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution_arn)[
                "PipelineExecutionStatus"
            ]
            listed = steps(clients, execution_arn)
            words = ", ".join(map(step_line, listed))
            if words != shown:
                show(words)
                shown = words
            if status not in UNFINISHED:
                return {"arn": execution_arn, "status": status, "steps": [summary(step) for step in listed]}
            time.sleep(every_seconds)


def failure(clients: Clients, execution_arn: str) -> ExpectedError:
    """The error of an execution that did not succeed: its first failed step and the reason."""
    with aws_errors(f"reading {execution_arn}"):
        failed = [step for step in steps(clients, execution_arn) if step["StepStatus"] == "Failed"]
        described = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution_arn)
    if failed:
        step = failed[0]
        what = f"step {step['StepName']} failed: {step.get('FailureReason', 'no reason given')}"
    else:
        reason = described.get("FailureReason", "no reason given")
        what = f"the run ended as {described['PipelineExecutionStatus']}: {reason}"
    return ExpectedError(what, where=execution_arn, hint=_hint(failed), code=RUN_FAILED)


def _hint(failed: list[Document]) -> str:
    if failed and failed[0]["StepName"] == "Reject":
        return "read the report beside evaluation.json; more data or other parameters may do"
    for step in failed[:1]:
        for kind, group in (("ProcessingJob", "ProcessingJobs"), ("TrainingJob", "TrainingJobs")):
            if kind in step.get("Metadata", {}):
                job = step["Metadata"][kind]["Arn"].rpartition("/")[2]
                return (
                    f"read its log: aws logs filter-log-events --log-group-name /aws/sagemaker/{group} "
                    f"--log-stream-name-prefix {job}"
                )
    return "start another run, or resume it: aws sagemaker retry-pipeline-execution"


def registered_package(clients: Clients, execution_arn: str) -> Document | None:
    """The model package that an execution registered, described; None when it registered none."""
    for step in steps(clients, execution_arn):
        package = step.get("Metadata", {}).get("RegisterModel")
        if package:
            with aws_errors("reading the model package"):
                found: Document = clients.sagemaker.describe_model_package(ModelPackageName=package["Arn"])
                return found
    return None
