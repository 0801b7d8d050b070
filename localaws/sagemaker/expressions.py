"""Values of a pipeline definition that are known only when it runs.

    {"Get": "Parameters.Seed"}                                            a parameter of this execution
    {"Get": "Execution.PipelineExecutionId"}                              the execution itself
    {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}                a member of the step's Describe answer
    {"Get": "Steps.Preprocess.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"}
    {"Std:Join": {"On": "/", "Values": [...]}}                            text put together
    {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Evaluation"}, "Path": "gate.reason"}}

A reference to something that is not there raises UnknownReference with the address of the expression.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

# One part of a path: `.name`, `['name']` or `[0]`.
PART = re.compile(r"\.?([A-Za-z0-9_][\w-]*)|\[['\"]([^'\"]+)['\"]\]|\[(\d+)\]")


class UnknownReference(Exception):
    """A reference in a definition points at nothing; the text names the address and what there is instead."""


class Scope:
    """What expressions can see while an execution runs.

    parameters: name -> value. execution: the members of `Execution.*`. steps: step name -> Describe answer of what
    the step made. property_file(step, file) -> the parsed JSON of a step's property file. json_at(S3 address,
    address of the expression) -> the parsed JSON of an object.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        execution: Mapping[str, Any],
        steps: Mapping[str, Any],
        property_file: Callable[[str, str], Any],
        json_at: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.parameters = parameters
        self.execution = execution
        self.steps = steps
        self.property_file = property_file
        self.json_at = json_at

    def resolve(self, value: Any, address: str = "") -> Any:
        """`value` with every expression inside replaced by what it stands for."""
        if isinstance(value, list):
            return [self.resolve(item, f"{address}[{index}]") for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Get"}:
            return self._get(value["Get"], address)
        if set(value) == {"Std:Join"}:
            join = value["Std:Join"]
            parts = self.resolve(join["Values"], f"{address}.Std:Join.Values")
            return join.get("On", "").join(as_text(part) for part in parts)
        if set(value) == {"Std:JsonGet"}:
            return self._json_get(value["Std:JsonGet"], f"{address}.Std:JsonGet")
        return {key: self.resolve(item, f"{address}.{key}") for key, item in value.items()}

    def _get(self, path: str, address: str) -> Any:
        root, *rest = path_segments(path, address)
        if root == "Parameters":
            return walk(self.parameters, rest, address, "parameter")
        if root == "Execution":
            return walk(self.execution, rest, address, "execution member")
        if root == "Steps":
            return walk(self.steps, rest, address, "step")
        raise UnknownReference(f"{address}: {path!r} begins with neither Parameters, Execution nor Steps")

    def _json_get(self, expression: Any, address: str) -> Any:
        match expression:
            case {"PropertyFile": {"Get": str(file)}, "Path": str(path)}:
                parts = path_segments(file, f"{address}.PropertyFile")
            case {"S3Uri": place, "Path": str(path)} if self.json_at:
                # The result of a step made by the SDK's @step decorator.
                uri = as_text(self.resolve(place, f"{address}.S3Uri"))
                content = self.json_at(uri, address)
                return walk(content, path_segments(path, f"{address}.Path"), address, f"member of {uri}")
            case _:
                raise UnknownReference(
                    f"{address}: a PropertyFile or an S3Uri, and a Path are needed, not {expression!r}"
                )
        if len(parts) != 4 or (parts[0], parts[2]) != ("Steps", "PropertyFiles"):
            raise UnknownReference(f"{address}.PropertyFile: {file!r} is not Steps.<step>.PropertyFiles.<file>")
        step, name = str(parts[1]), str(parts[3])
        content = self.property_file(step, name)
        return walk(content, path_segments(path, f"{address}.Path"), address, f"member of {step}'s {name}")


def path_segments(path: str, address: str = "") -> list[str | int]:
    """`Steps.Train.Outputs['a'].List[0]` -> ["Steps", "Train", "Outputs", "a", "List", 0].

    Raises UnknownReference, which begins with `address`, for what is not a path.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(path):
        match = PART.match(path, position)
        if not match:
            place = f"{address}: " if address else ""
            raise UnknownReference(f"{place}{path!r} is not a path (at character {position})")
        name, quoted, index = match.groups()
        parts.append(int(index) if index is not None else name or quoted)
        position = match.end()
    return parts


def walk(value: Any, parts: list[str | int], address: str, kind: str) -> Any:
    """Follow `parts` into `value`; a list of structures can be entered by the name of a member, as AWS does."""
    for part in parts:
        if isinstance(value, list) and isinstance(part, str):
            value = {
                str(each[key]): each for each in value if isinstance(each, dict) for key in each if key.endswith("Name")
            }
        known = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, Mapping) else []
        if part not in known:
            raise UnknownReference(f"{address}: no {kind} {part!r} ({suggestion(str(part), known)})")
        value = value[part]
    return value


def suggestion(name: str, known: Any) -> str:
    """`have: Preprocess, Train`, with the likeliest first."""
    names = [str(each) for each in known]
    close = difflib.get_close_matches(name, names, n=1)
    ordered = close + [each for each in names if each not in close]
    return "have: " + (", ".join(ordered[:12]) or "nothing")


def as_text(value: Any) -> str:
    """A value as SageMaker puts it into a joined text: a text as it is, all else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
