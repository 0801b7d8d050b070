"""Expressions of the state machine deploy as they stand in it: wrong answers, usable packages, the canary."""

import json
from typing import Any

import jsonata
import pytest

from pipelines.authoring import workflows

EXPECTED = [{"ibu": 45.0}, {"ibu": 47.0}]


def evaluated(text: str, given: dict[str, Any], result: Any = None) -> Any:
    """The value of a field `{% ... %}`."""
    expression = jsonata.Jsonata(text.removeprefix("{%").removesuffix("%}"))
    frame = expression.create_frame()
    frame.bind("states", {"input": given, "result": result})
    frame.bind("parse", jsonata.Jsonata.jsonata("function($body) { $body }").evaluate(None))
    return expression.evaluate(None, frame)


def state(name: str) -> Any:
    """A state as it is deployed, with its substitutions."""
    return json.loads(workflows.definition("deploy"))["States"][name]


@pytest.mark.parametrize(
    ("expected", "answered", "wrong"),
    [
        (EXPECTED, [{"ibu": 45.1}, {"ibu": 46.9}], 0),
        (EXPECTED, [{"ibu": 45.0}, {"ibu": 80.0}], 1),
        (EXPECTED, [{"ibu": 45.0}], 1),
        (EXPECTED, [], 2),
        (EXPECTED, [{"error": "no"}, {"error": "no"}], 2),
        (EXPECTED, [{"ibu": None}, {"ibu": "47"}], 2),
        (EXPECTED, None, 2),
        ([], [], 1),
    ],
)
def test_an_answer_without_a_number_and_a_test_without_answers_fail(
    expected: list[Any], answered: list[Any] | None, wrong: int
) -> None:
    given = {"smoke": {"predictions": expected, "tolerance": {"absolute": 0.1, "relative": 0.001}}}
    answer = {"Body": {"predictions": answered, "model_version": 3}}
    output = evaluated(state("SmokeTest")["Output"], given, answer)
    assert (output["wrong"], output["answered"]) == (wrong, "3")


@pytest.mark.parametrize(
    ("status", "event", "tried", "stop", "usable"),
    [
        ("", "", [], False, True),
        ("Serving", "", [], False, True),
        ("Serving", "", ["name"], False, False),
        ("Replaced", "", ["another"], False, True),
        ("Replaced", "", ["another"], True, False),
        ("Failed", "", [], False, False),
        ("Failed", "arn", [], False, True),
        ("Failed", "arn", ["name"], False, False),
    ],
)
def test_a_package_is_usable_unless_it_has_failed_or_the_one_that_serves_has(
    status: str, event: str, tried: list[str], stop: bool, usable: bool
) -> None:
    package = {"name": "name", "arn": "arn", "status": status, "event": "an earlier one"}
    given = {"package": package, "event": {"package": event, "id": "this"}, "tried": tried, "stop": stop}
    assert evaluated(state("CandidateUse")["Output"], given)["use"] is usable


@pytest.mark.parametrize(
    ("instances", "percent", "canary"), [(2, 50, 1), (3, 50, 1), (4, 30, 1), (10, 25, 2), (2, 1, 1), (1, 50, None)]
)
def test_a_canary_is_at_least_one_instance_and_never_more_than_half_of_them(
    instances: int, percent: int, canary: int | None
) -> None:
    policy = state("UpdateInstances")["Arguments"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    given = {"settings": {"InstanceCount": instances, "CanaryPercent": percent}}
    routing = evaluated(policy["TrafficRoutingConfiguration"], given)
    expected = {"Type": "INSTANCE_COUNT", "Value": canary} if canary else None
    assert (routing["Type"], routing.get("CanarySize")) == ("CANARY" if canary else "ALL_AT_ONCE", expected)
