"""The events SageMaker puts on EventBridge's default bus about executions, steps and model packages."""

import datetime
import json

from pipelines.local.store import Document

EXECUTION_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
STEP_EVENT = "SageMaker Model Building Pipeline Execution Step Status Change"
PACKAGE_EVENT = "SageMaker Model Package State Change"


def execution_changed(execution: Document, previous: str | None) -> None:
    """An execution has another status than `previous` (None: it has just begun)."""
    detail = {
        "pipelineArn": execution["PipelineArn"],
        "pipelineExecutionArn": execution["PipelineExecutionArn"],
        "pipelineExecutionDisplayName": execution["PipelineExecutionDisplayName"],
        "pipelineExecutionDescription": execution.get("PipelineExecutionDescription") or "",
        "currentPipelineExecutionStatus": execution["PipelineExecutionStatus"],
        "previousPipelineExecutionStatus": previous,
        "executionStartTime": timestamp(execution["CreationTime"]),
    }
    if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
        detail["executionEndTime"] = timestamp(execution["LastModifiedTime"])
    emit(execution["PipelineExecutionArn"], EXECUTION_EVENT, detail)


def step_changed(execution: Document, step: Document, previous: str | None) -> None:
    """A step of an execution has another status than `previous`."""
    detail = {
        "pipelineArn": execution["PipelineArn"],
        "pipelineExecutionArn": execution["PipelineExecutionArn"],
        "stepName": step["StepName"],
        "stepType": step["StepType"],
        "currentStepStatus": step["StepStatus"],
        "previousStepStatus": previous,
        "failureReason": step.get("FailureReason", ""),
        "cacheHitResult": step.get("CacheHitResult", {}),
        "metadata": step.get("Metadata", {}),
        "stepStartTime": timestamp(step["StartTime"]),
    }
    if "EndTime" in step:
        detail["stepEndTime"] = timestamp(step["EndTime"])
    emit(execution["PipelineExecutionArn"], STEP_EVENT, detail)


def package_changed(package: Document) -> None:
    """A model package was registered, or its approval changed."""
    members = (
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "ModelPackageDescription",
        "InferenceSpecification",
        "ModelPackageStatus",
        "ModelApprovalStatus",
        "CustomerMetadataProperties",
    )
    detail = {member: package[member] for member in members if member in package}
    name = f"{package['ModelPackageGroupName']}/{package['ModelPackageVersion']}"
    detail |= {"ModelPackageName": name, "CreationTime": timestamp(package["CreationTime"])}
    emit(package["ModelPackageArn"], PACKAGE_EVENT, detail)


def emit(arn: str, detail_type: str, detail: Document) -> None:
    """Put an `aws.sagemaker` event about a resource on the default bus of its region and account."""
    from ministack.core import responses
    from ministack.services import eventbridge

    _, _, _, region, account, _ = arn.split(":", 5)
    entry = {
        "Source": "aws.sagemaker",
        "DetailType": detail_type,
        "Resources": [arn],
        "Detail": json.dumps(detail),
    }
    with responses.request_scope(account, region):
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def timestamp(seconds: float) -> str:
    """Epoch seconds as events write them, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
