"""What IAM evaluates a SageMaker request against: the resource's ARN and SageMaker's condition keys.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html
"""

import json
from typing import Any

from localaws.ministack import patches

# Members of requests that are ARNs.
ARNS = ("PipelineExecutionArn", "ModelPackageArn", "ResourceArn")
# Members with a name or an ARN, and the resource type in ARNs.
NAMES = {
    "PipelineName": "pipeline",
    "ModelPackageName": "model-package",
    "ModelPackageGroupName": "model-package-group",
    "ModelCardName": "model-card",
    "ProcessingJobName": "processing-job",
    "TrainingJobName": "training-job",
    "TransformJobName": "transform-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    # Before the configuration, as an endpoint's requests name both.
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
}
SMALL_LETTERS = ("endpoint", "endpoint-config", "model")


class Resources(str):
    """The ARN that a request is authorised on, and `others`, on which it is authorised too."""

    others: tuple[str, ...] = ()


def install() -> None:
    """Let MiniStack authorise SageMaker's requests by resource and condition; it takes `*` and knows no condition."""
    actions, evaluator = patches.module("core.iam_actions"), patches.module("core.iam_evaluator")
    original, original_context = actions.extract_resource_arn, actions.request_tag_context
    original_enforce = evaluator.enforce

    def extract(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        if service not in ("sagemaker", "sagemaker-runtime"):
            return original(service, method, path, headers, body, *rest)
        _, region, account = rest
        prefix = f"arn:aws:sagemaker:{region}:{account}:"
        if service == "sagemaker-runtime":
            return f"{prefix}endpoint/{path.split('/')[2].lower()}"
        return resources(_members(body), prefix)

    def context(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = original_context(service, action, body, parameters)
        return found | (conditions(_members(body)) if service == "sagemaker" else {})

    def enforce(*given: Any, resource_arn: str = "*", **rest: Any) -> Any:
        others = resource_arn.others if isinstance(resource_arn, Resources) else ()
        denied = (original_enforce(*given, resource_arn=each, **rest) for each in (resource_arn, *others))
        return next((each for each in denied if each), None)

    actions.extract_resource_arn, actions.request_tag_context = extract, context
    evaluator.enforce = enforce


def resources(request: dict[str, Any], prefix: str) -> Resources:
    """The ARNs that a request is authorised on: an endpoint's creation and update also on its configuration."""
    found = Resources(resource(request, prefix))
    if "EndpointName" in request and "EndpointConfigName" in request:
        found.others = (resource({"EndpointConfigName": request["EndpointConfigName"]}, prefix),)
    return found


def resource(request: dict[str, Any], prefix: str) -> str:
    """The ARN that a request is authorised on; `*` where AWS offers no resource. prefix: up to the resource type."""
    for member in ARNS:
        if member in request:
            return str(request[member])
    for member, kind in NAMES.items():
        if member in request:
            name = str(request[member])
            name = name.lower() if kind in SMALL_LETTERS else name
            return name if name.startswith("arn:") else f"{prefix}{kind}/{name}"
    return "*"


def conditions(request: dict[str, Any]) -> dict[str, Any]:
    """SageMaker's condition keys of a request."""
    found: dict[str, Any] = {}
    if "ModelApprovalStatus" in request:
        found["sagemaker:ModelApprovalStatus"] = str(request["ModelApprovalStatus"])
    metadata = request.get("CustomerMetadataProperties") or {}
    if isinstance(metadata, dict):
        found |= {f"sagemaker:CustomerMetadataProperties/{key}": str(value) for key, value in metadata.items()}
    removed = request.get("CustomerMetadataPropertiesToRemove")
    if removed:
        found["sagemaker:CustomerMetadataPropertiesToRemove"] = [str(each) for each in removed]
    return found


def _members(body: bytes) -> dict[str, Any]:
    """The members of a JSON request; none of what is no JSON object, which SageMaker refuses afterwards."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
