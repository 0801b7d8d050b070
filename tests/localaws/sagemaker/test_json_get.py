"""Figures of a property file, in conditions and in any step's arguments, and what cannot be read or compared."""

import json
from typing import Any

import pytest

from benchmarks.support.definitions import WRITE, Project, compare, condition, fail, json_get
from localaws.sagemaker import graph
from localaws.sagemaker.conditions import holds
from localaws.sagemaker.expressions import UnknownReference

REPORT = """
    import sys
    (OUTPUT / 'out' / 'report.json').write_text(sys.argv[1])
"""


def report(project: Project, content: str, **members: Any) -> dict[str, Any]:
    """A step `Evaluate` whose property file `Report` has this content."""
    file = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
    return project.processing(
        "Evaluate", REPORT, outputs=("out",), arguments=(content,), PropertyFiles=[file], **members
    )


def test_conditions_read_the_property_file(project: Project) -> None:
    def figure(path: str) -> dict[str, Any]:
        return json_get("Evaluate", "Report", path)

    holding = [
        compare("GreaterThan", figure("metrics.mae.value"), 0.5),
        compare("LessThanOrEqualTo", figure("list[1].n"), 2),
        {"Type": "In", "QueryValue": figure("kind"), "Values": ["a", "b"]},
        {"Type": "Not", "Condition": compare("Equals", figure("kind"), "c")},
        {"Type": "Not", "Expression": compare("GreaterThan", 1, figure("list[1].n"))},
        {"Type": "Or", "Conditions": [compare("Equals", 1, 2), compare("Equals", figure("flag"), True)]},
    ]
    content = {"metrics": {"mae": {"value": 0.75}}, "list": [{}, {"n": 2}], "kind": "b", "flag": True}
    yes = project.processing("Yes")
    run = project.run(report(project, json.dumps(content)), condition("Check", *holding, then=(yes,)))
    assert run.statuses() == {"Evaluate": "Succeeded", "Check": "Succeeded", "Yes": "Succeeded"}


