"""Checks of a definition's retry policies and caching.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html
"""

import re
from typing import Any

from localaws.sagemaker import graph
from pipelines.checks import Findings
from pipelines.checks.values import OPERATIONS, Definition, as_json

STEP_EXCEPTIONS = ("Step.SERVICE_FAULT", "Step.THROTTLING")
JOB_EXCEPTIONS = ("SageMaker.CAPACITY_ERROR", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.RESOURCE_LIMIT")
JOBS = ("Processing", "Training")

# An S3 address with the hash of its content, as archives.py makes them.
BY_CONTENT = re.compile(r"/[0-9a-f]{16,64}(/|\.|$)")


def retry_policies(definition: dict[str, Any], seen: Definition) -> Findings:
    """Known exceptions, each in one policy of its step, and exactly one limit per policy."""
    for name, step in seen.steps.items():
        if step.get("Type") in OPERATIONS and not step.get("RetryPolicies"):
            yield [f"Steps.{name}.RetryPolicies: none, so one throttled call fails the run"]
        known = STEP_EXCEPTIONS + (JOB_EXCEPTIONS if step.get("Type") in JOBS else ())
        before: set[str] = set()
        for index, policy in enumerate(step.get("RetryPolicies", [])):
            address = f"Steps.{name}.RetryPolicies[{index}]"
            exceptions = policy.get("ExceptionType", [])
            found = [
                f"{address}.ExceptionType: no exception {each!r} of a {step['Type']} step (have: {', '.join(known)})"
                for each in exceptions
                if each not in known
            ]
            found += [
                f"{address}.ExceptionType: {each} is in an earlier policy too" for each in exceptions if each in before
            ]
            before |= set(exceptions)
            if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
                found.append(f"{address}: give exactly one of MaxAttempts and ExpireAfterMin")
            limits = {"MaxAttempts": 1, "ExpireAfterMin": 1, "IntervalSeconds": 1, "BackoffRate": 1}
            found += [f"{address}.{each}: {policy[each]} is below 1" for each in limits if policy.get(each, 1) < 1]
            yield found


def caching(definition: dict[str, Any], seen: Definition) -> Findings:
    """A cached step reads only immutable addresses, as the cache key has addresses, not contents.

    Immutable are an address with a content hash, an output of a step, and a parameter with no default or an
    immutable one.
    """
    defaults = {each["Name"]: each.get("DefaultValue") for each in definition.get("Parameters", [])}
    for name, step in seen.steps.items():
        config = step.get("CacheConfig")
        if config is None or not config.get("Enabled"):
            yield []
            continue
        if step.get("Type") not in JOBS:
            yield [f"Steps.{name}.CacheConfig: a {step.get('Type')} step cannot be cached"]
            continue
        yield [
            f"Steps.{name}.CacheConfig: {where} is {as_json(address)}, an address whose content can change"
            for where, address in _input_addresses(step)
            if not _all_immutable(address, defaults)
        ]


def _input_addresses(step: graph.Step) -> list[tuple[str, Any]]:
    arguments = step["Arguments"]
    read = [
        (f"ProcessingInputs[{index}]", each.get("S3Input", {}).get("S3Uri"))
        for index, each in enumerate(arguments.get("ProcessingInputs", []))
    ]
    return read + [
        (f"InputDataConfig[{index}]", each.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri"))
        for index, each in enumerate(arguments.get("InputDataConfig", []))
    ]


def _all_immutable(address: Any, defaults: dict[str, Any]) -> bool:
    if isinstance(address, str):
        return BY_CONTENT.search(address) is not None
    paths = [path for _, path in graph.references(address)]
    return bool(paths) and all(_is_immutable(path, defaults) for path in paths)


def _is_immutable(path: str, defaults: dict[str, Any]) -> bool:
    root, _, name = path.partition(".")
    if root == "Parameters":
        default = defaults.get(name)
        return default is None or BY_CONTENT.search(str(default)) is not None
    return path.startswith(("Steps.", "Execution.PipelineExecution"))
