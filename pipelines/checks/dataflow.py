"""Data flow of a state machine: every path that a state reads exists on all transitions that lead to the state.

ResultPath, Output and Catch are followed along all transitions; the intersection at a state is what it can read. Step
Functions itself reports a missing path only at run time (States.ParameterPathFailure).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from localaws.sagemaker.expressions import suggestion
from pipelines.checks import Findings, jsonata
from pipelines.checks.asl import Machine, State, processors, targets, template_texts, uses_jsonata
from pipelines.checks.integrations import selection
from pipelines.checks.intrinsics import BadExpression, Path, parse, paths

# Top-level name -> its members (name -> botocore shape, or None) where they are known, else None.
Known = dict[str, dict[str, Any] | None]


def references(machine: Machine, inputs: Collection[str] = ()) -> Findings:
    """Every path in a state exists on every transition to it. inputs: names in the execution's input."""
    known = reach(machine, inputs)
    for each, inner in processors(machine):
        yield from references(inner, [name.removesuffix(".$") for name in each.get("ItemSelector", {})])
    for name, state in machine["States"].items():
        if name not in known:
            continue
        for where, found in _paths(state):
            problem = _unknown(found, known[name])
            yield [f"States.{name}.{where}: {problem}"] if problem else []
        for index, rule in enumerate(state.get("Choices", [])):
            yield list(_never_equal(rule, known[name], f"States.{name}.Choices[{index}]"))


def reach(machine: Machine, inputs: Collection[str] = ()) -> dict[str, Known]:
    """State name -> what is known when it begins, for every state that can be reached."""
    states: Mapping[str, State] = machine["States"]
    known: dict[str, Known] = {machine["StartAt"]: dict.fromkeys(inputs)} if machine["StartAt"] in states else {}
    waiting = list(known)
    while waiting:
        name = waiting.pop()
        for target, after in _successors(states[name], known[name]):
            if target not in states:
                continue
            met = after if target not in known else _common(known[target], after)
            if target not in known or met != known[target]:
                known[target] = met
                waiting.append(target)
    return known


def _successors(state: State, before: Known) -> Iterator[tuple[str, Known]]:
    done = before
    if state.get("Type") == "Pass" and state.keys() & {"Parameters", "Result"}:
        made = state.get("Parameters", state.get("Result"))
        members = {each.removesuffix(".$"): None for each in made} if isinstance(made, dict) else None
        done = _placed(before, state.get("ResultPath", "$"), members)
    elif uses_jsonata(state):
        done = _output(state.get("Output", ""), before)
    elif state.get("Type") == "Map":
        done = _placed(before, state.get("ResultPath", "$"), None)
    elif state.get("Type") == "Task":
        done = _placed(before, state.get("ResultPath", "$"), selection(state))
    for where, target in targets(state):
        if where.startswith("Catch"):
            handler = state["Catch"][int(where[len("Catch[") : where.index("]")])]
            if uses_jsonata(state):
                yield target, _output(handler.get("Output", ""), before)
            else:
                yield target, _placed(before, handler.get("ResultPath", "$"), {"Error": None, "Cause": None})
        else:
            yield target, done


def _output(text: str, before: Known) -> Known:
    if text == "{% $states.input %}":
        return before
    made = jsonata.output(text)
    new = {name: None if members is None else dict.fromkeys(members) for name, members in made.members.items()}
    return {**(before if made.keeps_input else {}), **new}


def _placed(before: Known, result_path: str | None, members: dict[str, Any] | None) -> Known:
    if result_path is None:
        return before
    if result_path == "$":
        return dict.fromkeys(members) if members else {}
    first, *rest = result_path.removeprefix("$.").split(".")
    return {**before, first: None if rest else members}


def _common(one: Known, other: Known) -> Known:
    result: Known = {}
    for name in one.keys() & other.keys():
        mine, theirs = one[name], other[name]
        if mine is None or theirs is None:
            result[name] = None
        else:
            shared = mine.keys() & theirs.keys()
            result[name] = {key: mine[key] if mine[key] is theirs[key] else None for key in shared}
    return result


def _paths(state: State) -> Iterator[tuple[str, Path]]:
    for field in ("InputPath", "ItemsPath", "OutputPath", "SecondsPath", "TimestampPath", "ErrorPath", "CausePath"):
        if isinstance(state.get(field), str):
            yield from _read(field, state[field])
    for made in ("Parameters", "ItemSelector"):
        for where, text, dynamic in template_texts(state.get(made), made):
            if dynamic:
                yield from _read(where, text)
    for index, rule in enumerate(state.get("Choices", [])):
        for field, value in rule.items():
            if field == "Variable" or field.endswith("Path"):
                yield from _read(f"Choices[{index}].{field}", value)
    for field in ("Arguments", "Output"):
        for where, names in jsonata.inputs(state.get(field), field):
            yield where, Path("$", tuple(names))


def _read(where: str, text: str) -> Iterator[tuple[str, Path]]:
    try:
        yield from ((where, each) for each in paths(parse(text)) if each.root == "$" and each.parts)
    except BadExpression:
        # The check of expressions reports it.
        return


def _unknown(found: Path, known: Known) -> str | None:
    first, *rest = found.parts
    if first not in known:
        return f"no {first!r} on every transition here ({suggestion(str(first), sorted(known))})"
    members = known[str(first)]
    if members is not None and rest and isinstance(rest[0], str) and rest[0] not in members:
        return f"no {rest[0]!r} in $.{first} ({suggestion(rest[0], sorted(members))})"
    return None


def _never_equal(rule: Mapping[str, Any], known: Known, address: str) -> Iterator[str]:
    if not isinstance(rule.get("StringEquals"), str):
        return
    for _, found in _read("", rule.get("Variable", "")):
        members = known.get(str(found.parts[0])) or {}
        shape = members.get(str(found.parts[1])) if len(found.parts) == 2 else None
        allowed = shape.metadata.get("enum") if shape is not None else None
        wanted = rule["StringEquals"]
        if allowed and wanted not in allowed:
            yield f"{address}.StringEquals: never {wanted!r} ({suggestion(wanted, allowed)})"
