"""Follow a pipeline execution to its end, step by step, and say what came of it."""

import json
import time
from collections.abc import Callable
from typing import Any

from pipelines.account.clients import Clients, explained
from pipelines.cli.errors import NOT_FOUND, RUN_FAILED, ExpectedError

UNDER_WAY = ("Executing", "Stopping")
Document = dict[str, Any]


def steps(clients: Clients, execution_arn: str) -> list[Document]:
    """The execution's steps that have begun, in that order."""
    pages = clients.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=execution_arn, SortOrder="Ascending"
    )
    return [step for page in pages for step in page["PipelineExecutionSteps"]]


def summary(step: Document) -> Document:
    """A step as the commands' JSON shows it: name, status, seconds (null while it runs)."""
    ended, started = step.get("EndTime"), step["StartTime"]
    seconds = round((ended - started).total_seconds(), 3) if ended else None
    return {
        "name": step["StepName"].removesuffix("-RegisterModel"),
        "status": step["StepStatus"],
        "seconds": seconds,
    }


def told(step: Document) -> str:
    """A step in words: `Train 3.4 s`, `Preprocess reused` from an earlier run's cache, `Evaluate executing`."""
    short = summary(step)
    if step.get("CacheHitResult"):
        return f"{short['name']} reused"
    done = short["status"] == "Succeeded" and short["seconds"] is not None
    return f"{short['name']} {format(short['seconds'], '.1f') + ' s' if done else short['status'].lower()}"


def follow(clients: Clients, execution_arn: str, show: Callable[[str], None], every_seconds: float) -> Document:
    """Wait for the execution's end; show(its steps in words) is called whenever something changed.

    Returns {"arn", "status", "steps"} as the commands' JSON has it.
    """
    shown = ""
    with explained(f"following {execution_arn}"):
        while True:
            status = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution_arn)[
                "PipelineExecutionStatus"
            ]
            listed = steps(clients, execution_arn)
            words = ", ".join(map(told, listed))
            if words != shown:
                show(words)
                shown = words
            if status not in UNDER_WAY:
                return {"arn": execution_arn, "status": status, "steps": [summary(step) for step in listed]}
            time.sleep(every_seconds)


def failure(clients: Clients, execution_arn: str) -> ExpectedError:
    """The error for an execution that did not succeed: its first failed step and the reason."""
    with explained(f"reading {execution_arn}"):
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
        return "look at the report beside evaluation.json; more data or other parameters may do"
    for step in failed[:1]:
        for kind, group in (("ProcessingJob", "ProcessingJobs"), ("TrainingJob", "TrainingJobs")):
            if kind in step.get("Metadata", {}):
                job = step["Metadata"][kind]["Arn"].rpartition("/")[2]
                return (
                    f"read its log: aws logs filter-log-events --log-group-name /aws/sagemaker/{group} "
                    f"--log-stream-name-prefix {job}"
                )
    return "start it anew, or resume it: aws sagemaker retry-pipeline-execution"


def registered(clients: Clients, execution_arn: str) -> Document | None:
    """The model package an execution registered, described, or None."""
    for step in steps(clients, execution_arn):
        package = step.get("Metadata", {}).get("RegisterModel")
        if package:
            with explained("reading the model package"):
                found: Document = clients.sagemaker.describe_model_package(ModelPackageName=package["Arn"])
                return found
    return None


def read_json(clients: Clients, uri: str) -> Document:
    """A JSON object in S3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with explained(f"reading {uri}"):
        content: Document = json.loads(clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return content


def exists(clients: Clients, uri: str) -> bool:
    """Whether there is anything at an S3 address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with explained(f"looking for {uri}"):
        return bool(clients.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"])


def evaluated(package: Document) -> bool:
    """Whether a model package points to an evaluation; one that was registered by other means does not."""
    return "Statistics" in package.get("ModelMetrics", {}).get("ModelQuality", {})


def evaluation_uri(package: Document) -> str:
    """Where a model package's evaluation.json lies; raises ExpectedError when it has none."""
    if not evaluated(package):
        raise ExpectedError(
            f"version {package['ModelPackageVersion']} has no evaluation: the pipeline did not register it",
            where=package["ModelPackageArn"],
            hint="aws sagemaker describe-model-package shows what is known of it",
            code=NOT_FOUND,
        )
    return str(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"])


# The figures the commands show. Errors are in IBU; the rest are shares.
METRICS = ("mae", "rmse", "r2", "accuracy", "macro_f1", "baseline_mae")


def metrics(evaluation: Document) -> dict[str, float]:
    """METRICS, from evaluation.json."""
    regression, classes = evaluation["regression_metrics"], evaluation["multiclass_classification_metrics"]
    return {
        **{name: regression[name]["value"] for name in ("mae", "rmse", "r2")},
        **{name: classes[name]["value"] for name in ("accuracy", "macro_f1")},
        "baseline_mae": evaluation["baseline"]["mae"]["value"],
    }
