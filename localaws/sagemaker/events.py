"""The events that SageMaker puts on EventBridge's default bus: executions, steps, model packages, endpoints.

An event is stored in the transaction of its change and sent after it. The next process sends those that a killed one
did not. As on AWS, an event arrives at least once.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
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
ENDPOINT_EVENT = "SageMaker Endpoint State Change"
# The members whose change puts an event about a model package, and is listed in its UpdatedModelPackageFields.
UPDATED_FIELDS = ("ModelApprovalStatus", "CustomerMetadataProperties", "ModelLifeCycle", "ModelPackageStatus")

KIND = "event"
# The members of a model package that its events have, beside times and name.
PACKAGE_MEMBERS = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "InferenceSpecification",
    "ModelPackageStatus",
    "ModelPackageStatusDetails",
    "ModelApprovalStatus",
    "MetadataProperties",
    "ModelMetrics",
    "ModelLifeCycle",
    "CustomerMetadataProperties",
)
_sending: set[str] = set()
_sending_lock = threading.Lock()


def execution_changed(store: Store, execution: Document, previous: str | None) -> None:
    """An execution's status changed from `previous` (None: it has just started)."""
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
    _store(store, execution["PipelineExecutionArn"], EXECUTION_EVENT, detail)


def step_changed(store: Store, execution: Document, step: Document, previous: str | None) -> None:
    """The status of an execution's step changed from `previous`."""
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
    _store(store, execution["PipelineExecutionArn"], STEP_EVENT, detail)


def updated_fields(before: Document, after: Document) -> list[str]:
    """The members of a model package whose change puts an event."""
    return [name for name in UPDATED_FIELDS if (before.get(name) or None) != (after.get(name) or None)]


def package_changed(store: Store, package: Document, updated: list[str] | None = None) -> None:
    """A model package was registered (updated: None), or these members of it changed.

    SageMaker also puts an event when only metadata changed: the status is still Approved, and
    UpdatedModelPackageFields does not list ModelApprovalStatus.
    """
    detail = {member: package[member] for member in PACKAGE_MEMBERS if package.get(member) is not None}
    for time in ("CreationTime", "LastModifiedTime"):
        if time in package:
            detail[time] = timestamp(package[time])
    if "ModelPackageVersion" in package:
        detail["ModelPackageName"] = f"{package['ModelPackageGroupName']}/{package['ModelPackageVersion']}"
    else:
        detail["ModelPackageName"] = package["ModelPackageName"]
    if updated is not None:
        detail["UpdatedModelPackageFields"] = updated
    _store(store, package["ModelPackageArn"], PACKAGE_EVENT, detail)


def send(store: Store) -> None:
    """Send the stored events that no other thread is sending, the oldest first."""
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


def _store(store: Store, arn: str, detail_type: str, detail: Document) -> None:
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


def endpoint_changed(store: Store, endpoint: Document, tags: list[Document]) -> None:
    """An endpoint's status changed. Its times are epoch milliseconds."""
    variants = endpoint.get("ProductionVariants") or []
    status = "".join(f"_{letter}" if letter.isupper() else letter for letter in endpoint["EndpointStatus"])
    detail = {
        "EndpointName": endpoint["EndpointName"],
        "EndpointArn": endpoint["EndpointArn"],
        "EndpointConfigName": endpoint["EndpointConfigName"],
        "ProductionVariants": variants,
        "EndpointStatus": status.lstrip("_").upper(),
        "CreationTime": int(endpoint["CreationTime"] * 1000),
        "LastModifiedTime": int(endpoint["LastModifiedTime"] * 1000),
        "Tags": {tag["Key"]: tag["Value"] for tag in tags},
    }
    if "FailureReason" in endpoint:
        detail["FailureReason"] = endpoint["FailureReason"]
    _store(store, endpoint["EndpointArn"], ENDPOINT_EVENT, detail)
