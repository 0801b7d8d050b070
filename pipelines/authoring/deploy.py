"""The state machine `deploy`: the newest approved model package serves, or what served before goes on serving.

    wait for the turn -> endpoint -> newest approved package -> release, model, configuration -> endpoint -> smoke test

It starts with every change of approval, and what it does depends on the registry and the endpoint alone: repeated, late
and reordered events end in the same state. Names are made from the package's version and the stack's parameters, so
that a changed parameter is another configuration, to which the endpoint is updated like to another version.

Executions take turns: the oldest one runs, the others wait. ListExecutions is eventually consistent, so two may still
overlap, and a person may change the endpoint. Therefore nothing is decided on what was read before a wait, an error
leads back to reading everything again (three errors are a failure), and a failed deployment removes nothing: the
package is marked, and the machine deploys the next approved one, which is what served before.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html

SageMaker rolls a failed update back by itself, and the endpoint is InService with the old configuration: the
configuration that serves is compared with the one that was asked for.
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from typing import Any

from pipelines.authoring import (
    deploy_candidate,
    deploy_endpoint,
    deploy_failure,
    deploy_release,
    deploy_success,
    deploy_unapproved,
    notifications,
)
from pipelines.authoring.deploy_candidate import SERVING
from pipelines.authoring.endpoint_queries import CHANGING, endpoint_status, find
from pipelines.authoring.step_functions import StateMachine, added, chain

COMMENT = "Approval -> release, model, configuration, endpoint -> smoke test -> notification"
# Substitutions that are numbers.
NUMBERS = ("MemorySizeInMB", "MaxConcurrency", "InstanceCount", "CanaryPercent", "CapturePercent")
# Substitutions of which a model and an endpoint configuration are made, by the kind of serving.
SERVERLESS = ("MemorySizeInMB", "MaxConcurrency")
INSTANCE = ("InstanceType", "InstanceCount", "CapturePercent", "CaptureUri", "KmsKeyArn")
# The name of a version's model and endpoint configuration.
NAME = "'${EndpointName}-v' & $string($states.result.ModelPackageVersion) & '-' & $states.input.settings.digest"


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = notifications.failure(s, "deploy")
    # Everything is read again from here, at once or after a wait.
    read = s.compute("Read")
    again = chain(s.wait("WaitForChange", 10), read)
    failed = deploy_failure.record_failure(s, again)
    retry = deploy_failure.retry(s, "Deployment", again, failed)
    unread = deploy_failure.retry(s, "Endpoint", again, s.failed)
    success = deploy_success.success(s, read)
    change = deploy_endpoint.change(s, success, again, retry, failed)
    release = deploy_release.release(s, deploy_endpoint.model(s, change, retry), retry, failed)
    choose = endpoint_state(s, release, success, again, unread)
    nothing = deploy_unapproved.nothing_approved(s, again, unread)
    before = "$states.input.before != '' ? $states.input.before : $states.input.endpoint.config"
    candidate = deploy_candidate.newest_approved(s, choose, nothing, NAME, before=before)
    chain(read, endpoint(s, candidate, again, unread))
    return relevant(s, turn(s, read))


def relevant(s: StateMachine, then: Any) -> Any:
    """Skip events about metadata: this state machine itself writes some, and the status in the event is Approved still.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    numbers = ", ".join(f"'{name}': $number('${{{name}}}')" for name in NUMBERS)
    detail = "$states.input.detail"
    of_serverless, of_instances = (
        " & ' ' & ".join(f"'${{{name}}}'" for name in ("ModelRoleArn", *names)) for names in (SERVERLESS, INSTANCE)
    )
    digest = f"$substring($hash('${{Serving}}' = 'serverless' ? {of_serverless} : {of_instances}, 'SHA-256'), 0, 6)"
    settings = s.compute(
        "Settings",
        settings=f"{{'serving': '${{Serving}}', 'without_approval': '${{WithoutApproval}}', "
        f"'encrypted': '${{KmsKeyArn}}' != '', 'digest': {digest}, {numbers}}}",
        # Equal events have one id; a start by hand is an event of its own.
        event=f"{{'package': $exists({detail}.ModelPackageArn) ? {detail}.ModelPackageArn : '', "
        "'id': $exists($states.input.id) ? $states.input.id : $states.context.Execution.Name}",
        relevant=f"$not($exists({detail}.UpdatedModelPackageFields)) "
        f"or 'ModelApprovalStatus' in {detail}.UpdatedModelPackageFields",
        # Of this execution: the first failure and the latest error, the names that have failed, the number of errors of
        # the present one; the configuration that served at first, what was deployed, why the endpoint was deleted.
        failure="{'Error': '', 'Cause': ''}",
        error="{'Error': '', 'Cause': ''}",
        tried="[]",
        # Whether no further package is tried.
        stop="false",
        attempts="0",
        before="''",
        deployed="{'name': '', 'previous': ''}",
        removed="''",
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
    wait = s.wait("WaitForTurn", 30)
    chain(wait, running)
    return chain(running, s.choice("IsTurn", (s.is_true("$.turn"), then), otherwise=wait))


def endpoint(s: StateMachine, then: Any, again: Any, retry: Any) -> Any:
    """Read the endpoint, once it does not change. It may go between its list and its description."""
    none = chain(s.compute("NoEndpoint", endpoint="{'status': 'none', 'config': ''}"), then)
    changing = s.rule.Or([s.rule.StringEquals("$.endpoint.status", each) for each in CHANGING])
    described = chain(
        endpoint_status(s, "ServingEndpoint", "endpoint", retry),
        s.choice("IsEndpointChanging", (changing, again), otherwise=then),
    )
    return find(s, "Endpoint", "Endpoint", "'${EndpointName}'", then=described, otherwise=none)


def endpoint_state(s: StateMachine, then: Any, success: Any, again: Any, unread: Any) -> Any:
    """The end where the package serves and this is recorded; an endpoint that is broken is made again."""
    broken = chain(deploy_unapproved.delete(s, "DeleteBrokenEndpoint", "Broken", unread), again)
    working = s.rule.Or([s.rule.StringEquals("$.endpoint.status", each) for each in ("InService", "none")])
    serves = [
        s.rule.StringEquals("$.endpoint.status", "InService"),
        s.rule.StringEqualsPath("$.endpoint.config", "$.package.name"),
    ]
    # Where the metadata cannot be written, this execution knows it alone.
    here = s.rule.StringEqualsPath("$.deployed.name", "$.package.name")
    recorded = s.rule.Or([s.rule.StringEquals("$.package.status", SERVING), here])
    return s.choice(
        "EndpointState",
        (s.rule.And([*serves, recorded]), deploy_success.served(s)),
        (s.rule.And([*serves, s.is_true("$.package.tested")]), success),
        (working, then),
        otherwise=broken,
    )
