"""Stacks that were in progress when the endpoint was killed: their operation is rolled back at the next start.

CloudFormation itself never stops half way. Here a created stack is deleted with its resources, so that it can be
created again, an update returns to what was deployed before, and a deletion is completed.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from typing import Any

import yaml

from localaws.ministack import patches

logger = logging.getLogger("localaws.stacks")
# The stack as it was before an update in progress, a member of its record.
PREVIOUS = "_previous_stack"
MODULES = ("stacks", "handlers", "changesets")
Stack = dict[str, Any]


def install(save: Callable[[], None]) -> None:
    """Save a stack's status before its first resource is created, changed or deleted. save: writes all state."""
    _parse_in_c()
    _heed_conditions()
    _read_templates_by_host()
    stacks = patches.module("services.cloudformation.stacks")
    deploy, delete = stacks._deploy_stack_async, stacks._delete_stack_async

    async def deploy_saved(name: str, *args: Any, previous_stack: Stack | None = None, **options: Any) -> None:
        stack = _stacks()[name]
        if previous_stack is not None:
            stack[PREVIOUS] = previous_stack
        await asyncio.to_thread(save)
        try:
            await deploy(name, *args, previous_stack=previous_stack, **options)
        finally:
            stack.pop(PREVIOUS, None)

    async def delete_saved(name: str, *args: Any, **options: Any) -> None:
        if stack := _stacks().get(name):
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
            await asyncio.to_thread(save)
        await delete(name, *args, **options)

    for module in MODULES:
        for original, saved in ((deploy, deploy_saved), (delete, delete_saved)):
            if hasattr(patches.module(f"services.cloudformation.{module}"), original.__name__):
                setattr(patches.module(f"services.cloudformation.{module}"), original.__name__, saved)


def _parse_in_c() -> None:
    """Let libyaml read the templates, where PyYAML was built with it: ten times as fast as MiniStack's loader."""
    engine = patches.module("services.cloudformation.engine")
    if parser := getattr(yaml, "CSafeLoader", None):
        members = {"yaml_constructors": engine.CfnLoader.yaml_constructors}
        engine.CfnLoader = type("CfnLoader", (parser,), members)


def _heed_conditions() -> None:
    """Let a change set add and remove the resources whose condition changes with the parameters."""
    changesets = patches.module("services.cloudformation.changesets")
    engine = patches.module("services.cloudformation.engine")
    resolve = changesets._resolve_props_for_diff

    def resolve_made(template: Stack, values: Stack, *names: str) -> Stack:
        resolved: Stack = resolve(template, values, *names)
        holds = engine._evaluate_conditions(template, values)
        made = {
            name: each
            for name, each in resolved.get("Resources", {}).items()
            if holds.get(template["Resources"][name].get("Condition"), True)
        }
        return {**resolved, "Resources": made}

    changesets._resolve_props_for_diff = resolve_made


async def recover() -> None:
    """Roll back what was in progress; the endpoint must answer by now, because resources may call it."""
    responses = patches.module("core.responses")
    for (account, region, name), stack in list(_stacks()._data.items()):
        status = stack["StackStatus"]
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            continue
        with responses.request_scope(account, region):
            try:
                await _roll_back(name, stack, status)
                logger.warning("the stack %s was %s when the endpoint was killed: rolled back", name, status)
            except Exception:
                logger.exception("the stack %s cannot be rolled back", name)
                stack["StackStatus"] = f"{status.removesuffix('_IN_PROGRESS')}_FAILED"


async def _roll_back(name: str, stack: Stack, status: str) -> None:
    stacks = patches.module("services.cloudformation.stacks")
    identifier = stack["StackId"]
    for change_set in patches.module("services.cloudformation")._change_sets.values():
        if change_set.get("StackId") == identifier and change_set["ExecutionStatus"] == "EXECUTE_IN_PROGRESS":
            change_set["ExecutionStatus"] = "EXECUTE_FAILED"
    previous = stack.pop(PREVIOUS, None)
    if previous is not None:
        await stacks._roll_back_operation(name, identifier, stack, _operation(stack, previous))
    elif status.startswith("UPDATE"):
        # Nothing of the update was done.
        stack["StackStatus"] = "UPDATE_ROLLBACK_COMPLETE"
    else:
        if not status.startswith("DELETE"):
            await stacks._roll_back_operation(name, identifier, stack, _operation(stack, None))
        await stacks._delete_stack_async(name, identifier)
        with contextlib.suppress(KeyError):
            if stack["StackStatus"] == "DELETE_COMPLETE":
                del _stacks()[name]


def _operation(stack: Stack, previous: Stack | None) -> Stack:
    """The arguments of MiniStack's rollback: what the operation has created or changed so far."""
    before = (previous or {}).get("_resources", {})
    resources = stack.get("_resources", {})
    return {
        "is_update": previous is not None,
        "previous_stack": previous,
        "created": [name for name, resource in resources.items() if before.get(name) != resource],
        "template": stack.get("_template"),
        "param_values": stack.get("_resolved_params"),
        # The rollback of a creation deletes what the template would retain, as nobody can have used it.
        "retain_except_on_create": previous is None,
        "stack_tags": stack.get("Tags"),
        "previous_tags": (previous or {}).get("Tags"),
    }


def _stacks() -> Any:
    return patches.module("services.cloudformation")._stacks


def _read_templates_by_host() -> None:
    """A TemplateURL may have the bucket in its host name; MiniStack reads it from the path alone.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    helpers = patches.module("services.cloudformation.helpers")
    original = helpers._resolve_document

    def resolve(params: dict[str, Any], body_key: str, url_key: str, label: str) -> Any:
        url = str(helpers._p(params, url_key) or "")
        found = re.match(r"https://([^/]+)\.s3[.-][^/]*amazonaws\.com(?:\.cn)?/(.+)", url)
        if found:
            params = {**params, url_key: [f"https://s3.amazonaws.com/{found[1]}/{found[2]}"]}
        return original(params, body_key, url_key, label)

    helpers._resolve_document = resolve
