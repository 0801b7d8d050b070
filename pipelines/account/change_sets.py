"""CloudFormation's change sets: create and execute one, and wait until it has ended.

CloudFormation is eventually consistent: right after ExecuteChangeSet, DescribeStacks can return the stack as it was
before, or none. The end is therefore read from the change set's ExecutionStatus and from a description of the stack
that is newer than the execution (https://github.com/aws/aws-cdk-cli/issues/1802).
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from localaws.errors import RUN_FAILED, ExpectedError
from pipelines.account.clients import Clients
from pipelines.cli.arguments import this_command
from pipelines.cli.output import Document

FAILED = ("FAILED", "ROLLBACK")
# ExecutionStatus of a change set whose execution has ended.
EXECUTED = ("EXECUTE_COMPLETE", "EXECUTE_FAILED")
# How long an old description of a stack is not believed after the execution has ended.
STALE_SECONDS = 60.0
# Polls of the events until the failed one is among them.
EVENT_POLLS = 6


class Applied(NamedTuple):
    """stack: as DescribeStacks returns it afterwards. created: whether there was none before."""

    stack: Document
    created: bool


def apply(clients: Clients, request: Document) -> Applied | None:
    """Create and execute a change set and wait for its end; None when nothing would change.

    request: CreateChangeSet's, without ChangeSetName and ChangeSetType. Raises ExpectedError when CloudFormation
    refuses the change, or when its execution fails and is rolled back.
    """
    api, name = clients.cloudformation, str(request["StackName"])
    before = describe(api, name)
    if before and before["StackStatus"] == "ROLLBACK_COMPLETE":
        # Its creation failed; nothing but a deletion is possible.
        delete(clients, name)
        before = None
    change_set, created = create(api, request, exists=before is not None)
    if not has_changes(api, name, change_set):
        api.delete_change_set(StackName=name, ChangeSetName=change_set)
        return None
    token = f"deploy-{uuid.uuid4().hex}"
    api.execute_change_set(StackName=name, ChangeSetName=change_set, ClientRequestToken=token)
    stack = wait(api, name, change_set, before)
    if any(word in stack["StackStatus"] for word in FAILED):
        raise failed(clients, name, stack["StackStatus"], token)
    return Applied(stack, created)


def describe(api: Any, name: str) -> Document | None:
    """A stack by its name or id; None when there is none, or only one of a change set that was never executed."""
    import botocore.exceptions

    try:
        found: Document = api.describe_stacks(StackName=name)["Stacks"][0]
    except botocore.exceptions.ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if found["StackStatus"] == "REVIEW_IN_PROGRESS" else found


def create(api: Any, request: Document, *, exists: bool) -> tuple[str, bool]:
    """Create a change set; returns (its id, whether it creates the stack).

    exists: whether the stack was found. Where CloudFormation contradicts, the description was stale, and the other
    type is taken.
    """
    import botocore.exceptions

    def send(created: bool) -> str:
        answer = api.create_change_set(
            **request, ChangeSetName=f"change-{time.time_ns()}", ChangeSetType="CREATE" if created else "UPDATE"
        )
        return str(answer["Id"])

    try:
        return send(created=not exists), not exists
    except botocore.exceptions.ClientError as error:
        message = error.response["Error"]["Message"]
        if not message.startswith("Stack ") or ("does not exist" if exists else "already exists") not in message:
            raise
        return send(created=exists), exists


def has_changes(api: Any, name: str, change_set: str) -> bool:
    """Wait until a change set is computed; False when it would change nothing. Raises ExpectedError when refused."""
    for pause in pauses():
        described = describe_change_set(api, name, change_set)
        if described.get("Status") == "CREATE_COMPLETE":
            break
        if described.get("Status") == "FAILED":
            reason = described.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return False
            raise ExpectedError(
                f"CloudFormation refuses the change of {name}, and nothing was changed: {reason}",
                where=f"cloudformation/{name.rpartition('-')[2]}.yaml",
                hint=this_command(),
            )
        time.sleep(pause)
    return True


def describe_change_set(api: Any, name: str, change_set: str) -> Document:
    """DescribeChangeSet; {} where it is not there yet, or no longer."""
    import botocore.exceptions

    try:
        found: Document = api.describe_change_set(StackName=name, ChangeSetName=change_set)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("ChangeSetNotFound", "ChangeSetNotFoundException"):
            raise
        return {}
    return found


def wait(api: Any, name: str, change_set: str, before: Document | None) -> Document:
    """Wait until a change set's execution has ended; returns the stack as it is then.

    before: the stack's description before the execution.
    """
    ended_since: float | None = None
    for pause in pauses():
        status = describe_change_set(api, name, change_set).get("ExecutionStatus")
        stack = describe(api, name)
        if status in EXECUTED and ended_since is None:
            ended_since = time.monotonic()
        believed = ended_since is not None and time.monotonic() - ended_since > STALE_SECONDS
        # CloudFormation may have removed the change set: then a newer description alone has to do.
        newer = stack is not None and _version(stack) != (before and _version(before)) and status in (None, *EXECUTED)
        if stack and (newer or believed) and not stack["StackStatus"].endswith("_IN_PROGRESS"):
            break
        if believed and stack is None:
            raise ExpectedError(
                f"the stack {name} was deleted while it was deployed",
                where=f"CloudFormation in {api.meta.region_name}",
                hint=this_command(),
            )
        time.sleep(pause)
    assert stack is not None
    return stack


def _version(stack: Document) -> tuple[Any, ...]:
    """What differs between the descriptions before and after an execution."""
    return stack["StackId"], stack.get("ChangeSetId"), stack.get("LastUpdatedTime")


def delete(clients: Clients, name: str) -> str:
    """Delete a stack and wait until it is gone; returns "deleted" or "not there"."""
    api = clients.cloudformation
    before = describe(api, name)
    if before is None:
        return "not there"
    if before.get("EnableTerminationProtection"):
        api.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    token = f"delete-{uuid.uuid4().hex}"
    api.delete_stack(StackName=name, ClientRequestToken=token)
    for pause in pauses():
        # By its id a deleted stack is still described.
        stack = describe(api, before["StackId"])
        if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
            return "deleted"
        newer = stack.get("DeletionTime") != before.get("DeletionTime")
        if stack["StackStatus"] == "DELETE_FAILED" and (newer or before["StackStatus"] != "DELETE_FAILED"):
            raise failed(clients, before["StackId"], "DELETE_FAILED", token)
        time.sleep(pause)
    raise AssertionError("the pauses have no end")


def failed(clients: Clients, stack: str, status: str, token: str) -> ExpectedError:
    """The error of a stack operation: the first resource that failed, and why. token: the operation's."""
    name = stack.split("/")[1] if "/" in stack else stack
    return ExpectedError(
        f"the stack {name} ended as {status}: {_first_failure(clients.cloudformation, stack, token)}",
        where=f"CloudFormation in {clients.region}, stack {name}",
        hint=this_command(),
        code=RUN_FAILED,
    )


def _first_failure(api: Any, stack: str, token: str) -> str:
    for _, pause in zip(range(EVENT_POLLS), pauses(), strict=False):
        pages = api.get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [each for page in pages for each in page["StackEvents"] if each.get("ClientRequestToken") == token]
        failures = [each for each in events if each["ResourceStatus"].endswith("FAILED")]
        # Resources whose creation was cancelled because another one failed are not the cause.
        causes = [each for each in failures if "cancelled" not in each.get("ResourceStatusReason", "").lower()]
        if causes:
            # Events come newest first.
            return f"{causes[-1]['LogicalResourceId']}: {causes[-1].get('ResourceStatusReason', 'no reason given')}"
        time.sleep(pause)
    return "no reason given"


def pauses() -> Iterator[float]:
    """Seconds between polls: 0.02 at first, 5 at last."""
    pause = 0.02
    while True:
        yield pause
        pause = min(pause * 1.5, 5.0)
