"""The events SageMaker puts on EventBridge's default bus about executions, steps and model packages.

An event is stored in the transaction of the change it tells of, and sent after it. One that a killed process had not
sent is sent by the next: as with AWS, a change may be told twice, but not never.
"""

import datetime
import json
import threading
import uuid

from localaws.crashpoints import crashpoint
from localaws.store import Document, Store

EXECUTION_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
STEP_EVENT = "SageMaker Model Building Pipeline Execution Step Status Change"
PACKAGE_EVENT = "SageMaker Model Package State Change"


KIND = "event"
_sending: set[str] = set()
_sending_lock = threading.Lock()


def execution_changed(store: Store, execution: Document, previous: str | None) -> None:
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
    _keep(store, execution["PipelineExecutionArn"], EXECUTION_EVENT, detail)


def step_changed(store: Store, execution: Document, step: Document, previous: str | None) -> None:
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
    _keep(store, execution["PipelineExecutionArn"], STEP_EVENT, detail)


def package_changed(store: Store, package: Document) -> None:
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
    _keep(store, package["ModelPackageArn"], PACKAGE_EVENT, detail)


def send(store: Store) -> None:
    """Send the events that are stored and not being sent by another thread, the oldest first."""
    for event in store.all(KIND):
        with _sending_lock:
            if event["Id"] in _sending or store.get(KIND, event["Id"]) is None:
                continue
            _sending.add(event["Id"])
        crashpoint("event-sending")
        try:
            _put(event["Arn"], event["DetailType"], event["Detail"])
            store.delete(KIND, event["Id"])
        finally:
            with _sending_lock:
                _sending.discard(event["Id"])


def _keep(store: Store, arn: str, detail_type: str, detail: Document) -> None:
    identifier = uuid.uuid4().hex
    store.put(KIND, identifier, {"Id": identifier, "Arn": arn, "DetailType": detail_type, "Detail": detail})


def _put(arn: str, detail_type: str, detail: Document) -> None:
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
