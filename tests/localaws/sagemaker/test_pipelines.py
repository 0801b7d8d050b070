"""Programs written for AWS with the SageMaker SDK, run unmodified at the local endpoint: the folder `pipelines`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localaws import programs
from localaws.endpoint import Endpoint
from pipelines.authoring.archives import ROOT

FOLDER = Path(__file__).parent / "pipelines"
# Made by `make test-release`: v2 and v3 of the SDK do not fit into one environment.
VERSION_THREE = ROOT / ".cache" / "sagemaker-3" / ".venv" / "bin" / "python"


def run(endpoint: Endpoint, name: str) -> list[Any]:
    """The JSON lines that a program prints; it has to exit with 0."""
    programs.add_role(endpoint)
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"], env=programs.variables(endpoint), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    lines = [line for line in done.stdout.splitlines() if line[:1] in '{[0123456789"WS']
    return [json.loads(line) if line[0] in '{[0123456789"' else line for line in lines]


@pytest.mark.release
def test_xgboost_is_trained_evaluated_registered_and_transforms(endpoint: Endpoint) -> None:
    good, transformed, poor = run(endpoint, "abalone_like")
    always = dict.fromkeys(("HousesProcess", "HousesTrain", "HousesEvaluate", "HousesCheck"), "Succeeded")
    chosen = ("HousesModel-CreateModel", "HousesRegister-RegisterModel", "HousesTransform")
    assert good == {"status": "Succeeded", "steps": always | dict.fromkeys(chosen, "Succeeded")}
    assert transformed == 2
    assert poor == {"status": "Failed", "steps": always | {"HousesFail": "mse > 0.0"}}


@pytest.mark.release
def test_xgboost_runs_a_script_that_is_repacked_and_serves(endpoint: Endpoint) -> None:
    steps = ("Boost", "Create-CreateModel", "Register-RegisterModel", "Register-RepackModel")
    status, transformed, others = run(endpoint, "script_mode")
    assert status == {"status": "Succeeded", "steps": dict.fromkeys((*steps, "Transform"), "Succeeded")}
    assert (transformed, others) == (2, ["--flag", "True"])


@pytest.mark.release
def test_the_best_of_a_tuning_job_is_registered(endpoint: Endpoint) -> None:
    steps = ("TuneScript", "TuneXGBoost", "RegisterBest-RegisterModel")
    assert run(endpoint, "tuning") == [{"status": "Succeeded", "steps": dict.fromkeys(steps, "Succeeded")}]


@pytest.mark.release
def test_lambda_outputs_callbacks_and_conditions_on_conditions(endpoint: Endpoint) -> None:
    steps = dict.fromkeys(("Measure", "Ask", "Outer", "Inner"), "Succeeded")
    error, shown = run(endpoint, "lambda_and_callback")
    assert (error, shown) == ("WaiterError", {"status": "Failed", "steps": steps | {"End": "answer: yes to 42"}})


@pytest.mark.release
def test_python_functions_are_steps(endpoint: Endpoint) -> None:
    steps = dict.fromkeys(("Numbers", "Total", "Check"), "Succeeded")
    assert run(endpoint, "function_steps") == [{"status": "Succeeded", "steps": steps}, 10]


def run_version_three(name: str, folder: Path) -> tuple[dict[str, str], list[str]]:
    """(status of every step, printed lines) of a program of SDK v3, which has its own environment and endpoint."""
    done = subprocess.run(
        [VERSION_THREE, "-m", "localaws", "run", "--json", FOLDER / f"{name}.py"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *lines, last = done.stdout.splitlines()
    (execution,) = json.loads(last)["executions"]
    return {step["name"]: step["status"] for step in execution["steps"]}, lines


version_three = pytest.mark.skipif(
    not VERSION_THREE.exists(), reason="SDK v3 is not installed: make .cache/sagemaker-3/.venv/.ready"
)


@pytest.mark.release
@version_three
def test_a_pipeline_of_sdk_v3_runs_in_its_own_environment(tmp_path: Path) -> None:
    names = ("Process", "Total", "TrainScript", "TrainXGBoost", "Check", "Create", "Register")
    assert run_version_three("version_three", tmp_path)[0] == dict.fromkeys(names, "Succeeded")


@pytest.mark.release
@version_three
def test_a_notebook_is_a_step_with_parameters(tmp_path: Path) -> None:
    steps, lines = run_version_three("notebook_job", tmp_path)
    assert (steps, lines[-1]) == ({"Notebook": "Succeeded"}, '["3 hops\\n"]')
