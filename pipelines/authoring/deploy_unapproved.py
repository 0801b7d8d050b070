"""States of `deploy` without an approved package: the endpoint goes or stays, or what served before comes back."""

from typing import Any

from pipelines.authoring import deploy_failure
from pipelines.authoring.deploy_release import SAME
from pipelines.authoring.step_functions import StateMachine, added, chain

ENDPOINT = {"EndpointName": "${EndpointName}"}
# Why this execution has deleted the endpoint.
UNAPPROVED = "Unapproved"


def delete(s: StateMachine, name: str, why: str, unread: Any) -> Any:
    """Delete the endpoint; after an error everything is read again, as it may be changing or gone."""
    output = added(removed=f"'{why}'")
    return s.jsonata(name, "aws-sdk:sagemaker:deleteEndpoint", ENDPOINT, output, otherwise=unread)


def nothing_approved(s: StateMachine, again: Any, unread: Any) -> Any:
    """No package is approved, or every approved one has failed in this execution."""
    none = s.pass_("NothingToServe", {"decision": "none", "reason": "no model package is approved"})
    notify = s.publish(
        "NotifyUndeployed",
        "undeployed",
        "Tapline: no model serves",
        "States.Format('No model package of {} is approved: its endpoint was deleted.', '${ModelPackageGroupName}')",
        otherwise=none,
    )
    chain(notify, none)
    there = s.rule.Not(s.rule.StringEquals("$.endpoint.status", "none"))
    goes = s.rule.And([there, s.rule.StringEquals("$.settings.without_approval", "delete")])
    unapproved = s.choice(
        "WithoutApproval",
        (goes, chain(delete(s, "DeleteUnapprovedEndpoint", UNAPPROVED, unread), again)),
        (s.rule.StringEquals("$.removed", UNAPPROVED), notify),
        otherwise=none,
    )
    return s.choice("HasTried", (s.present("$.tried[0]"), restored(s, again, unread)), otherwise=unapproved)


def restored(s: StateMachine, again: Any, unread: Any) -> Any:
    """Put back what served before a failed package, approved or not; an endpoint that was made for it goes."""
    reading = s.compute(
        "WhatServes",
        serves_failed="$states.input.endpoint.config in $states.input.tried",
        restorable="$states.input.before != '' and $not($states.input.before in $states.input.tried)",
    )
    serving = "($states.input.endpoint.config = '' ? 'no model serves' : $states.input.endpoint.config & ' serves')"
    update = s.jsonata(
        "RestoreEndpoint",
        "aws-sdk:sagemaker:updateEndpoint",
        {**ENDPOINT, "EndpointConfigName": "{% $states.input.before %}"},
        SAME,
        otherwise=unread,
    )
    choice = s.choice(
        "IsFailedServing",
        (s.rule.And([s.is_true("$.serves_failed"), s.is_true("$.restorable")]), chain(update, again)),
        (s.is_true("$.serves_failed"), chain(delete(s, "RemoveEndpoint", "Failed", unread), again)),
        otherwise=deploy_failure.end(s, "Nothing", serving, s.failed),
    )
    return chain(reading, choice)
