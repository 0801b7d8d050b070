"""Resolve the expressions of a definition to values, so that a step's arguments can be validated as a request.

A value that is known before a run (a parameter's default, a Std:Join of known parts) is used as it is, so that its
length, pattern and enum are validated. A value known only at run time becomes a sample that its shape allows.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from localaws import shapes
from localaws.sagemaker import expressions, graph

# Members of `Execution.` (the SDK's ExecutionVariables) with samples in AWS's form.
EXECUTION = {
    "PipelineName": "sample",
    "PipelineArn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/sample",
    "PipelineExecutionId": "a1b2c3d4e5f6",
    "PipelineExecutionArn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/sample/execution/a1b2c3d4e5f6",
    "StartDateTime": "2026-11-20T00:00:00Z",
    "CurrentDateTime": "2026-11-20T00:00:00Z",
    "TrainingJobName": "pipelines-a1b2c3d4e5f6-Sample-a1b2c3d4e5",
    "ProcessingJobName": "pipelines-a1b2c3d4e5f6-Sample-a1b2c3d4e5",
}

# Type of step -> (operation, member that the service fills in, operation whose response describes the result).
OPERATIONS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName", "DescribeProcessingJob"),
    "Training": ("CreateTrainingJob", "TrainingJobName", "DescribeTrainingJob"),
    "RegisterModel": ("CreateModelPackage", None, "DescribeModelPackage"),
}

# The first text that a shape allows is its sample.
TEXTS = (
    "s3://sample/sample",
    "arn:aws:sagemaker:us-east-1:111122223333:model-package/sample/1",
    "arn:aws:sagemaker:us-east-1:111122223333:pipeline/sample/execution/a1b2c3d4e5f6",
    "arn:aws:iam::111122223333:role/sample",
    "sample",
    "0123456789abcdef" * 4,
    "1",
)


class Definition(NamedTuple):
    """The scope of a definition's expressions. evaluation: a sample of the property files, or {}."""

    parameters: Mapping[str, Any]
    steps: Mapping[str, graph.Step]
    evaluation: Mapping[str, Any]


def scope(definition: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Definition:
    """The parameters' defaults, the steps by name and the sample of the property files."""
    defaults = {each.get("Name"): each.get("DefaultValue") for each in definition.get("Parameters", [])}
    return Definition(defaults, {step["Name"]: step for step in graph.steps(dict(definition))}, evaluation)


@functools.cache
def sample(shape: Any) -> Any:
    """A value that `shape` allows."""
    kind = shape.type_name
    if kind == "structure":
        return {name: sample(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [sample(shape.member)] * shape.metadata.get("min", 0)
    if kind == "map":
        return {}
    if kind == "boolean":
        return True
    if kind in ("string", "blob", "character"):
        fitting = (text for text in (*shape.metadata.get("enum", ()), *TEXTS) if not list(shapes.problems(shape, text)))
        return next(fitting, "sample")
    return shape.metadata.get("min", 1)


def filled(shape: Any, value: Any, seen: Definition) -> Any:
    """`value` as a request of `shape`, its expressions replaced. shape: None where botocore knows of no such member."""
    if is_expression(value):
        return resolved(shape, value, seen)
    kind = None if shape is None else shape.type_name
    if isinstance(value, dict):
        if kind == "map":
            return {name: filled(shape.value, item, seen) for name, item in value.items()}
        members = shape.members if kind == "structure" else {}
        return {name: filled(members.get(name), item, seen) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(shape.member if kind == "list" else None, item, seen) for item in value]
    return value


def is_expression(value: Any) -> bool:
    """Whether a value is `{"Get": ...}`, `{"Std:Join": ...}` or `{"Std:JsonGet": ...}`."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("Get", "Std:Join", "Std:JsonGet")


def resolved(shape: Any, value: dict[str, Any], seen: Definition) -> Any:
    """The value of an expression, for a member of `shape`; a broken reference becomes a sample."""
    if "Std:Join" in value:
        join = value["Std:Join"]
        parts = [resolved(None, part, seen) if is_expression(part) else part for part in join["Values"]]
        return join.get("On", "").join(expressions.as_text(part) for part in parts)
    if "Std:JsonGet" in value:
        found = figure(value, seen)
        return sample(shape) if found is None and shape is not None else found
    root, *rest = expressions.path_segments(value["Get"])
    known: Any = None
    if root == "Parameters":
        known = seen.parameters.get(str(rest[0]))
    elif root == "Execution":
        known = EXECUTION.get(str(rest[0]))
    elif root == "Steps":
        source = source_shape(value["Get"], seen)
        if source is not None and (shape is None or source.type_name != shape.type_name):
            # Of another type than the member: the validation has to see it.
            known = sample(source)
    return known if known is not None else "sample" if shape is None else sample(shape)


def figure(value: dict[str, Any], seen: Definition) -> Any:
    """The value of a JsonGet in the sample of the property files; None where there is none."""
    found: Any = seen.evaluation
    for part in expressions.path_segments(value["Std:JsonGet"]["Path"]):
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def source_shape(path: str, seen: Definition) -> Any:
    """The shape of `Steps.X.a.b` in the Describe response of step X; None where there is none."""
    try:
        _, name, *rest = expressions.path_segments(path)
        describe = OPERATIONS[seen.steps[str(name)]["Type"]][2]
        return member(shapes.output_shape("sagemaker", describe), rest)
    except (KeyError, ValueError, expressions.UnknownReference):
        return None


def member(shape: Any, parts: list[str | int]) -> Any:
    """The shape at a path; raises KeyError with the missing part and the alternatives."""
    for part in parts:
        if shape.type_name == "structure":
            if part not in shape.members:
                raise KeyError(f"no member {part!r} ({expressions.suggestion(str(part), shape.members)})")
            shape = shape.members[part]
        elif shape.type_name == "list":
            shape = shape.member
        elif shape.type_name == "map":
            shape = shape.value
        else:
            raise KeyError(f"no member {part!r} of a {shape.type_name}")
    return shape


def as_json(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)
