"""What SageMaker would refuse in a pipeline definition, and what it would accept and then do wrong.

Rules of the definition's own: the steps' arguments are requests to CreateProcessingJob and its kin, references are
members of what Describe answers, a condition compares numbers that the evaluation holds, and a cached step reads only
what is named by its content or made by this execution.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines import graph
from pipelines.checks import Looked
from pipelines.checks.values import (
    EXECUTION,
    OPERATIONS,
    Definition,
    figure,
    filled,
    is_expression,
    member,
    scope,
    text,
)
from pipelines.local import expressions, shapes

# The published schema of definitions has these lengths (aws-sagemaker-mlops pipeline-definition schema 2020-12-01).
STEP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PARAMETER_TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}
TYPES = (*OPERATIONS, "Condition", "Fail")

COMPARISONS = ("Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
SIDES = ("LeftValue", "RightValue")

STEP_EXCEPTIONS = ("Step.SERVICE_FAULT", "Step.THROTTLING")
JOB_EXCEPTIONS = ("SageMaker.CAPACITY_ERROR", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.RESOURCE_LIMIT")
JOBS = ("Processing", "Training")

# An address that its content names, as package.py makes them.
BY_CONTENT = re.compile(r"/[0-9a-f]{16,64}(/|\.|$)")


def structure(definition: dict[str, Any], seen: Definition) -> Looked:
    """Names, types, dependencies, no cycle."""
    yield [f"{each}" for each in graph.problems(definition, set(TYPES))]
    model = shapes.output_shape("sagemaker", "ListPipelineExecutionSteps")
    limits = model.members["PipelineExecutionSteps"].member.members
    for step in graph.steps(definition):
        address = f"Steps.{step['Name']}"
        found = []
        if not STEP_NAME.fullmatch(step["Name"]):
            found.append(f"{address}.Name: {step['Name']!r} does not match {STEP_NAME.pattern}")
        for name, limit in (("DisplayName", "StepDisplayName"), ("Description", "StepDescription")):
            if name in step:
                found += shapes.problems(limits[limit], step[name], f"{address}.{name}")
        yield found


def parameters(definition: dict[str, Any], seen: Definition) -> Looked:
    """Names, types and defaults."""
    names = [each.get("Name") for each in definition.get("Parameters", [])]
    for each in definition.get("Parameters", []):
        address = f"Parameters.{each.get('Name')}"
        kinds = PARAMETER_TYPES.get(each.get("Type"))
        default = each.get("DefaultValue")
        found = []
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", str(each.get("Name"))):
            found.append(f"{address}.Name: {each.get('Name')!r} is not letters, digits, - and _")
        if names.count(each.get("Name")) > 1:
            found.append(f"{address}: declared {names.count(each.get('Name'))} times")
        if kinds is None:
            found.append(f"{address}.Type: {each.get('Type')!r} is not one of {', '.join(PARAMETER_TYPES)}")
        elif default is not None and (type(default) not in kinds):
            found.append(f"{address}.DefaultValue: {text(default)} is no {each['Type']}")
        if isinstance(default, str) and len(default) > 1024:
            found.append(f"{address}.DefaultValue: {len(default)} characters are above the maximum of 1024")
        yield found


def arguments(definition: dict[str, Any], seen: Definition) -> Looked:
    """Every step's arguments as the request that SageMaker makes of them."""
    for step in seen.steps.values():
        address = f"Steps.{step['Name']}.Arguments"
        if step.get("Type") in OPERATIONS:
            operation, job_name, _ = OPERATIONS[step["Type"]]
            shape = shapes.input_shape("sagemaker", operation)
            request = filled(shape, step.get("Arguments", {}), seen)
            if job_name:
                if job_name in request:
                    yield [f"{address}.{job_name}: the pipeline names the job itself"]
                request = {job_name: "pipelines-a1b2c3d4e5f6-sample", **request}
            yield list(shapes.problems(shape, request, address))
        elif step.get("Type") == "Fail":
            yield (
                []
                if "ErrorMessage" in step.get("Arguments", {})
                else [f"{address}.ErrorMessage: required, but missing"]
            )


def references(definition: dict[str, Any], seen: Definition) -> Looked:
    """Every `Steps.X.a.b` is a member of what Describe answers, every `Execution.Z` is known."""
    for name, step in seen.steps.items():
        for where, path in graph.references(graph.own_part(step)):
            address = f"Steps.{name}.{where}"
            try:
                parts = expressions.path_parts(path)
            except expressions.UnknownReference as error:
                yield [f"{address}: {error}"]
                continue
            if parts[0] == "Execution" and parts[1:] not in [[each] for each in EXECUTION]:
                yield [
                    f"{address}: no execution member {parts[1]!r} ({expressions.suggestion(str(parts[1]), EXECUTION)})"
                ]
            elif parts[0] == "Steps" and str(parts[1]) in seen.steps:
                yield [f"{address}: {each}" for each in _step_reference(parts, seen)]
            else:
                yield []


