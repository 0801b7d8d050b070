"""Checks of a state machine's service integrations: existing operations, valid requests, selected members that exist.

https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html
"""

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from localaws import shapes
from localaws.sagemaker.expressions import suggestion
from pipelines.checks import Findings, jsonata
from pipelines.checks.asl import Machine
from pipelines.checks.intrinsics import BadExpression, Call, Filter, Path, parse, paths
from pipelines.checks.values import sample

RESOURCE = re.compile(r"arn:aws:states:::(?:aws-sdk:)?(\w+):(\w+?)(\.sync)?$")
# Optimised integrations that are allowed here; for .sync the operation whose response the task returns.
OPTIMISED = {
    "athena:getQueryExecution": None,
    "athena:getQueryResults": None,
    "athena:startQueryExecution": None,
    "athena:startQueryExecution.sync": "GetQueryExecution",
    "athena:stopQueryExecution": None,
    "lambda:invoke": None,
    "sagemaker:createProcessingJob.sync": "DescribeProcessingJob",
    "sns:publish": None,
}
# Where Step Functions' name of a service is not botocore's.
SERVICES = {"sagemakerruntime": "sagemaker-runtime", "sfn": "stepfunctions", "cloudwatchlogs": "logs"}


class Operation(NamedTuple):
    """A service's operation with the shapes of its request and response (None where there is none)."""

    service: str
    name: str
    request: Any
    answer: Any


class UnknownIntegration(Exception):
    """A task's resource that Step Functions cannot call; the message has the reason."""


def operation(resource: str) -> Operation:
    """The operation behind a task's resource; raises UnknownIntegration."""
    import botocore.exceptions
    import botocore.loaders

    match = RESOURCE.fullmatch(resource)
    if match is None:
        raise UnknownIntegration(f"{resource!r} is no service integration")
    service, action, sync = match[1], match[2], match[3] or ""
    if not resource.startswith("arn:aws:states:::aws-sdk:"):
        if f"{service}:{action}{sync}" not in OPTIMISED:
            raise UnknownIntegration(f"no integration {service}:{action}{sync} ({suggestion(action, OPTIMISED)})")
    elif sync:
        raise UnknownIntegration("an SDK integration does not wait (.sync)")
    name = action[0].upper() + action[1:]
    botocore_name = SERVICES.get(service, service)
    try:
        model = shapes.service_model(botocore_name)
    except botocore.exceptions.UnknownServiceError:
        raise UnknownIntegration(f"no service {service!r}") from None
    if action[0].isupper() or name not in model.operation_names:
        names = [each[0].lower() + each[1:] for each in model.operation_names]
        raise UnknownIntegration(f"no action {action!r} of {service} ({suggestion(action, names)})")
    answered = OPTIMISED.get(f"{service}:{action}{sync}") or name
    return Operation(
        botocore_name, name, shapes.input_shape(botocore_name, name), shapes.output_shape(botocore_name, answered)
    )


def tasks(machine: Machine) -> Findings:
    """Every task calls an existing operation with a valid request."""
    for name, state in machine["States"].items():
        if state.get("Type") != "Task":
            continue
        address = f"States.{name}"
        try:
            called = operation(state.get("Resource", ""))
        except UnknownIntegration as error:
            yield [f"{address}.Resource: {error}"]
            continue
        field = "Arguments" if "Arguments" in state else "Parameters"
        request = filled(called.request, named(called.request, state.get(field, {})))
        yield list(shapes.problems(called.request, request, f"{address}.{field}"))
        yield [*selected_problems(state, called, address), *result_problems(state, called, address)]


def named(shape: Any, request: dict[str, Any]) -> dict[str, Any]:
    """A request with the names of its shape: SDK integrations capitalize all names, also those of camel-case APIs.

    https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
    """
    known = {name[0].upper() + name[1:]: name for name in getattr(shape, "members", {})}
    return {known.get(name, name): value for name, value in request.items()}


