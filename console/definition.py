"""A SageMaker pipeline's definition JSON as steps and edges, as Studio shows them.

A step waits for the steps in its DependsOn, for those whose results it refers to (`{"Get": "Steps.X..."}`), and inside
a condition's branch for the condition. The JSON: https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-pipelines.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BRANCHES = {"IfSteps": "true", "ElseSteps": "false"}


@dataclass(frozen=True)
class Step:
    """One step. waits_for: name of an earlier step -> "true" or "false" from a condition's branch, else ""."""

    name: str
    type: str
    title: str
    description: str
    arguments: dict[str, Any]
    waits_for: dict[str, str]


def steps(definition: dict[str, Any]) -> list[Step]:
    """All steps in the definition's order, those in branches included.

    An edge that another path already implies is left out, so that the drawn graph shows only direct waits.
    """
    placed = list(_placed(definition.get("Steps", []), None))
    names = {step["Name"] for step, _ in placed}
    found = []
    for step, place in placed:
        waits = {name: "" for name in [*step.get("DependsOn", []), *_referenced(_own(step))] if name in names}
        if place is not None:
            waits[place[0]] = BRANCHES[place[1]]
        waits.pop(step["Name"], None)
        found.append(
            Step(
                step["Name"],
                str(step.get("Type", "")),
                str(step.get("DisplayName") or step["Name"]),
                str(step.get("Description") or ""),
                dict(step.get("Arguments") or {}),
                waits,
            )
        )
    return _without_implied(found)


def parameters(definition: dict[str, Any]) -> list[dict[str, Any]]:
    """The declared parameters: Name, Type, DefaultValue (absent where a run has to give a value)."""
    return [dict(each) for each in definition.get("Parameters", [])]


def _placed(
    listed: list[Any], place: tuple[str, str] | None
) -> Iterator[tuple[dict[str, Any], tuple[str, str] | None]]:
    for step in listed:
        yield step, place
        if step.get("Type") == "Condition":
            for branch in BRANCHES:
                yield from _placed(step.get("Arguments", {}).get(branch) or [], (step["Name"], branch))


def _own(step: dict[str, Any]) -> Any:
    """The step without the steps in its branches, which have references of their own."""
    if step.get("Type") != "Condition":
        return step
    return {key: value for key, value in step.get("Arguments", {}).items() if key not in BRANCHES}


def _referenced(value: Any) -> Iterator[str]:
    """The names of the steps that `{"Get": "Steps.X..."}` and `{"Std:JsonGet": ...}` inside a value refer to."""
    if isinstance(value, dict):
        target = value.get("Get")
        if isinstance(target, str) and target.startswith("Steps."):
            yield target.split(".")[1].split("[")[0]
        for item in value.values():
            yield from _referenced(item)
    elif isinstance(value, list):
        for item in value:
            yield from _referenced(item)


def _without_implied(listed: list[Step]) -> list[Step]:
    waits = {step.name: set(step.waits_for) for step in listed}

    def before(name: str, seen: set[str]) -> set[str]:
        for earlier in waits.get(name, set()) - seen:
            seen.add(earlier)
            before(earlier, seen)
        return seen

    reduced = []
    for step in listed:
        implied = set().union(*(before(earlier, set()) for earlier in step.waits_for)) if step.waits_for else set()
        direct = {name: branch for name, branch in step.waits_for.items() if name not in implied or branch}
        reduced.append(Step(step.name, step.type, step.title, step.description, step.arguments, direct))
    return reduced