def _step_reference(parts: list[str | int], seen: Definition) -> list[str]:
    step, rest = seen.steps[str(parts[1])], parts[2:]
    if step.get("Type") not in OPERATIONS:
        return [f"a {step.get('Type')} step has no results to refer to"]
    if rest and rest[0] == "PropertyFiles":
        known = [each.get("PropertyFileName") for each in step.get("PropertyFiles", [])]
        return [] if rest[1:] in [[each] for each in known] else [f"no property file {rest[1:]} (have: {known})"]
    try:
        member(shapes.output_shape("sagemaker", OPERATIONS[step["Type"]][2]), rest)
    except KeyError as error:
        return [str(error.args[0])]
    if rest[:2] == ["ProcessingOutputConfig", "Outputs"] and rest[2:]:
        outputs = _outputs(step)
        if rest[2] not in outputs:
            return [f"no output {rest[2]!r} of {step['Name']} ({expressions.suggestion(str(rest[2]), outputs)})"]
    return []


def _outputs(step: graph.Step) -> list[str]:
    listed = step.get("Arguments", {}).get("ProcessingOutputConfig", {}).get("Outputs", [])
    return [each.get("OutputName") for each in listed]


def property_files(definition: dict[str, Any], seen: Definition) -> Looked:
    """Each is a file of an output that its step has."""
    for name, step in seen.steps.items():
        for each in step.get("PropertyFiles", []):
            address = f"Steps.{name}.PropertyFiles.{each.get('PropertyFileName')}"
            found = []
            if each.get("OutputName") not in _outputs(step):
                have = expressions.suggestion(str(each.get("OutputName")), _outputs(step))
                found.append(f"{address}.OutputName: no output {each.get('OutputName')!r} ({have})")
            if not each.get("FilePath") or each["FilePath"].startswith("/") or not each["FilePath"].endswith(".json"):
                found.append(f"{address}.FilePath: {each.get('FilePath')!r} is no JSON file below the output")
            yield found


def conditions(definition: dict[str, Any], seen: Definition) -> Looked:
    """Known comparisons of numbers with numbers; what they read from the evaluation is in it."""
    for name, step in seen.steps.items():
        if step.get("Type") != "Condition":
            continue
        for branch in graph.BRANCHES:
            if not step["Arguments"].get(branch):
                yield [f"Steps.{name}.Arguments.{branch}: a branch without a step ends a run as if it had succeeded"]
        for index, condition in enumerate(step["Arguments"].get("Conditions", [])):
            address = f"Steps.{name}.Arguments.Conditions[{index}]"
            if condition.get("Type") not in COMPARISONS:
                have = expressions.suggestion(str(condition.get("Type")), COMPARISONS)
                yield [f"{address}.Type: no comparison {condition.get('Type')!r} ({have})"]
                continue
            wrong = [f"{address}.{each}: required, but missing" for each in SIDES if each not in condition]
            for side in (each for each in SIDES if each in condition and condition["Type"] != "Equals"):
                wrong += [f"{address}.{side}: {each}" for each in _not_a_number(condition[side], seen)]
            yield wrong


def _not_a_number(value: Any, seen: Definition) -> list[str]:
    if not is_expression(value):
        return [] if type(value) in (int, float) else [f"{text(value)} is no number"]
    if "Std:JsonGet" in value:
        if not seen.evaluation:
            return []
        found, path = figure(value, seen), value["Std:JsonGet"]["Path"]
        if found is None:
            return [f"{path} is not in the evaluation"]
        return [] if type(found) in (int, float) else [f"{path} is {text(found)} in the evaluation, no number"]
    if value.get("Get", "").startswith("Parameters."):
        default = seen.parameters.get(value["Get"].removeprefix("Parameters."))
        return [] if default is None or type(default) in (int, float) else [f"{value['Get']} is no number"]
    return [f"{text(value)} is no number"]


def retry_policies(definition: dict[str, Any], seen: Definition) -> Looked:
    """Known exceptions, each in one policy of its step, and exactly one end to trying."""
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


def caching(definition: dict[str, Any], seen: Definition) -> Looked:
    """A cached step reads what its content names or this execution made: the key holds addresses, not contents."""
    for name, step in seen.steps.items():
        config = step.get("CacheConfig")
        if config is None or not config.get("Enabled"):
            yield []
            continue
        if step.get("Type") not in JOBS:
            yield [f"Steps.{name}.CacheConfig: a {step.get('Type')} step cannot be cached"]
            continue
        yield [
            f"Steps.{name}.CacheConfig: {where} is {text(address)}, whose content may grow under the same address"
            for where, address in _input_addresses(step)
            if not _stays(address)
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


def _stays(address: Any) -> bool:
    if isinstance(address, str):
        return BY_CONTENT.search(address) is not None
    paths = [path for _, path in graph.references(address)]
    return bool(paths) and all(path.startswith(("Steps.", "Execution.PipelineExecution")) for path in paths)


Check = Callable[[dict[str, Any], Definition], Looked]
CHECKS: Mapping[str, Check] = {
    each.__name__: each
    for each in (structure, parameters, arguments, references, property_files, conditions, retry_policies, caching)
}


def check(definition: dict[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """Every finding about a definition. evaluation: a sample of evaluation.json, or {} to leave figures unjudged."""
    broken = list(graph.problems(definition, set(TYPES)))
    if broken and broken[0].startswith("Steps: a"):
        # Not a definition at all, or a cycle: the other checks could only stumble.
        return broken
    seen = scope(definition, evaluation)
    return [finding for each in CHECKS.values() for found in each(definition, seen) for finding in found]
