"""Step Functions' integrations with SageMaker: `sagemaker:createTrainingJob.sync` and its like, and their errors.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

import json
import time
from collections.abc import Callable
from typing import Any

from localaws.ministack import patches
from localaws.store import Document

# The jobs that `.sync` waits for, by the operation, and the noun of their members.
JOBS = {
    "createTrainingJob": "TrainingJob",
    "createProcessingJob": "ProcessingJob",
    "createTransformJob": "TransformJob",
    "createHyperParameterTuningJob": "HyperParameterTuningJob",
}
REQUESTS = ("createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint", *JOBS)
# Errors that AWS's model names; all others are the SDK's SageMakerException.
MODELLED = {
    "ResourceNotFound": "ResourceNotFoundException",
    "ResourceInUse": "ResourceInUseException",
    "ResourceLimitExceeded": "ResourceLimitExceededException",
    "ConflictException": "ConflictException",
}
POLL_SECONDS = 0.1


def install() -> None:
    """Add the integrations to Step Functions, and name errors as AWS's SDK for Java names them."""
    stepfunctions = patches.module("services.stepfunctions")
    for operation in REQUESTS:
        stepfunctions._SERVICE_DISPATCH[f"arn:aws:states:::sagemaker:{operation}"] = _integration(operation)
    original = stepfunctions._prefix_sdk_error

    def prefixed(service: str, code: str) -> str:
        if service == "sagemaker" and not code.startswith("States."):
            code = MODELLED.get(code, "SageMakerException")
        return str(original(service, code))

    stepfunctions._prefix_sdk_error = prefixed


def _integration(operation: str) -> Callable[[str, Document], Any]:
    """The handler of one integration, with and without `.sync`."""

    def call(resource: str, request: Document) -> Any:
        answer = _call(operation, request)
        return _finished(JOBS[operation], request) if resource.endswith(".sync") else answer

    return call


def _finished(noun: str, request: Document) -> Document:
    """The description of a job at its end. Raises Step Functions' error States.TaskFailed unless it completed."""
    name = {f"{noun}Name": request[f"{noun}Name"]}
    while True:
        described = _call(f"describe{noun}", name)
        status = described[f"{noun}Status"]
        if status == "Completed":
            return described
        if status in ("Failed", "Stopped"):
            raise patches.module("services.stepfunctions")._ExecutionError("States.TaskFailed", json.dumps(described))
        time.sleep(POLL_SECONDS)


def _call(operation: str, request: Document) -> Document:
    """Call an operation as the `aws-sdk` integration does; raises Step Functions' error."""
    stepfunctions = patches.module("services.stepfunctions")
    service = stepfunctions._AWS_SDK_SERVICE_MAP["sagemaker"]
    try:
        answer: Document = stepfunctions._dispatch_aws_sdk_json(service, "sagemaker", operation, request)
    except stepfunctions._ExecutionError as error:
        # The optimised integrations name the SDK for Java v1's exception.
        error.error = error.error.replace("SageMaker.SageMakerException", "SageMaker.AmazonSageMakerException")
        raise
    return answer
