"""States of `deploy` after a success: metadata, and the end with cleanup and notification."""

from typing import Any

from pipelines.authoring import deploy_failure
from pipelines.authoring.deploy_candidate import REPLACED, SERVING
from pipelines.authoring.deploy_failure import record
from pipelines.authoring.deploy_release import SAME
from pipelines.authoring.endpoint_queries import find
from pipelines.authoring.step_functions import StateMachine, added, chain, format_

# What follows `-v` in a configuration's name: the version and the digest of the parameters.
NUMBER = "$substringAfter({}, '${{EndpointName}}-v')"
SERVES = "'version ' & $states.input.package.version & ' serves'"


def success(s: StateMachine, then: Any) -> Any:
    """Record what serves now, then read everything again: the registry may have changed meanwhile."""
    # What served before: at the endpoint, or what this execution has deployed, if another one has replaced that.
    previous = """$states.input.endpoint.config in ['', $states.input.package.name] ? $states.input.deployed.name
        : $states.input.endpoint.config"""
    noted = s.compute(
        "Served",
        deployed=f"{{'name': $states.input.package.name, 'previous': {previous}}}",
        attempts="0",
        # The same version with other parameters goes on serving.
        replaces=f"$not(({previous}) in $append($states.input.tried, [''])) "
        f"and $substringBefore({NUMBER.format(previous)}, '-') != $states.input.package.version",
    )
    chain(noted, s.choice("HasReplaced", (s.is_true("$.replaces"), replaced(s, then)), otherwise=then))
    return record(s, "RecordSuccess", "$states.input.package.arn", SERVING, "'Serving at ${EndpointName}'", noted)


def served(s: StateMachine) -> Any:
    """The newest approved package serves and has passed its test; where this execution has deployed it, clean up.

    After a failure that led back to it, nothing is deleted.
    """
    unchanged = s.pass_("AlreadyServing", {"decision": "unchanged", "version.$": "$.package.version"})
    ended = s.pass_(
        "Deployed",
        {
            "decision": "deployed",
            "version.$": "$.package.version",
            "endpoint": "${EndpointName}",
            "previous.$": "$.deployed.previous",
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
        otherwise=ended,
    )
    chain(notify, ended)
    deployed = (
        s.rule.StringEqualsPath("$.deployed.name", "$.package.name"),
        start_scoring(s, other_kind(s, old_configs(s, notify))),
    )
    return deploy_failure.end(s, "Serving", SERVES, s.choice("HasDeployed", deployed, otherwise=unchanged))


def replaced(s: StateMachine, then: Any) -> Any:
    """Record on the package that served before that it does not any more; one that has failed has its reason."""
    number = f"$substringBefore({NUMBER.format('$states.input.deployed.previous')}, '-')"
    package = f"$replace($states.input.package.arn, /[0-9]+$/, {number})"
    return record(s, "RecordReplaced", package, REPLACED, SERVES, then)


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
        "[$states.input.package.name, $states.input.deployed.previous])]]",
        next="[$states.result.NextToken]",
    )
    listed = s.jsonata("OldConfigs", integration, request, output, {"States.ALL": then})
    token = {"NextToken": "{% $states.input.next[0] %}"}
    more = s.jsonata("MoreOldConfigs", integration, {**request, **token}, output, {"States.ALL": then})
    rest = "$filter($states.input.old, function($name, $i) { $i > 0 })"
    following = s.compute("NextOldConfig", old=f"[{rest}]")
    name = "{% $states.input.old[0] %}"
    removed = [
        s.jsonata(state, f"aws-sdk:sagemaker:{call}", {member: name}, SAME, {"States.ALL": following})
        for state, call, member in (
            ("DeleteOldConfig", "deleteEndpointConfig", "EndpointConfigName"),
            ("DeleteOldModel", "deleteModel", "ModelName"),
        )
    ]
    choice = s.choice(
        "HasOldConfig",
        (s.present("$.old[0]"), chain(*removed, following)),
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
