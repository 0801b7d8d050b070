"""A pipeline definition as a graph: its steps, what each waits for, and what is wrong with it.

A definition is the JSON that SageMaker stores. A step waits for the steps it names in DependsOn, for those whose
results it refers to (`{"Get": "Steps.X..."}`), and, inside a condition's branch, for that condition.
"""

import graphlib
import json
from collections.abc import Iterator
from typing import Any

Step = dict[str, Any]
BRANCHES = ("IfSteps", "ElseSteps")


def steps(definition: dict[str, Any]) -> Iterator[Step]:
    """Every step in the order of the definition, those in the branches of conditions included."""
    for step, _ in _placed(definition.get("Steps", []), None):
        yield step


def branches(definition: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Step name -> (condition step, "IfSteps" or "ElseSteps") for the steps inside branches."""
    placed = _placed(definition.get("Steps", []), None)
    return {step["Name"]: place for step, place in placed if place is not None}


def _placed(listed: list[Step], place: tuple[str, str] | None) -> Iterator[tuple[Step, tuple[str, str] | None]]:
    for step in listed:
        yield step, place
        if step.get("Type") == "Condition":
            for branch in BRANCHES:
                yield from _placed(step["Arguments"].get(branch, []), (step["Name"], branch))


def dependencies(definition: dict[str, Any]) -> dict[str, set[str]]:
    """Step name -> the names of the steps it waits for."""
    inside = branches(definition)
    result: dict[str, set[str]] = {}
    for step in steps(definition):
        waits = set(step.get("DependsOn", []))
        waits |= {path.split(".")[1] for _, path in references(without_branches(step)) if path.startswith("Steps.")}
        if step["Name"] in inside:
            waits.add(inside[step["Name"]][0])
        result[step["Name"]] = waits
    return result


def without_branches(step: Step) -> Step:
    """The step without the steps in its branches, which have references of their own."""
    if step.get("Type") != "Condition":
        return step
    arguments = {key: value for key, value in step["Arguments"].items() if key not in BRANCHES}
    return {**step, "Arguments": arguments}


def references(value: Any, address: str = "") -> Iterator[tuple[str, str]]:
    """(address, path) of every `{"Get": path}` inside a value."""
    if isinstance(value, dict):
        if set(value) == {"Get"} and isinstance(value["Get"], str):
            yield address, value["Get"]
            return
        for key, item in value.items():
            yield from references(item, f"{address}.{key}" if address else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from references(item, f"{address}[{index}]")


def order(definition: dict[str, Any]) -> list[str]:
    """The step names, each after those it waits for; raises graphlib.CycleError on a cycle."""
    return list(graphlib.TopologicalSorter(dependencies(definition)).static_order())


def problems(definition: Any, supported: set[str] | None = None) -> Iterator[str]:
    """What is wrong with a definition's structure, each with its JSON address."""
    if not isinstance(definition, dict) or not isinstance(definition.get("Steps"), list):
        yield "Steps: a definition is a JSON object with a list of steps"
        return
    try:
        found = list(steps(definition))
        conditional = [
            each["Name"] for each in found if not all(isinstance(on, str) for on in each.get("DependsOn", []))
        ]
        if conditional:
            yield f"Steps.{conditional[0]}.DependsOn: only names of steps are offered here, not objects with a Trigger"
            return
        names = [step["Name"] for step in found]
        waits = dependencies(definition)
        declared = {parameter.get("Name") for parameter in definition.get("Parameters", [])}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        yield f"malformed ({type(error).__name__}: {error}): a step or a parameter"
        return
    failing = {step["Name"] for step in found if step.get("Type") == "Fail"}
    yield from _name_problems(names)
    for step in found:
        address = f"Steps.{step['Name']}"
        if supported is not None and step.get("Type") not in supported:
            known = ", ".join(sorted(supported))
            yield f"{address}.Type: {step.get('Type')!r} cannot be run here (have: {known})"
        yield from _reference_problems(step, address, names, declared, failing)
    if all(waits[name] <= set(names) for name in waits):
        try:
            order(definition)
        except graphlib.CycleError as error:
            yield "Steps: a cycle: " + " -> ".join(error.args[1])


def _name_problems(names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Steps.{name}: the name stands for {names.count(name)} steps"


def _reference_problems(
    step: Step, address: str, names: list[str], declared: set[Any], failing: set[str]
) -> Iterator[str]:
    for name in step.get("DependsOn", []):
        if name in failing:
            yield f"{address}.DependsOn: {step['Name']} can not depends on {name}, which is a Fail step"
        if name not in names:
            yield f"{address}.DependsOn: no step {name!r} (have: {', '.join(names)})"
    for where, path in references(without_branches(step)):
        kind, _, rest = path.partition(".")
        target = rest.split(".")[0].split("[")[0]
        if kind == "Steps" and target not in names:
            yield f"{address}.{where}: no step {target!r} (have: {', '.join(names)})"
        if kind == "Parameters" and target not in declared:
            have = ", ".join(sorted(str(name) for name in declared))
            yield f"{address}.{where}: no parameter {target!r} (have: {have})"
        if kind not in ("Steps", "Parameters", "Execution"):
            yield f"{address}.{where}: {path!r} begins with neither Parameters, Execution nor Steps"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
