"""Pipelines as targets of EventBridge's rules and of EventBridge Scheduler's schedules.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipeline-eventbridge.html
"""

import logging
import uuid
from typing import Any

from localaws.ministack import patches
from localaws.sagemaker.service import ApiError, Service, scope
from localaws.store import Document

logger = logging.getLogger("localaws.sagemaker")


def install(service: Service) -> None:
    """Let a rule or schedule whose target is a pipeline start an execution; MiniStack drops the event."""
    eventbridge = patches.module("services.eventbridge")
    original = eventbridge._invoke_target

    def invoke(target: Document, event: Document, rule: Document, view: Any = None) -> None:
        if not _is_pipeline(target.get("Arn", "")):
            original(target, event, rule, view)
            return
        seen = view or eventbridge._pattern_event_view(event)
        try:
            service.call("StartPipelineExecution", _request(target, seen.event_with_detail()))
        except ApiError as error:
            logger.warning("EventBridge could not start %s: %s", target["Arn"], error.message)

    eventbridge._invoke_target = invoke


def _is_pipeline(arn: str) -> bool:
    return ":sagemaker:" in arn and ":pipeline/" in arn


def _request(target: Document, event: Document) -> Document:
    """The start that a target asks for; a parameter's value may be a JSON path into the event.

    Raises ApiError without a role and for another region's pipeline: AWS counts both as failed invocations.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
    """
    region, account = scope()
    if target["Arn"].split(":")[3:5] != [region, account]:
        raise ApiError("ValidationException", f"the pipeline is not in {region} of the account {account}")
    if not target.get("RoleArn"):
        raise ApiError("ValidationException", "the target has no RoleArn")
    resolve = patches.module("services.eventbridge")._resolve_http_parameter
    listed = (target.get("SageMakerPipelineParameters") or {}).get("PipelineParameterList", [])
    given = [{"Name": each["Name"], "Value": str(resolve(each["Value"], event))} for each in listed]
    request = {"PipelineName": target["Arn"], "ClientRequestToken": uuid.uuid4().hex}
    return {**request, "PipelineParameters": given} if given else request