def filled(shape: Any, value: Any) -> Any:
    """A payload template as a request: values known only at run time become samples of their shapes."""
    if shape is not None and shape.type_name == "blob":
        return ""
    if isinstance(value, dict):
        members = getattr(shape, "members", {}) if shape is not None and shape.type_name == "structure" else {}
        inner = shape.value if shape is not None and shape.type_name == "map" else None
        return {
            name.removesuffix(".$"): _member(members.get(name.removesuffix(".$"), inner), item, name.endswith(".$"))
            for name, item in value.items()
        }
    if isinstance(value, list):
        inner = shape.member if shape is not None and shape.type_name == "list" else None
        return [filled(inner, item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"\$\{\w+\}|\{%.*%\}", value) and shape is not None:
        return sample(shape)
    return re.sub(r"\$\{\w+\}", "sample", value) if isinstance(value, str) else value


def _member(shape: Any, item: Any, dynamic: bool) -> Any:
    return ("sample" if shape is None else sample(shape)) if dynamic else filled(shape, item)


def selected_problems(state: dict[str, Any], called: Operation, address: str) -> list[str]:
    """Paths of a ResultSelector that the operation's response does not have."""
    found = []
    for name, text in state.get("ResultSelector", {}).items():
        if name.endswith(".$"):
            try:
                for each in paths(parse(text)):
                    # What a Lambda answers is its own affair.
                    if each.root == "$" and not (called.service == "lambda" and each.parts[0] == "Payload"):
                        selected(called.answer, each)
            except BadExpression as error:
                found.append(f"{address}.ResultSelector.{name}: {error}")
    return found


def result_problems(state: dict[str, Any], called: Operation, address: str) -> list[str]:
    """`$states.result` paths of a JSONata Output that the operation's response does not have."""
    found = []
    for names in jsonata.results(str(state.get("Output", ""))):
        shape = called.answer
        capitalized = shape is not None and {name[0].upper() + name[1:]: name for name in shape.members}
        if capitalized and names[0] not in shape.members and names[0] in capitalized:
            # Of a camel-case API: the members below are capitalized as well, and are not checked.
            continue
        for name in names:
            while shape is not None and shape.type_name == "list":
                shape = shape.member
            try:
                shape = selected(shape, Path("$", (name,)))
            except BadExpression as error:
                found.append(f"{address}.Output: {error}")
                break
    return found


def selected(shape: Any, found: Path) -> Any:
    """The shape at a path into a response; raises BadExpression where there is none."""
    for part in found.parts:
        kind = "nothing" if shape is None else shape.type_name
        if isinstance(part, str) and kind == "structure":
            if part not in shape.members:
                raise BadExpression(f"the response has no member {part!r} ({suggestion(part, shape.members)})")
            shape = shape.members[part]
        elif isinstance(part, str) and kind == "map":
            shape = shape.value
        elif isinstance(part, (int, Filter)) and kind == "list":
            shape = shape.member
            if isinstance(part, Filter):
                _check_filter(shape, part)
        else:
            raise BadExpression(f"{part!r} is no member of a {kind}")
    return shape


def _check_filter(shape: Any, found: Filter) -> None:
    for name, literal in found.members:
        shape_of_member = selected(shape, Path("$", (name,)))
        allowed = shape_of_member.metadata.get("enum")
        if allowed and literal is not None and literal not in allowed:
            raise BadExpression(f"{name} is never {literal!r} ({suggestion(literal, allowed)})")


def selection(state: dict[str, Any]) -> dict[str, Any] | None:
    """Members of a task's result: name -> shape (None: unknown); None where the task has no ResultSelector."""
    if "ResultSelector" not in state:
        return None
    try:
        answer = operation(state.get("Resource", "")).answer
    except UnknownIntegration:
        answer = None
    result: dict[str, Any] = {}
    for name, text in state["ResultSelector"].items():
        result[name.removesuffix(".$")] = _selected_or_none(answer, text) if name.endswith(".$") else None
    return result


def _selected_or_none(answer: Any, text: str) -> Any:
    try:
        expression: Path | Call = parse(text)
        # A filter gives a list of what it selects, a function something else.
        if isinstance(expression, Call) or any(isinstance(part, Filter) for part in expression.parts):
            return None
        return selected(answer, expression)
    except BadExpression:
        return None


def pipeline_parameters(machine: Machine, declared: Collection[str]) -> Findings:
    """Every pipeline parameter that a task passes is declared in the pipeline."""
    for name, state in machine["States"].items():
        for parameter in passed_parameters(state):
            known = parameter in declared
            message = f"States.{name}.Output.parameters: no parameter {parameter!r} ({suggestion(parameter, declared)})"
            yield [] if known else [message]


def passed_parameters(state: dict[str, Any]) -> dict[str, str]:
    """Parameter -> JSONata expression, of a state whose Output has `'parameters': $merge([{...}, ...])`."""
    found = re.search(r"'parameters': \$merge\(\[\{ ?(.*?) ?\}, ", str(state.get("Output", "")))
    return dict(re.findall(r"'(\w+)': (.*?)(?:, (?=')|$)", found[1])) if found else {}
