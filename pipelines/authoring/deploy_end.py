"""The end of the state machine `deploy`: metadata on the package, notifications, restore, cleanup."""

from typing import Any

from pipelines.authoring.endpoint_queries import CHANGING, endpoint_status, find
from pipelines.authoring.step_functions import StateMachine, added, chain, expression, format_

NOW = "$substringBefore($now(), '.') & 'Z'"
# Characters of a metadata value.
LIMIT = 256
# Characters that a metadata value cannot have.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelPackage.html
REFUSED = r"/[^A-Za-z0-9 _.:\/=+@-]+/"


def memo(s: StateMachine, key: str, make: Any) -> Any:
    """One state for all callers within a machine."""
    known: dict[str, Any] = s.__dict__.setdefault("deploy_states", {})
    if key not in known:
        known[key] = make()
    return known[key]


def failure(s: StateMachine) -> Any:
    """Publish error and cause, then fail with them."""

    def make() -> Any:
        end = s.fail("Failed", "$.error.Error", "$.error.Cause")
        message = "States.Format('{}: {}', $.error.Error, $.error.Cause)"
        return chain(s.publish("NotifyFailure", "failed", "Tapline: deploy failed", message, otherwise=end), end)

    return memo(s, "failure", make)


def record(s: StateMachine, name: str, status: str, reason: str, then: Any) -> Any:
    """Write the outcome into the package's metadata; where that fails, the notification is still published."""
    task = s.jsonata(
        name,
        "aws-sdk:sagemaker:updateModelPackage",
        {
            "ModelPackageArn": "{% $states.input.package.arn %}",
            "CustomerMetadataProperties": {
                "DeploymentStatus": status,
                "DeploymentTime": expression(NOW),
                "DeploymentReason": expression(f"$substring($replace({reason}, {REFUSED}, ' '), 0, {LIMIT})"),
            },
        },
        "{% $states.input %}",
        {"States.ALL": then},
    )
    return chain(task, then)


def failed_before(s: StateMachine) -> Any:
    """A deployment that failed before the endpoint was changed: what served goes on serving."""
    reason = "$states.input.error.Error & ': ' & $states.input.error.Cause"
    return memo(s, "failed", lambda: record(s, "RecordFailure", "Failed", reason, failure(s)))


def restore(s: StateMachine) -> Any:
    """Back to the configuration that served before, unless SageMaker has rolled back to it already."""

    def make() -> Any:
        status = endpoint_status(s, "EndpointToRestore", "now")
        update = s.jsonata(
            "RestoreEndpoint",
            "aws-sdk:sagemaker:updateEndpoint",
            {"EndpointName": "${EndpointName}", "EndpointConfigName": "{% $states.input.endpoint.config %}"},
            "{% $states.input %}",
            {"States.ALL": failed_before(s)},
        )
        wait = s.wait("WaitForRestore", 10)
        changing = s.rule.Or([s.rule.StringEquals("$.now.status", each) for each in CHANGING])
        needed = s.rule.StringEqualsPath("$.now.config", "$.package.name")
        choice = s.choice("NeedsRestore", (changing, wait), (needed, update), otherwise=failed_before(s))
        chain(update, wait)
        chain(wait, status)
        return chain(status, choice)

    return memo(s, "restore", make)


def remove(s: StateMachine) -> Any:
    """Delete an endpoint that was created for this package: nothing served before."""

    def make() -> Any:
        request = {"EndpointName": "${EndpointName}"}
        task = s.call("RemoveEndpoint", "aws-sdk:sagemaker:deleteEndpoint", request, None, otherwise=failed_before(s))
        return chain(task, failed_before(s))

    return memo(s, "remove", make)


def success(s: StateMachine) -> Any:
    """Record and publish what serves now, delete older configurations and the endpoint of the other kind."""

    def make() -> Any:
        served = s.pass_(
            "Deployed",
            {
                "decision": "deployed",
                "version.$": "$.package.version",
                "endpoint": "${EndpointName}",
                "previous.$": "$.endpoint.config",
            },
        )
        notify = s.publish(
            "NotifyDeployed",
            "deployed",
            "Tapline: a model serves",
            format_(
                "Version {} serves at ${EndpointName}. Ask it: python -m pipelines.registry predict --abv 6.7",
                "$.package.version",
            ),
            otherwise=served,
        )
        chain(notify, served)
        cleaned = start_scoring(s, old_configs(s, other_kind(s, notify)))
        return record(s, "RecordSuccess", "Serving", "'Serving at ${EndpointName}'", cleaned)

    return memo(s, "success", make)


