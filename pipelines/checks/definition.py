"""Static checks of a SageMaker pipeline definition.

A step's arguments are validated as a request of CreateProcessingJob, CreateTrainingJob or CreateModelPackage; a
reference is a member of the matching Describe response; a condition compares numbers of the evaluation.
retry_and_caching.py checks retry policies and caching. The schema of definitions:
https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localaws import shapes
from localaws.sagemaker import graph
from localaws.sagemaker.expressions import UnknownReference, path_segments, suggestion
from pipelines.checks import Findings, findings
from pipelines.checks.retry_and_caching import caching, retry_policies
from pipelines.checks.values import (
    EXECUTION,
    OPERATIONS,
    Definition,
    as_json,
    figure,
    filled,
    is_expression,
    member,
    scope,
)

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


def structure(definition: dict[str, Any], seen: Definition) -> Findings:
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


def parameters(definition: dict[str, Any], seen: Definition) -> Findings:
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
            found.append(f"{address}.DefaultValue: {as_json(default)} is no {each['Type']}")
        if isinstance(default, str) and len(default) > 1024:
            found.append(f"{address}.DefaultValue: {len(default)} characters are above the maximum of 1024")
        yield found


def arguments(definition: dict[str, Any], seen: Definition) -> Findings:
    """Every step's arguments are a valid request."""
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


def expressions(definition: dict[str, Any], seen: Definition) -> Findings:
    """Every Get, Std:Join and Std:JsonGet is well formed."""
    for name, step in seen.steps.items():
        yield list(_malformed(graph.without_branches(step), f"Steps.{name}"))


def _malformed(value: Any, address: str) -> Iterator[str]:
    match value:
        case {"Get": str(text)} if len(value) == 1:
            if len(_segments(text)) < 2:
                yield f"{address}.Get: {text!r} is no path to a value"
        case {"Std:JsonGet": {"PropertyFile": {"Get": str(file)}, "Path": str(text)}} if len(value) == 1:
            if len(_segments(file)) != 4 or not _segments(text):
                yield f"{address}.Std:JsonGet: {file!r} and {text!r} are no paths to a file and into it"
        case {"Std:Join": {"On": str(), "Values": list(values)}} if len(value) == 1:
            for index, each in enumerate(values):
                yield from _malformed(each, f"{address}.Std:Join.Values[{index}]")
        case _ if is_expression(value):
            yield f"{address}: {as_json(value)} is no whole expression"
        case dict():
            for name, each in value.items():
                yield from _malformed(each, f"{address}.{name}")
        case list():
            for index, each in enumerate(value):
                yield from _malformed(each, f"{address}[{index}]")


def _segments(path: str) -> list[str | int]:
    try:
        return path_segments(path)
    except UnknownReference:
        return []


def references(definition: dict[str, Any], seen: Definition) -> Findings:
    """Every `Steps.X.a.b` is a member of the Describe response, every `Execution.Z` exists."""
    for name, step in seen.steps.items():
        for where, path in graph.references(graph.without_branches(step)):
            address = f"Steps.{name}.{where}"
            root, first, *rest = path_segments(path)
            if root == "Execution" and (rest or first not in EXECUTION):
                yield [f"{address}: no execution member {first!r} ({suggestion(str(first), EXECUTION)})"]
            elif root == "Steps" and first in seen.steps:
                yield [f"{address}: {each}" for each in _step_reference(seen.steps[str(first)], rest)]
            else:
                yield []


def _step_reference(step: graph.Step, rest: list[str | int]) -> list[str]:
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
            return [f"no output {rest[2]!r} of {step['Name']} ({suggestion(str(rest[2]), outputs)})"]
    return []


def _outputs(step: graph.Step) -> list[str]:
    listed = step.get("Arguments", {}).get("ProcessingOutputConfig", {}).get("Outputs", [])
    return [each.get("OutputName") for each in listed]


