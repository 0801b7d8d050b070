"""The runs of a pipeline: listed, shown, compared, stopped and retried, whatever became of them."""

import argparse
from typing import Any

import pytest

from benchmarks.support.definitions import Project, fail, parameter
from localaws.errors import ExpectedError
from pipelines import runs
from pipelines.account.failures import traceback_message, unwrap
from pipelines.account.runs import Runs

BREAKS = """
import json
def load(text):
    return json.loads(text)
load('{')
"""


def command(name: str, project: Project, **given: Any) -> Any:
    """The result of a sub-command on the project's pipeline."""
    return runs.COMMANDS[name](Runs(project.clients, project.name), argparse.Namespace(**given))


def test_every_run_is_listed_with_what_became_of_it(project: Project) -> None:
    work, rejection = project.processing("Work"), fail("Reject", "The error is above the median's.")
    for steps in ([work], [work, {**rejection, "DependsOn": ["Work"]}], [project.processing("Work", BREAKS)]):
        project.run(*steps)
    listed = command("list", project, limit=10)
    assert [(each["status"], each["result"].partition(":")[0]) for each in listed["runs"]] == [
        ("Failed", "Work"),
        ("Failed", "rejected"),
        ("Succeeded", ""),
    ]
    assert "rejected: The error is above the median's." in runs.text("list", listed)
    shorter = command("list", project, limit=2)
    assert (shorter["runs"], shorter["more"]) == (listed["runs"][:2], True)


def test_a_failing_script_is_shown_with_its_exception_and_the_line_of_its_own_code(project: Project) -> None:
    project.run(project.processing("Work", BREAKS))
    shown = command("show", project, run="latest")
    assert shown["run"]["status"] == "Failed"
    assert [(step["name"], step["status"]) for step in shown["steps"]] == [("Work", "Failed")]
    failure = shown["steps"][0]["failure"]
    assert failure.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert failure.endswith("(step.py line 5, in load)")
    assert failure in runs.text("show", shown)


def test_logs_are_those_of_the_failed_step_unless_one_is_named(project: Project) -> None:
    steps = [
        project.processing("First", "print('from the first')"),
        {**project.processing("Second", BREAKS), "DependsOn": ["First"]},
    ]
    identifier = project.run(*steps).arn.rpartition("/")[2]
    failed = command("logs", project, run=identifier, step=None)
    assert (failed["step"], failed["lines"][-1].split(":")[0]) == ("Second", "json.decoder.JSONDecodeError")
    assert command("logs", project, run=identifier[:6], step="first")["lines"][-1] == "from the first"
    with pytest.raises(ExpectedError, match="no step Third has begun") as unknown:
        command("logs", project, run=identifier, step="Third")
    assert unknown.value.code == 3


def test_a_step_without_a_job_has_no_log_and_the_error_names_those_that_have(project: Project) -> None:
    project.run(project.processing("Work"), {**fail("Reject", "no"), "DependsOn": ["Work"]})
    with pytest.raises(ExpectedError, match="step Reject has no log") as none:
        command("logs", project, run="latest", step="Reject")
    assert none.value.where.endswith("(steps with a log: Work)")


def test_two_runs_are_compared_by_what_differs(project: Project) -> None:
    step = project.processing("Work", "import sys; sys.exit(int(sys.argv[1]))", arguments=({"Get": "Parameters.Code"},))
    project.upsert([step], (parameter("Code", "String", "0"),))
    first, second = (project.start(given={"Code": code}) for code in ("0", "3"))
    for run in (first, second):
        run.wait()
    compared = command("compare", project, run=first.arn, other=second.arn)
    differing = {each["name"]: (each["a"], each["b"]) for each in compared["differences"]}
    assert differing["run.status"] == ("Succeeded", "Failed")
    assert differing["parameters.Code"] == ("0", "3")
    assert differing["steps.Work"] == ("Succeeded", "Failed")
    assert "parameters.Code" in runs.text("compare", compared)


def test_a_run_is_stopped_and_resumed(project: Project) -> None:
    waits = "import time\nwhile not (INPUT / 'data' / 'go').exists(): time.sleep(0.05)"
    project.put("data/none", "")
    project.upsert([project.processing("Work", waits, inputs={"data": project.uri("data/")})])
    run = project.start()
    stopped = command("stop", project, run="latest")
    assert stopped == {"run": run.arn.rpartition("/")[2], "before": "Executing", "status": "Stopped"}
    with pytest.raises(ExpectedError, match="ended already: Stopped") as again:
        command("stop", project, run="latest")
    assert again.value.code == 4
    project.put("data/go", "")
    resumed = command("retry", project, run="latest")
    assert (resumed["run"], resumed["status"]) == (stopped["run"], "Succeeded")


def test_a_retry_that_fails_again_is_an_error_and_a_run_that_succeeded_is_not_retried(project: Project) -> None:
    project.run(project.processing("Work", BREAKS))
    with pytest.raises(ExpectedError, match=r"step Work failed: json\.decoder\.JSONDecodeError") as failed:
        command("retry", project, run="latest")
    assert failed.value.code == 1
    project.run(project.processing("Work"))
    with pytest.raises(ExpectedError, match="only a failed or stopped run can be retried") as succeeded:
        command("retry", project, run="latest")
    assert succeeded.value.code == 4


def test_a_run_is_named_by_a_unique_beginning_of_its_id(project: Project) -> None:
    project.upsert([fail("Reject", "no")])
    arns = [project.start().arn for _ in range(12)]
    found = Runs(project.clients, project.name)
    for arn in arns:
        assert found.find(arn.rpartition("/")[2]) == found.find(arn) == arn
    assert found.find("latest") == arns[-1]
    for text in ("", "nothing"):
        with pytest.raises(ExpectedError) as refused:
            found.find(text)
        assert (refused.value.code, "there is no run" in refused.value.what) == (3, True)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("AlgorithmError: boom, exit code: 1", ("boom", "", "")),
        (
            "AlgorithmError: Error: too few beers (7 < 50)\nWhere: s3://b/k\nTry: collect more, exit code: 1",
            ("too few beers (7 < 50)", "s3://b/k", "collect more"),
        ),
        (
            "AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"KeyError: 'abv'\"\n"
            'Command "/usr/bin/python train.py --seed 0", exit code: 1',
            ("KeyError: 'abv'", "", ""),
        ),
        ("ClientError: Failed to download data", ("Failed to download data", "", "")),
        ("The error is above the median's.", ("The error is above the median's.", "", "")),
    ],
)
def test_a_failure_reason_is_one_sentence_without_the_wrapping(reason: str, expected: tuple[str, str, str]) -> None:
    assert tuple(unwrap(reason)) == expected


def test_the_place_of_a_failure_is_the_innermost_line_of_own_code() -> None:
    log = """starting
Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 12, in main
    fit()
  File "/opt/ml/code/model.py", line 30, in fit
    frame["abv"]
  File "/usr/lib/python3.12/site-packages/pandas/core/frame.py", line 4102, in __getitem__
    indexer = self.columns.get_loc(key)
KeyError: 'abv'
done"""
    assert traceback_message(log.splitlines()) == "KeyError: 'abv' (model.py line 30, in fit)"
    assert traceback_message(["all is well"]) is None
