"""The checks of the pipeline definition: what is deployed passes, and planted faults are found, each as it is put."""

import json
import re
from pathlib import Path

import pytest

from localaws.errors import NOT_FOUND, exit_code
from pipelines.authoring import committed, step_outputs, workflows
from pipelines.authoring.settings import Settings
from pipelines.checks import __main__ as command
from pipelines.checks import artefacts, values
from pipelines.checks import definition as checks
from tests.support import beers, planted
from tests.support.planted import FAULTS, plant

# The part of evaluation.json that conditions read; a test holds it beside a real one.
EVALUATION = {
    "gate": {"register": 1, "reason": "better"},
    "summary": dict.fromkeys(step_outputs.SUMMARY.values(), "1"),
}
REAL = json.loads(committed.definition(Settings()))


@pytest.mark.parametrize("fault", FAULTS["definition"], ids=planted.name)
def test_a_planted_fault_is_found_where_it_is(fault: planted.Fault) -> None:
    expected = planted.wanted(fault)
    assert planted.cut(checks.check(planted.spoil(REAL, fault), EVALUATION), expected) == expected


# Too long to be written out.
LONG = [
    (
        "Steps/Preprocess/Arguments/AppSpecification/ContainerArguments/11",
        "x" * 257,
        [
            "Steps.Preprocess.Arguments.AppSpecification.ContainerArguments[11]: "
            "257 characters is above the maximum of 256"
        ],
    ),
    (
        "Steps/Train/Description",
        "x" * 3073,
        ["Steps.Train.Description: 3073 characters is above the maximum of 3072"],
    ),
    (
        "Parameters/CutOff/DefaultValue",
        "x" * 257,
        [
            f"Steps.{where}: 257 characters is above the maximum of 256"
            for where in (
                "Preprocess.Arguments.AppSpecification.ContainerArguments[13]",
                "Evaluate.Arguments.AppSpecification.ContainerArguments[27]",
                "Register-RegisterModel.Arguments.CustomerMetadataProperties.CutOff",
            )
        ],
    ),
]


@pytest.mark.parametrize(("at", "put", "found"), LONG, ids=[at for at, _, _ in LONG])
def test_a_text_that_is_too_long_is_found(at: str, put: str, found: list[str]) -> None:
    assert checks.check(plant(REAL, at, put=put), EVALUATION) == found


def test_the_definition_passes_with_an_evaluation_that_the_script_has_written(tmp_path: Path) -> None:
    folder = beers.workbench()
    evaluation = beers.evaluate(folder, tmp_path / "no-champion", tmp_path / "evaluation")

    assert checks.check(REAL, evaluation) == []
    for part, sample in EVALUATION.items():
        assert {name: type(evaluation[part][name]) for name in sample} == {
            name: type(value) for name, value in sample.items()
        }


def test_the_longest_names_that_the_stacks_allow_still_fit() -> None:
    bucket, pipeline = "b" * 63, "p" * 82
    settings = Settings(
        pipeline_name=pipeline,
        artifact_bucket=bucket,
        model_package_group_name="g" * 63,
        git_commit="f" * 40 + "-dirty",
    )
    longest = json.loads(committed.definition(settings))
    job = f"pipelines-{'e' * 12}-Train-{'j' * 10}"
    given = {
        "InputData": f"s3://{bucket}/snapshots/{'0' * 64}/",
        "ChampionModel": f"s3://{bucket}/{pipeline}/executions/{'e' * 12}/train/{job}/output/model.tar.gz",
    }
    for parameter in longest["Parameters"]:
        if parameter["Name"] in given:
            parameter["DefaultValue"] = given[parameter["Name"]]

    assert checks.check(longest, EVALUATION) == []


def test_without_an_evaluation_figures_are_not_checked() -> None:
    at = "Steps/CheckQuality/Arguments/Conditions/0/LeftValue/Std:JsonGet/Path"
    spoilt = plant(REAL, at, put="gate.nothing")
    assert checks.check(spoilt, EVALUATION) != []
    assert checks.check(spoilt, {}) == []


def test_every_check_checks_something() -> None:
    seen = values.scope(REAL, EVALUATION)
    assert [name for name, check in checks.CHECKS.items() if not list(check(REAL, seen))] == []


def test_the_known_execution_members_are_those_of_the_sdk() -> None:
    from sagemaker.workflow.execution_variables import ExecutionVariable, ExecutionVariables

    known = {each.name for each in vars(ExecutionVariables).values() if isinstance(each, ExecutionVariable)}
    assert set(values.EXECUTION) == known


def test_what_is_no_definition_at_all_is_found_as_that() -> None:
    found = checks.check({"Version": "2020-12-01"}, EVALUATION)
    assert found == ["Steps: a definition is a JSON object with a list of steps"]


# --- The command ----------------------------------------------------------------------------------


def test_the_command_prints_how_much_it_checked_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r"\w+: \w+ +[1-9]\d* checked", line) for line in printed), printed
    names = {line.split(": ")[0] for line in printed}
    assert names == {"definition", *workflows.WORKFLOWS, *artefacts.templates()}


def test_the_command_prints_its_findings_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = artefacts.all_of_them()
    spoilt = real._replace(definition=plant(REAL, "Steps/Train/Arguments/RoleArn"))
    monkeypatch.setattr(artefacts, "all_of_them", lambda: spoilt)

    assert command.main([]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in printed if "wrong" in line] == [
        "definition: arguments 5 checked, 1 wrong"
    ]
    assert printed[-1] == "definition: arguments: Steps.Train.Arguments.RoleArn: required, but missing"


def test_a_missing_evaluation_is_an_error_of_three_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    assert exit_code(lambda: command.main(["--evaluation", str(path)])) == NOT_FOUND
    error, where, hint = capsys.readouterr().err.splitlines()
    assert (error.split(":")[0], where, hint.split(":")[0]) == ("Error", f"Where: {path}", "Try")
