"""The checks of the state machines: what is deployed passes, and planted faults are found, each as it is put."""

import json
from typing import Any

import pytest

from pipelines.authoring import committed, workflows
from pipelines.authoring.parameters import PARAMETERS
from pipelines.checks import asl, dataflow, integrations
from pipelines.checks.intrinsics import BadExpression, Call, Filter, Path, parse
from pipelines.checks.state_machine import CHECKS, check
from tests.support import planted
from tests.support.planted import FAULTS

MACHINES: dict[str, asl.Machine] = {name: json.loads(committed.machine(name)) for name in workflows.WORKFLOWS}

# A machine for the planted faults, which does not change with the project's own.
MACHINE: asl.Machine = json.loads(planted.MACHINE.read_text())


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_deployed_passes(name: str) -> None:
    assert check(MACHINES[name]) == []


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_checks_something(name: str) -> None:
    assert list(CHECKS[name](MACHINE)) != []


@pytest.mark.parametrize("fault", FAULTS["machine"], ids=planted.name)
def test_a_planted_fault_is_found_where_it_is(fault: planted.Fault) -> None:
    expected = planted.wanted(fault)
    assert planted.cut(check(planted.spoil(MACHINE, fault)), expected) == expected


def test_what_starts_the_pipeline_hands_over_parameters_that_it_has() -> None:
    declared = [parameter.name for parameter in PARAMETERS]
    without = [name for name in declared if name != "CutOff"]

    assert [
        each for findings in integrations.pipeline_parameters(MACHINES["retrain"], declared) for each in findings
    ] == []
    found = [each for findings in integrations.pipeline_parameters(MACHINES["retrain"], without) for each in findings]
    expected = ["States.Parameters.Output.parameters: no parameter 'CutOff'"]
    assert planted.cut(found, expected) == expected


def test_placeholders_and_substitutions_are_the_same() -> None:
    machine = {"States": {"A": {"Parameters": {"Topic": "${TopicArn}", "Text": "in ${Region}"}}}}

    assert list(asl.placeholders(machine, {"TopicArn", "Region"})) == [[], []]
    assert [each for findings in asl.placeholders(machine, {"TopicArn", "Zone"}) for each in findings] == [
        "${Region}: not among the template's DefinitionSubstitutions (have: TopicArn, Zone)",
        "${Zone}: the template fills in what the machine does not have",
    ]


# --- Expressions ----------------------------------------------------------------------------------


READ = {
    "$": Path("$", ()),
    "$.a.b-c['d e'][0]": Path("$", ("a", "b-c", "d e", 0)),
    "$.a[*].b": Path("$", ("a", Filter(()), "b")),
    "$.a[?(@.s=='x' || @.n > 2)].b": Path("$", ("a", Filter((("s", "x"), ("n", None))), "b")),
    "$$.Execution.Id": Path("$$", ("Execution", "Id")),
    "States.UUID()": Call("States.UUID", ()),
    "States.Array($.a, 'it\\'s', -1.5, null)": Call("States.Array", (Path("$", ("a",)), "'it\\'s'", "-1.5", "null")),
    "States.Format( '\\{}\\ {}' , States.ArrayLength($.a[0].b) )": Call(
        "States.Format", ("'\\{}\\ {}'", Call("States.ArrayLength", (Path("$", ("a", 0, "b")),)))
    ),
}


@pytest.mark.parametrize("text", READ)
def test_an_expression_is_read(text: str) -> None:
    assert parse(text) == READ[text]


REFUSED = {
    "a.b": "'a.b' is neither a path nor a function",
    "$.a..b": "'$.a..b' is not a path (at '..b')",
    "$.a[?(@.s ~ 'x')]": "\"@.s ~ 'x'\" is no comparison of a member with a literal",
    "$$.Execution.Owner": "'$$.Execution.Owner' is not in the context object",
    "States.UUID(1)": "States.UUID takes 0, not 1",
    "States.MathRandom(1)": "States.MathRandom takes 2 to 3, not 1",
    "States.Array(1) + 1": "' + 1' follows the function's end",
    "States.Array(1 2)": "expected , or ) at '2)'",
    "States.Format('{} {}', 1)": "States.Format has 2 places for 1 values",
    "States.ArrayLength(" * 11 + "1" + ")" * 11: "functions nested more than 10 deep",
}


@pytest.mark.parametrize("text", REFUSED)
def test_an_expression_that_step_functions_would_not_read_is_refused(text: str) -> None:
    with pytest.raises(BadExpression) as refused:
        parse(text)
    assert str(refused.value) == REFUSED[text]


# --- What is known where --------------------------------------------------------------------------


def machine(**states: Any) -> asl.Machine:
    return {"StartAt": next(iter(states)), "States": states}


def test_after_a_join_only_what_both_ways_have_made_is_known() -> None:
    made = {"Parameters": {"x": 1, "y": 2}}
    joined = machine(
        Which={"Type": "Choice", "Choices": [{"Variable": "$.go", "IsPresent": True, "Next": "A"}], "Default": "B"},
        A={"Type": "Pass", **made, "ResultPath": "$.a", "Next": "End"},
        B={"Type": "Pass", "Parameters": {"y": 2, "z": 3}, "ResultPath": "$.a", "Next": "End"},
        End={"Type": "Succeed"},
    )
    assert dataflow.reach(joined, inputs=["go"])["End"] == {"go": None, "a": {"y": None}}


def test_a_result_without_a_place_takes_the_place_of_everything() -> None:
    replaced = machine(
        A={"Type": "Pass", "Parameters": {"x": 1}, "ResultPath": "$.a", "Next": "B"},
        B={"Type": "Pass", "Parameters": {"y.$": "$.a.x"}, "Next": "C"},
        C={"Type": "Pass", "Parameters": {"z.$": "$.a.x"}, "End": True},
    )
    found = [each for findings in dataflow.references(replaced) for each in findings]
    assert found == ["States.C.Parameters.z.$: no 'a' on every transition here (have: y)"]


def test_a_loop_knows_what_was_known_before_it() -> None:
    looped = machine(
        A={"Type": "Pass", "Parameters": {"x": 1}, "ResultPath": "$.a", "Next": "B"},
        B={"Type": "Pass", "Parameters": {"y.$": "$.a.x"}, "ResultPath": "$.b", "Next": "C"},
        C={"Type": "Choice", "Choices": [{"Variable": "$.b.y", "NumericEquals": 1, "Next": "B"}], "Default": "D"},
        D={"Type": "Succeed"},
    )
    assert [each for findings in dataflow.references(looped) for each in findings] == []
    assert dataflow.reach(looped)["B"] == {"a": {"x": None}}
