"""A pipeline's definition as a graph and its picture."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from console import definition, graph
from pipelines.authoring import committed
from pipelines.authoring.settings import Settings

ROOT = Path(__file__).parents[2]
REAL = json.loads(committed.definition(Settings()))
NESTED = {
    "Steps": [
        {"Name": "A", "Type": "Processing", "Arguments": {}},
        {"Name": "B", "Type": "Training", "Arguments": {"Input": {"Get": "Steps.A.Outputs['x'].Uri"}}},
        {
            "Name": "C",
            "Type": "Condition",
            "DependsOn": ["A"],
            "Arguments": {
                "Conditions": [{"LeftValue": {"Get": "Steps.B.Metric"}, "RightValue": 1}],
                "IfSteps": [
                    {
                        "Name": "D",
                        "Type": "Condition",
                        "Arguments": {"IfSteps": [{"Name": "E", "Type": "Fail", "Arguments": {}}], "ElseSteps": []},
                    }
                ],
                "ElseSteps": [{"Name": "F", "Type": "Model", "Arguments": {"X": {"Get": "Steps.A.Y"}}}],
            },
        },
    ]
}


def waits(found: dict[str, object]) -> dict[str, dict[str, str]]:
    return {step.name: step.waits_for for step in definition.steps(found)}


def test_a_step_waits_for_what_it_names_refers_to_and_is_inside_of_and_implied_waits_are_left_out() -> None:
    assert waits(NESTED) == {
        "A": {},
        "B": {"A": ""},
        "C": {"B": ""},
        "D": {"C": "true"},
        "E": {"D": "true"},
        "F": {"C": "false"},
    }


def test_the_projects_own_graph_is_a_line_that_ends_in_a_choice() -> None:
    assert waits(REAL)["Train"] == {"Preprocess": ""}
    assert {name: list(before.values()) for name, before in waits(REAL).items() if any(before.values())} == {
        "Register-RegisterModel": ["true"],
        "Reject": ["false"],
    }


def test_every_step_stands_below_all_that_it_waits_for_and_no_two_at_one_place() -> None:
    steps = definition.steps(NESTED)
    places = graph.layout(steps)
    assert all(places[earlier].y < places[step.name].y for step in steps for earlier in step.waits_for)
    assert len(set(places.values())) == len(steps)


def test_a_cycle_is_drawn_rather_than_followed_without_end() -> None:
    cycle = {"Steps": [{"Name": "A", "Type": "X", "DependsOn": ["B"]}, {"Name": "B", "Type": "X", "DependsOn": ["A"]}]}
    assert len(graph.layout(definition.steps(cycle))) == 2


def test_a_picture_is_xml_that_names_steps_statuses_and_labels_and_escapes_them() -> None:
    marks = {"A": graph.Mark("Failed", "Failed <1 s", "/a?b=1&c=2")}
    picture = ElementTree.fromstring(
        graph.svg(definition.steps(NESTED), marks, {("A", "B"): "3 < 4 rows"}, standalone=True)
    )
    texts = [text for each in picture.iter("{http://www.w3.org/2000/svg}text") for text in each.itertext()]
    assert {"A", "B", "C", "D", "E", "F", "✗ Failed <1 s", "3 < 4 rows", "true", "false"} <= set(texts)
    assert [each.get("href") for each in picture.iter("{http://www.w3.org/2000/svg}a")] == ["/a?b=1&c=2"]


def test_the_picture_in_the_readme_is_that_of_the_definition() -> None:
    # If not: make generate
    assert (ROOT / "docs" / "pipeline.svg").read_text() == graph.svg(definition.steps(REAL), standalone=True) + "\n"
