"""The state machine `deploy`: the newest approved model package serves, or what served before goes on serving.

    wait for the turn -> newest approved package -> model, configuration -> endpoint -> compare -> smoke test

It starts with every change of approval and reads the registry again, so repeated, late and reordered events end in the
same state. Executions take turns: the oldest one runs, the others wait. Names are made from the package's version.

SageMaker rolls a failed update back by itself, and the endpoint is InService with the old configuration: the
configuration that serves is compared with the one that was asked for.
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from typing import Any

from pipelines.authoring import deploy_end, deploy_endpoint
from pipelines.authoring.step_functions import StateMachine, added, chain

COMMENT = "Approval -> model, configuration, endpoint -> smoke test -> notification"
# Substitutions that are numbers.
NUMBERS = ("MemorySizeInMB", "MaxConcurrency", "InstanceCount", "CanaryPercent", "CapturePercent")


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = deploy_end.failure(s)
    nothing = deploy_end.nothing_approved(s)
    packages = newest_approved(s, deploy_endpoint.switch(s), nothing)
    return relevant(s, turn(s, packages))


def relevant(s: StateMachine, then: Any) -> Any:
    """Skip events about metadata: this state machine itself writes some, and the status in the event is Approved still.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    numbers = ", ".join(f"'{name}': $number('${{{name}}}')" for name in NUMBERS)
    settings = s.compute(
        "Settings",
        settings=f"{{'serving': '${{Serving}}', 'without_approval': '${{WithoutApproval}}', {numbers}}}",
        event="$exists($states.input.detail) ? $states.input.detail : {'ModelPackageArn': ''}",
        relevant="$not($exists($states.input.detail.UpdatedModelPackageFields)) "
        "or 'ModelApprovalStatus' in $states.input.detail.UpdatedModelPackageFields",
    )
    ignored = s.succeed("MetadataChanged")
    return chain(settings, s.choice("IsApprovalEvent", (s.is_true("$.relevant"), then), otherwise=ignored))


def turn(s: StateMachine, then: Any) -> Any:
    """Wait until this is the oldest running execution; the list begins with the newest."""
    running = s.jsonata(
        "RunningDeployments",
        "aws-sdk:sfn:listExecutions",
        {
            "StateMachineArn": "{% $states.context.StateMachine.Id %}",
            "StatusFilter": "RUNNING",
            "MaxResults": 1000,
        },
        added(
            turn="$exists($states.result.Executions[-1]) "
            "and $states.result.Executions[-1].ExecutionArn = $states.context.Execution.Id"
        ),
    )
    wait = s.wait("WaitForTurn", 5)
    chain(wait, running)
    return chain(running, s.choice("IsTurn", (s.is_true("$.turn"), then), otherwise=wait))


def newest_approved(s: StateMachine, then: Any, nothing: Any) -> Any:
    """The newest approved package whose deployment has not failed before, unless it has just been approved again."""
    request = {
        "ModelPackageGroupName": "${ModelPackageGroupName}",
        "ModelApprovalStatus": "Approved",
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 100,
    }
    integration = "aws-sdk:sagemaker:listModelPackages"
    output = added(
        approved="{'arns': [$states.result.ModelPackageSummaryList.ModelPackageArn], "
        "'next': [$states.result.NextToken]}"
    )
    first = s.jsonata("ApprovedModels", integration, request, output)
    # A page may be empty and not be the last: pages are cut before they are filtered.
    token = {"NextToken": "{% $states.input.approved.next[0] %}"}
    page = s.jsonata("MoreApprovedModels", integration, {**request, **token}, output)
    describe = candidate(s, then)
    choice = s.choice(
        "HasApproved",
        (s.present("$.approved.arns[0]"), describe["first"]),
        (s.present("$.approved.next[0]"), page),
        otherwise=nothing,
    )
    chain(page, choice)
    chain(describe["last"], choice)
    return chain(first, choice)


def candidate(s: StateMachine, then: Any) -> dict[str, Any]:
    """Describe the first package of the list; where its deployment has failed, remove it from the list."""
    describe = s.jsonata(
        "Candidate",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": "{% $states.input.approved.arns[0] %}"},
        added(
            package="""{
                'arn': $states.result.ModelPackageArn,
                'version': $string($states.result.ModelPackageVersion),
                'model': $states.result.InferenceSpecification.Containers[0].ModelDataUrl,
                'sha256': $append($states.result.CustomerMetadataProperties.ArtifactSha256, ['unknown'])[0],
                'evaluation': $append($states.result.CustomerMetadataProperties.Evaluation, [''])[0],
                'failed': $append($states.result.CustomerMetadataProperties.DeploymentStatus, [''])[0] = 'Failed',
                'name': '${EndpointName}-v' & $string($states.result.ModelPackageVersion)
            }"""
        ),
    )
    others = "$filter($states.input.approved.arns, function($arn, $i) { $i > 0 })"
    skip = s.compute("SkipFailedCandidate", approved=f"{{'arns': [{others}], 'next': $states.input.approved.next}}")
    failed = s.rule.And(
        [
            s.rule.BooleanEquals("$.package.failed", True),
            s.rule.Not(s.rule.StringEqualsPath("$.package.arn", "$.event.ModelPackageArn")),
        ]
    )
    chain(describe, s.choice("HasFailedBefore", (failed, skip), otherwise=then))
    return {"first": describe, "last": skip}