def start_scoring(s: StateMachine, then: Any) -> Any:
    """Start the state machine `score`; its own alarm reports a failure."""
    request = {"StateMachineArn": "${ScoreArn}", "Input": '{"source": "deploy"}'}
    return chain(s.call("StartScoring", "aws-sdk:sfn:startExecution", request, None, otherwise=then), then)


def old_configs(s: StateMachine, then: Any) -> Any:
    """Delete the configurations and models of this endpoint but for the serving one and the one before it.

    An endpoint whose configuration is deleted cannot be updated any more.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpointConfig.html
    """
    integration = "aws-sdk:sagemaker:listEndpointConfigs"
    request = {"NameContains": "${EndpointName}-v", "MaxResults": 100}
    output = added(
        old="[$states.result.EndpointConfigs.EndpointConfigName[$not($ in "
        "[$states.input.package.name, $states.input.endpoint.config])]]",
        next="[$states.result.NextToken]",
    )
    listed = s.jsonata("OldConfigs", integration, request, output, {"States.ALL": then})
    token = {"NextToken": "{% $states.input.next[0] %}"}
    more = s.jsonata("MoreOldConfigs", integration, {**request, **token}, output, {"States.ALL": then})
    rest = "$filter($states.input.old, function($name, $i) { $i > 0 })"
    following = s.compute("NextOldConfig", old=f"[{rest}]")
    name = "{% $states.input.old[0] %}"
    config = s.jsonata(
        "DeleteOldConfig",
        "aws-sdk:sagemaker:deleteEndpointConfig",
        {"EndpointConfigName": name},
        "{% $states.input %}",
        {"States.ALL": following},
    )
    model = s.jsonata(
        "DeleteOldModel",
        "aws-sdk:sagemaker:deleteModel",
        {"ModelName": name},
        "{% $states.input %}",
        {"States.ALL": following},
    )
    choice = s.choice(
        "HasOldConfig",
        (s.present("$.old[0]"), chain(config, model, following)),
        (s.present("$.next[0]"), more),
        otherwise=then,
    )
    chain(following, choice)
    chain(more, choice)
    return chain(listed, choice)


def other_kind(s: StateMachine, then: Any) -> Any:
    """Delete the endpoint of the other kind of serving: an endpoint cannot change between them in place."""
    delete = s.call(
        "DeleteOtherEndpoint",
        "aws-sdk:sagemaker:deleteEndpoint",
        {"EndpointName": "${OtherEndpointName}"},
        None,
        otherwise=then,
    )
    chain(delete, then)
    return find(s, "OtherEndpoint", "Endpoint", "'${OtherEndpointName}'", then=delete, otherwise=then)


def already_serving(s: StateMachine) -> Any:
    """Nothing to do: the newest approved package serves."""
    return s.pass_("AlreadyServing", {"decision": "unchanged", "version.$": "$.package.version"})


def nothing_approved(s: StateMachine) -> Any:
    """No package is approved: the endpoint is deleted, or stays (WithoutApproval)."""
    none = s.pass_("NothingToServe", {"decision": "none", "reason": "no model package is approved"})
    delete = s.call(
        "DeleteUnapprovedEndpoint", "aws-sdk:sagemaker:deleteEndpoint", {"EndpointName": "${EndpointName}"}, None
    )
    notify = s.publish(
        "NotifyUndeployed",
        "undeployed",
        "Tapline: no model serves",
        "States.Format('No model package of {} is approved: its endpoint was deleted.', '${ModelPackageGroupName}')",
        otherwise=none,
    )
    chain(delete, notify, none)
    gone = (s.rule.StringEquals("$.settings.without_approval", "delete"), delete)
    kept = s.choice("WithoutApproval", gone, otherwise=none)
    return find(s, "UnapprovedEndpoint", "Endpoint", "'${EndpointName}'", then=kept, otherwise=none)