def property_files(definition: dict[str, Any], seen: Definition) -> Findings:
    """Each names a JSON file in an output of its step."""
    for name, step in seen.steps.items():
        for each in step.get("PropertyFiles", []):
            address = f"Steps.{name}.PropertyFiles.{each.get('PropertyFileName')}"
            found = []
            if each.get("OutputName") not in _outputs(step):
                have = suggestion(str(each.get("OutputName")), _outputs(step))
                found.append(f"{address}.OutputName: no output {each.get('OutputName')!r} ({have})")
            if not each.get("FilePath") or each["FilePath"].startswith("/") or not each["FilePath"].endswith(".json"):
                found.append(f"{address}.FilePath: {each.get('FilePath')!r} is no JSON file below the output")
            yield found


def conditions(definition: dict[str, Any], seen: Definition) -> Findings:
    """Known comparisons, of numbers with numbers; the evaluation has the figures that they read."""
    for name, step in seen.steps.items():
        if step.get("Type") != "Condition":
            continue
        for branch in graph.BRANCHES:
            if not step["Arguments"].get(branch):
                yield [f"Steps.{name}.Arguments.{branch}: without a step, the run succeeds on this branch"]
        for index, condition in enumerate(step["Arguments"].get("Conditions", [])):
            address = f"Steps.{name}.Arguments.Conditions[{index}]"
            if condition.get("Type") not in COMPARISONS:
                have = suggestion(str(condition.get("Type")), COMPARISONS)
                yield [f"{address}.Type: no comparison {condition.get('Type')!r} ({have})"]
                continue
            wrong = [f"{address}.{each}: required, but missing" for each in SIDES if each not in condition]
            for side in (each for each in SIDES if each in condition and condition["Type"] != "Equals"):
                wrong += [f"{address}.{side}: {each}" for each in _not_a_number(condition[side], seen)]
            yield wrong


def figures(definition: dict[str, Any], seen: Definition) -> Findings:
    """The evaluation has the figures that steps other than conditions read."""
    for name, step in seen.steps.items():
        if step.get("Type") != "Condition":
            asked = list(_figures(step.get("Arguments", {}), f"Steps.{name}.Arguments"))
            missing = [each for each in asked if seen.evaluation and figure(each[1], seen) is None]
            yield [f"{address}: {value['Std:JsonGet']['Path']} is not in the evaluation" for address, value in missing]


def _figures(value: Any, address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _figures(item, f"{address}[{index}]")
    elif isinstance(value, dict):
        if "Std:JsonGet" in value:
            yield address, value
        for key, item in value.items():
            yield from _figures(item, f"{address}.{key}")


def _not_a_number(value: Any, seen: Definition) -> list[str]:
    if not is_expression(value):
        return [] if type(value) in (int, float) else [f"{as_json(value)} is no number"]
    if "Std:JsonGet" in value:
        if not seen.evaluation:
            return []
        found, path = figure(value, seen), value["Std:JsonGet"]["Path"]
        if found is None:
            return [f"{path} is not in the evaluation"]
        return [] if type(found) in (int, float) else [f"{path} is {as_json(found)} in the evaluation, no number"]
    if value.get("Get", "").startswith("Parameters."):
        default = seen.parameters.get(value["Get"].removeprefix("Parameters."))
        return [] if default is None or type(default) in (int, float) else [f"{value['Get']} is no number"]
    return [f"{as_json(value)} is no number"]


Check = Callable[[dict[str, Any], Definition], Findings]
CHECKS: Mapping[str, Check] = {
    each.__name__: each
    for each in (
        structure,
        parameters,
        expressions,
        arguments,
        references,
        property_files,
        conditions,
        figures,
        retry_policies,
        caching,
    )
}


def check(definition: dict[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """All findings about a definition. evaluation: a sample of evaluation.json, or {} to skip figures."""
    broken = findings([each] for each in graph.problems(definition, set(TYPES)))
    if any(each.startswith(("Steps: ", "malformed")) for each in broken):
        # The other checks need a definition without cycles.
        return broken
    seen = scope(definition, evaluation)
    broken = findings(expressions(definition, seen))
    return broken or [each for one in CHECKS.values() for each in findings(one(definition, seen))]
