"""Static checks of a state machine: fields, transitions, choices and expressions.

The rules are those of the Amazon States Language (https://states-language.net/spec.html). integrations.py checks the
requests of tasks, dataflow.py checks which results a state can read.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from localaws.sagemaker.expressions import suggestion
from pipelines.checks import Findings, jsonata
from pipelines.checks.intrinsics import BadExpression, parse, path, reference

State = dict[str, Any]
Machine = dict[str, Any]

MACHINE_FIELDS = {"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"}
_ALL = {"Type", "Comment"}
_IO = {"InputPath", "OutputPath"}
_ON = {"Next", "End"}
FIELDS = {
    "Task": _ALL
    | _IO
    | _ON
    | {"Resource", "Parameters", "ResultSelector", "ResultPath", "Retry", "Catch", "Credentials", "QueryLanguage"}
    | {"TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath"},
    "Pass": _ALL | _IO | _ON | {"Result", "Parameters", "ResultPath"},
    "Choice": _ALL | _IO | {"Choices", "Default"},
    "Wait": _ALL | _IO | _ON | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Map": _ALL
    | _IO
    | _ON
    | {"ItemsPath", "ItemSelector", "ItemProcessor", "MaxConcurrency", "Label", "ResultPath", "Retry", "Catch"},
    "Succeed": _ALL | _IO,
    "Fail": _ALL | {"Error", "ErrorPath", "Cause", "CausePath"},
}
# A state's own fields where its query language is JSONata.
# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
JSONATA = {"Arguments", "Output"}
JSONPATH = _IO | {"Parameters", "ResultSelector", "ResultPath", "TimeoutSecondsPath", "HeartbeatSecondsPath"}
TERMINAL = ("Succeed", "Fail")

_COMPARED = {"String": str, "Numeric": (int, float), "Timestamp": str}
OPERATORS: dict[str, Any] = {
    f"{kind}{comparison}": python
    for kind, python in _COMPARED.items()
    for comparison in ("Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals")
}
OPERATORS |= {f"{name}Path": "path" for name in OPERATORS}
OPERATORS |= {"StringMatches": str, "BooleanEquals": bool, "BooleanEqualsPath": "path"}
OPERATORS |= {f"Is{kind}": bool for kind in ("Null", "Present", "Numeric", "String", "Boolean", "Timestamp")}

RETRY_FIELDS = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
CATCH_FIELDS = {"ErrorEquals", "Next", "ResultPath", "Output"}
ERRORS = (
    "States.ALL",
    "States.DataLimitExceeded",
    "States.HeartbeatTimeout",
    "States.IntrinsicFailure",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.ResultPathMatchFailure",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
)


def fields(machine: Machine) -> Findings:
    """Only known fields and types of state; the machine has a time limit."""
    yield [f"{each}: unknown field" for each in machine if each not in MACHINE_FIELDS] + [
        f"{each}: required, but missing" for each in ("StartAt", "States", "TimeoutSeconds") if each not in machine
    ]
    for name, state in machine["States"].items():
        known = fields_of(state)
        if known is None:
            yield [f"States.{name}.Type: no type {state.get('Type')!r} ({suggestion(str(state.get('Type')), FIELDS)})"]
            continue
        found = [f"States.{name}.{each}: a {state['Type']} has no such field" for each in state if each not in known]
        if not 0 < len(name) <= 80:
            found.append(f"States.{name}: a name has 1 to 80 characters")
        if state["Type"] == "Wait" and len(state.keys() & (FIELDS["Wait"] - _ALL - _IO - _ON)) != 1:
            found.append(f"States.{name}: waits for exactly one of Seconds, SecondsPath, Timestamp, TimestampPath")
        yield found


def processors(machine: Machine) -> Iterator[tuple[State, Machine]]:
    """(state, the machine of its items) of every Map."""
    for state in machine["States"].values():
        if state.get("Type") == "Map":
            inner = {name: value for name, value in state.get("ItemProcessor", {}).items() if name != "ProcessorConfig"}
            yield state, {"TimeoutSeconds": machine.get("TimeoutSeconds"), "StartAt": "", "States": {}, **inner}


def fields_of(state: State) -> set[str] | None:
    """The fields that a state may have in its language; None for an unknown type."""
    known = FIELDS.get(state.get("Type", ""))
    return known if known is None or not uses_jsonata(state) else (known - JSONPATH) | JSONATA | {"QueryLanguage"}


def uses_jsonata(state: State) -> bool:
    """Whether the state's query language is JSONata (`{% ... %}`); the machine's default is JSONPath."""
    return bool(state.get("QueryLanguage") == "JSONata")


def targets(state: State) -> Iterator[tuple[str, str]]:
    """(address in the state, name) of every state that may follow."""
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for field in ("Choices", "Catch"):
        for index, each in enumerate(state.get(field, [])):
            if "Next" in each:
                yield f"{field}[{index}].Next", each["Next"]


def transitions(machine: Machine) -> Findings:
    """Every target exists, every state is reachable, and every state can reach an end."""
    states: Mapping[str, State] = machine["States"]
    for name, state in states.items():
        found = [
            f"States.{name}.{where}: no state {target!r} ({suggestion(target, states)})"
            for where, target in targets(state)
            if target not in states
        ]
        if state.get("Type") not in (*TERMINAL, "Choice") and ("Next" in state) == (state.get("End") is True):
            found.append(f"States.{name}: has exactly one of Next and End")
        yield found
    start = machine.get("StartAt", "")
    if start not in states:
        yield [f"StartAt: no state {start!r} ({suggestion(start, states)})"]
        return
    after = {name: {target for _, target in targets(state) if target in states} for name, state in states.items()}
    before = {name: {other for other in after if name in after[other]} for name in states}
    ends = {name for name, state in states.items() if state.get("Type") in TERMINAL or state.get("End") is True}
    unreachable, endless = states.keys() - _closure({start}, after), states.keys() - _closure(ends, before)
    yield [f"States: not reachable from {start}: {', '.join(sorted(unreachable))}"] if unreachable else []
    yield [f"States: no end is reachable from {', '.join(sorted(endless))}"] if endless else []


def _closure(names: set[str], steps: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    while names:
        found |= names
        names = set().union(*(steps[name] for name in names)) - found
    return found


def choices(machine: Machine) -> Findings:
    """Every choice has a default, and its rules are well formed."""
    for name, state in machine["States"].items():
        if state.get("Type") != "Choice":
            continue
        yield [] if "Default" in state else [f"States.{name}.Default: missing, so an unexpected value fails the run"]
        for index, rule in enumerate(state.get("Choices", [])):
            address = f"States.{name}.Choices[{index}]"
            missing = [] if "Next" in rule else [f"{address}.Next: required, but missing"]
            yield missing + list(_rule(rule, address))


def _rule(rule: Mapping[str, Any], address: str) -> Iterator[str]:
    for combined in ("And", "Or", "Not"):
        if combined in rule:
            inner = rule[combined] if combined != "Not" else [rule[combined]]
            for index, each in enumerate(inner):
                yield from _rule(each, f"{address}.{combined}[{index}]")
            return
    if "Variable" not in rule:
        yield f"{address}.Variable: required, but missing"
    given = [each for each in rule if each not in ("Variable", "Next", "Comment")]
    if len(given) != 1:
        yield f"{address}: has exactly one comparison, not {len(given)}"
    for each in given:
        if each not in OPERATORS:
            yield f"{address}.{each}: no such comparison ({suggestion(each, OPERATORS)})"
        elif OPERATORS[each] == "path":
            yield from _bad(rule[each], path, f"{address}.{each}")
        elif not isinstance(rule[each], OPERATORS[each]) or (
            isinstance(rule[each], bool) and OPERATORS[each] is not bool
        ):
            yield f"{address}.{each}: {rule[each]!r} is of the wrong type for this comparison"


def expressions(machine: Machine) -> Findings:
    """Every path and function parses, and none is in a field that takes it literally."""
    for name, state in machine["States"].items():
        address = f"States.{name}"
        for field in (
            "InputPath",
            "ItemsPath",
            "OutputPath",
            "SecondsPath",
            "TimestampPath",
            "TimeoutSecondsPath",
            "ErrorPath",
            "CausePath",
        ):
            if state.get(field) is not None:
                yield list(_bad(state[field], path, f"{address}.{field}"))
        if state.get("ResultPath") is not None:
            yield list(_bad(state["ResultPath"], reference, f"{address}.ResultPath"))
        for index, each in enumerate(state.get("Catch", [])):
            if each.get("ResultPath") is not None:
                yield list(_bad(each["ResultPath"], reference, f"{address}.Catch[{index}].ResultPath"))
        for index, each in enumerate(state.get("Choices", [])):
            if "Variable" in each:
                yield list(_bad(each["Variable"], path, f"{address}.Choices[{index}].Variable"))
        for field in ("Parameters", "ItemSelector", "ResultSelector"):
            for where, text, dynamic in template_texts(state.get(field), f"{address}.{field}"):
                if dynamic:
                    yield list(_bad(text, parse, where))
                elif re.match(r"\$\$?[.\[]|States\.[A-Z]\w+\(", text):
                    yield [f"{where}: {text!r} is a literal text here; the field's name must end in .$"]
        if uses_jsonata(state):
            for field in ("Arguments", "Output", "Catch"):
                yield list(jsonata.problems(state.get(field), f"{address}.{field}"))


def template_texts(value: Any, address: str, dynamic: bool = False) -> Iterator[tuple[str, str, bool]]:
    """(address, text, whether it is an expression) of every text in a payload template."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from template_texts(item, f"{address}.{name}", name.endswith(".$"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from template_texts(item, f"{address}[{index}]")
    elif isinstance(value, str):
        yield address, value, dynamic


