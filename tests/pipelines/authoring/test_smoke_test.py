"""The comparison of the smoke test, evaluated as it stands in the state machine: which answers are wrong."""

import json
from typing import Any

import jsonata
import pytest

from pipelines.authoring import workflows

EXPECTED = [{"ibu": 45.0}, {"ibu": 47.0}]


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
    expression = jsonata.Jsonata(json.loads(workflows.definition("deploy"))["States"]["SmokeTest"]["Output"][2:-2])
    frame = expression.create_frame()
    frame.bind("states", {
        "input": {"smoke": {"predictions": expected, "tolerance": {"absolute": 0.1, "relative": 0.001}}},
        "result": {"Body": {"predictions": answered, "model_version": 3}},
    })  # fmt: skip
    frame.bind("parse", jsonata.Jsonata.jsonata("function($body) { $body }").evaluate(None))
    output = expression.evaluate(None, frame)
    assert (output["wrong"], output["answered"]) == (wrong, "3")