def test_a_figure_of_the_property_file_can_stand_in_any_steps_arguments(project: Project) -> None:
    def figure(path: str) -> dict[str, Any]:
        return json_get("Evaluate", "Report", path)

    words = {"Std:Join": {"On": " ", "Values": [figure("why"), figure("mae"), figure("rows"), figure("ok"), "end"]}}
    sized = project.processing("Sized", WRITE, outputs=("out",), arguments=(words,))
    sized["Arguments"]["ProcessingResources"] = {
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": figure("sizes[1]")}
    }
    train = project.training("Train", "", hyperparameters={"depth": figure("rows"), "loss": figure("why")})
    register = project.register("Register", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"})
    register["Arguments"] |= {"ModelPackageDescription": words, "CustomerMetadataProperties": {"why": figure("why")}}
    content = {"why": "naïve wins", "mae": 1e-05, "rows": 326, "ok": True, "sizes": [1, 20]}
    # In the worst order: each waits for the step that writes the file, whatever comes first.
    run = project.run(register, fail("Reject", words), train, sized, report(project, json.dumps(content)))
    assert run.statuses() == {
        "Evaluate": "Succeeded",
        "Sized": "Succeeded",
        "Train": "Succeeded",
        "Register": "Succeeded",
        "Reject": "Failed",
    }
    text = "naïve wins 1e-05 326 true end"
    assert run.reason("Reject") == text
    assert project.get(f"out/{run.arn.rpartition('/')[2]}/Sized/out/text").decode() == text
    api = project.clients.sagemaker
    jobs = {name: run.steps()[name]["Metadata"] for name in ("Sized", "Train")}
    sized_job = api.describe_processing_job(ProcessingJobName=jobs["Sized"]["ProcessingJob"]["Arn"].rpartition("/")[2])
    assert sized_job["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] == 20
    train_job = api.describe_training_job(TrainingJobName=jobs["Train"]["TrainingJob"]["Arn"].rpartition("/")[2])
    assert {name: train_job["HyperParameters"][name] for name in ("depth", "loss")} == {
        "depth": "326",
        "loss": "naïve wins",
    }
    package = api.describe_model_package(ModelPackageName=project.packages()[0]["ModelPackageArn"])
    assert package["ModelPackageDescription"] == text
    assert package["CustomerMetadataProperties"] == {"why": "naïve wins"}


def test_a_figure_that_is_not_in_the_file_fails_the_step_that_asks_for_it(project: Project) -> None:
    missing = {
        "gate.raeson": "'raeson' (have: reason)",
        "gate.reason.first": "'first' (have: nothing)",
        "list.gate": "'gate' (have: nothing)",
        "list[2]": "2 (have: 0, 1)",
    }
    asking = {
        f"Reject{number}": {"Std:Join": {"On": ": ", "Values": ["Rejected", json_get("Evaluate", "Report", path)]}}
        for number, path in enumerate(missing)
    }
    content = json.dumps({"gate": {"reason": "worse"}, "list": [1, 2]})
    steps = [fail(name, asked) for name, asked in asking.items()]
    run = project.run(report(project, content), project.processing("Apart"), *steps)
    assert run.statuses() == {"Evaluate": "Succeeded", "Apart": "Succeeded", **dict.fromkeys(asking, "Failed")}
    assert [run.reason(name) for name in asking] == [
        f"ClientError: Steps.{name}.Arguments.ErrorMessage.Std:Join.Values[1].Std:JsonGet: "
        f"no member of Evaluate's Report {found}"
        for name, found in zip(asking, missing.values(), strict=True)
    ]


def test_a_figure_is_read_from_an_address_that_is_joined_from_others(project: Project) -> None:
    # As the SDK writes a function's result.
    project.put("results/results.json", json.dumps({"Result": [3, "hops"]}))
    uri = {"Std:Join": {"On": "/", "Values": [project.uri("results"), "results.json"]}}
    run = project.run(fail("Reject", {"Std:JsonGet": {"S3Uri": uri, "Path": "Result[1]"}}))
    assert run.reason("Reject") == "hops"


def test_a_figure_asked_for_wrongly_fails_the_step_that_asks(project: Project) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Raport"}, "Path": "a"}, "no 'Raport' (have: Report)"),
        ({"PropertyFile": {"Get": "Steps.Other.PropertyFiles.Report"}, "Path": "a"}, "no 'Report' (have: )"),
        ({"PropertyFile": {"Get": "Steps.Evaluate.Outputs"}, "Path": "a"}, "is not Steps.<step>.PropertyFiles.<file>"),
        ({"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}}, "a PropertyFile or an S3Uri, and a Path"),
        ({"S3Uri": "s3://bucket/key", "Path": "a"}, "There is no object s3://bucket/key"),
        ({"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "a b"}, "'a b' is not a path"),
    ]
    asking = [
        {**fail(f"Reject{number}", {"Std:JsonGet": asked}), "DependsOn": ["Evaluate", "Other"]}
        for number, (asked, _) in enumerate(wrong)
    ]
    run = project.run(report(project, "{}"), project.processing("Other"), *asking)
    for step, (_, reason) in zip(asking, wrong, strict=True):
        found = run.reason(step["Name"])
        assert (run.statuses()[step["Name"]], found.startswith("ClientError: Steps."), reason in found) == (
            "Failed",
            True,
            True,
        ), found


def test_a_step_waits_for_the_file_it_reads_a_figure_from_and_not_in_a_circle(project: Project) -> None:
    reading = fail("Reject", {"Std:Join": {"Values": [json_get("Evaluate", "Report", "gate.reason")]}})
    evaluating = report(project, "{}")
    assert graph.dependencies({"Steps": [reading, evaluating]}) == {"Reject": {"Evaluate"}, "Evaluate": set()}
    evaluating["Arguments"]["AppSpecification"]["ContainerArguments"] = [json_get("Evaluate", "Report", "a")]
    assert list(graph.problems({"Steps": [evaluating]})) == ["Steps: a cycle: Evaluate -> Evaluate"]
    gone = fail("Reject", json_get("Evaluation", "Report", "gate.reason"))
    assert list(graph.problems({"Steps": [gone]})) == [
        "Steps.Reject.Arguments.ErrorMessage.Std:JsonGet.PropertyFile: no step 'Evaluation' (have: Reject)"
    ]


@pytest.mark.parametrize(
    ("tested", "reason"),
    [
        (compare("LessThan", float("nan"), 9), "Here: nan cannot be compared"),
        (compare("GreaterThan", float("inf"), 9), "Here: inf cannot be compared"),
        (compare("LessThan", None, 9), "Here: None LessThan 9 compares unlike types"),
        (compare("LessThan", None, None), "Here: None LessThan None cannot be compared"),
        (compare("Equals", "1", 1), "Here: '1' Equals 1 compares unlike types"),
        (compare("Equals", True, 1), "Here: True Equals 1 compares unlike types"),
        ({"Type": "In", "QueryValue": 1, "Values": ["1"]}, "Here: 1 Equals '1' compares unlike types"),
        ({"Type": "Or", "Conditions": [compare("Equals", 1, "1")]}, "Here.Conditions[0]: 1 Equals '1'"),
        ({"Type": "Like"}, "Here.Type: 'Like' is not a condition (have: Equals, "),
    ],
)
def test_what_cannot_be_compared_passes_neither_as_it_is_nor_negated(tested: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnknownReference) as caught:
        holds(tested, "Here")
    assert str(caught.value).startswith(reason)
    with pytest.raises(UnknownReference) as caught:
        holds({"Type": "Not", "Condition": tested}, "Here")
    assert str(caught.value).startswith(reason.replace("Here", "Here.Condition", 1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"mae": NaN}', "(NaN is not JSON)"),
        ('{"mae": 1e999}', "Steps.Check.Arguments.Conditions[0]: inf cannot be compared (inf LessThan 9)"),
        (
            '{"mea": 1}',
            "Steps.Check.Arguments.Conditions[0].LeftValue.Std:JsonGet: no member of Evaluate's Report 'mae'",
        ),
    ],
)
def test_a_metric_that_is_no_number_fails_the_check(project: Project, content: str, reason: str) -> None:
    check = compare("LessThan", json_get("Evaluate", "Report", "mae"), 9)
    passed, other = project.processing("Passed"), project.processing("Other")
    run = project.run(report(project, content), condition("Check", check, then=(passed,), other=(other,)))
    assert run.statuses() == {"Evaluate": "Succeeded", "Check": "Failed"}
    assert reason in run.reason("Check")


def test_a_property_file_that_was_not_written_fails_the_step_that_reads_it(project: Project) -> None:
    file = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
    silent = project.processing("Evaluate", outputs=("out",), PropertyFiles=[file])
    run = project.run(silent, condition("Check", compare("Equals", json_get("Evaluate", "Report", "a"), 1)))
    uri = project.uri(f"out/{run.arn.rpartition('/')[2]}/Evaluate/out/report.json")
    assert run.reason("Check") == (f"ClientError: Steps.Evaluate.PropertyFiles.Report: There is no object {uri}.")