def _bad(text: Any, read: Any, address: str) -> Iterator[str]:
    try:
        read(str(text))
    except BadExpression as error:
        yield f"{address}: {error}"


def resilience(machine: Machine, *, of_items: bool = False) -> Findings:
    """Every task has a time limit, a Retry and a Catch, whose error names exist; of a Map's tasks the Map has it.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    of_tasks = ("Retry", "TimeoutSeconds") if of_items else ("Retry", "Catch", "TimeoutSeconds")
    wanted = {"Task": of_tasks, "Map": ("Catch",)}
    for _, inner in processors(machine):
        yield from resilience(inner, of_items=True)
    for name, state in machine["States"].items():
        if state.get("Type") not in wanted:
            continue
        address = f"States.{name}"
        yield [
            f"{address}.{each}: missing, so the task may hang or its failure end the execution without a notification"
            for each in wanted[state["Type"]]
            if not state.get(each)
        ]
        for index, each in enumerate(state.get("Retry", [])):
            yield list(_handler(each, RETRY_FIELDS, f"{address}.Retry[{index}]", last=index == len(state["Retry"]) - 1))
        for index, each in enumerate(state.get("Catch", [])):
            yield list(_handler(each, CATCH_FIELDS, f"{address}.Catch[{index}]", last=index == len(state["Catch"]) - 1))


def _handler(handler: Mapping[str, Any], known: set[str], address: str, last: bool) -> Iterator[str]:
    yield from (f"{address}.{each}: unknown field" for each in handler if each not in known)
    errors = handler.get("ErrorEquals") or []
    if not errors:
        yield f"{address}.ErrorEquals: required, but missing"
    for error in errors:
        if error.startswith("States.") and error not in ERRORS:
            yield f"{address}.ErrorEquals: no error {error!r} ({suggestion(error, ERRORS)})"
    if "States.ALL" in errors and (len(errors) > 1 or not last):
        yield f"{address}.ErrorEquals: States.ALL stands alone and last"
    for field, least, most in (("IntervalSeconds", 1, 99999999), ("MaxAttempts", 0, 99999999), ("BackoffRate", 1, 1e9)):
        if not least <= handler.get(field, least) <= most:
            yield f"{address}.{field}: {handler[field]} is out of range"
    if handler.get("JitterStrategy", "FULL") not in ("FULL", "NONE"):
        yield f"{address}.JitterStrategy: {handler['JitterStrategy']!r} is neither FULL nor NONE"


def placeholders(machine: Machine, substitutions: set[str]) -> Findings:
    """The `${Placeholders}` are exactly those that the template fills in."""
    texts = [text for _, text, _ in template_texts(machine, "")]
    used = {name for text in texts for name in re.findall(r"\$\{(\w+)\}", text)}
    known = sorted(substitutions)
    for name in sorted(used | substitutions):
        if name not in substitutions:
            yield [f"${{{name}}}: not among the template's DefinitionSubstitutions ({suggestion(name, known)})"]
        else:
            yield [] if name in used else [f"${{{name}}}: the template fills in what the machine does not have"]
