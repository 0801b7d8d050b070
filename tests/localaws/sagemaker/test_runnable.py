"""What cannot run here is refused before the execution starts, by step and image, with what to install."""

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.definitions import Project, packed, parameter
from localaws.sagemaker import container_images, requirements
from localaws.sagemaker.runnable import problems

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("repository", "own", "problem"),
    [
        ("sagemaker-scikit-learn:1.2-1-cpu-py3", False, ""),
        ("sagemaker-scikit-learn:1.2-1-cpu-py3", True, "would run its own program"),
        ("sagemaker-base-python-310:1.0", False, ""),
        ("my-own-image:latest", False, ""),
        ("my-own-image:latest", True, "would run its own program"),
        ("linear-learner:1", True, "has a program of its own"),
        ("sagemaker-spark-processing:3.1-cpu", False, "has a program of its own"),
        ("pytorch-training:2.0-cpu-py310", False, "pip install torch"),
    ],
)
def test_an_image_runs_here_or_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, repository: str, own: bool, problem: str
) -> None:
    monkeypatch.setattr(container_images, "_installed", lambda module: module != "torch")
    found = container_images.problem(f"{REGISTRY}/{repository}", runs_own_program=own)
    assert (problem in found, bool(found)) == (True, bool(problem))


def test_an_error_of_another_version_of_the_framework_is_explained() -> None:
    image = f"{REGISTRY}/sagemaker-scikit-learn:0.23-1-cpu-py3"
    found = container_images.explain(image, "TypeError: OneHotEncoder() got an unexpected keyword argument 'sparse'")
    assert found.startswith(" (sagemaker-scikit-learn 0.23-1 was asked for; scikit-learn ")
    assert container_images.explain(image, "ValueError: no rows") == ""
    assert container_images.explain(f"{REGISTRY}/my-own-image:1", "TypeError: no") == ""


@pytest.mark.parametrize(
    ("tag", "installed", "variables", "note"),
    [
        ("2.4.1-cpu-py37", True, {"TF_USE_LEGACY_KERAS": "1"}, "runs with Keras 2"),
        ("2.4.1-cpu-py37", False, {}, "runs with Keras 3 (pip install tf-keras for 2)"),
        ("2.19.0-cpu-py312", True, {}, "runs"),
    ],
)
def test_tensorflow_has_the_keras_of_the_images_time_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, tag: str, installed: bool, variables: dict[str, str], note: str
) -> None:
    monkeypatch.setattr(container_images, "_installed", lambda module: installed)
    image = f"{REGISTRY}/tensorflow-training:{tag}"
    assert container_images.variables(image) == variables
    assert container_images.report(image).endswith(note)


def test_an_execution_that_cannot_run_is_not_started(project: Project) -> None:
    spark = project.processing("Spark")
    spark["Arguments"]["AppSpecification"]["ImageUri"] = {"Get": "Parameters.Image"}
    train = project.training("Train", "", DependsOn=["Spark"])
    train["Arguments"]["ResourceConfig"] = {
        "InstanceType": "ml.m5.large",
        "InstanceCount": {"Get": "Parameters.Count"},
        "VolumeSizeInGB": 30,
    }
    image = f"{REGISTRY}/sagemaker-spark-processing:3.1"
    project.upsert([spark, train], (parameter("Image", "String", image), parameter("Count", "Integer", 2)))
    with pytest.raises(ClientError) as raised:
        project.start()
    message = raised.value.response["Error"]["Message"]
    assert f"Steps.Spark: the image {image} has a program of its own" in message
    assert "Steps.Train: InstanceCount 2: a training job has one instance here" in message
    found = project.clients.sagemaker.list_pipeline_executions(PipelineName=project.name)
    assert found["PipelineExecutionSummaries"] == []


def test_a_command_that_is_not_installed_is_refused_with_the_package_that_has_it() -> None:
    def notebook(command: str) -> dict[str, Any]:
        image = {"TrainingImage": f"{REGISTRY}/sagemaker-distribution:1", "ContainerEntrypoint": [command]}
        return {"Steps": [{"Name": command, "Type": "Training", "Arguments": {"AlgorithmSpecification": image}}]}

    for command in ("python3", "/bin/sh", "/opt/ml/input/data/code/run.sh"):
        assert list(problems(notebook(command), {})) == []
    ((step, problem),) = problems(notebook("amazon_sagemaker_scheduler"), {})
    assert step == "amazon_sagemaker_scheduler"
    assert problem.startswith("the image's command amazon_sagemaker_scheduler is not installed here. Try: ")
    assert problem.endswith(" -m pip install sagemaker-headless-execution-driver")
    ((_, problem),) = problems(notebook("brew"), {})
    assert problem == "the image's command brew is not installed here."


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({}, []),
        ({"Autotune": {}}, ["The local SageMaker does not offer Autotune."]),
        (
            {"HyperParameterTuningJobConfig": {"Strategy": "Hyperband"}},
            ["The local SageMaker does not offer the strategy Hyperband (have: Bayesian, Grid, Random)."],
        ),
    ],
)
def test_a_search_that_does_not_run_here_is_refused(members: dict[str, Any], problem: list[str]) -> None:
    arguments = {"HyperParameterTuningJobConfig": {"Strategy": "Random"}, "TrainingJobDefinition": {}, **members}
    definition = {"Steps": [{"Name": "Tune", "Type": "Tuning", "Arguments": arguments}]}
    assert [each for _, each in problems(definition, {})] == problem


def test_requirements_that_are_not_installed_are_refused_before_the_start(project: Project) -> None:
    archive = project.put("code/sourcedir.tar.gz", packed({"requirements.txt": "numpy\nnot-to-be-found==1.0\n"}))
    train = project.training("Train", "", hyperparameters={"sagemaker_submit_directory": json.dumps(archive)})
    process = project.processing("Process", inputs={"code": archive})
    file = project.put("function/requirements.txt", "not-to-be-found==1.0\n").removesuffix("/requirements.txt")
    function = project.training("Function", "", channels={requirements.CHANNEL: file})
    project.upsert([train, process, function])
    with pytest.raises(ClientError) as raised:
        project.start()
    message = raised.value.response["Error"]["Message"]
    for step in ("Train", "Process", "Function"):
        assert f"Steps.{step}: requirements.txt asks for not-to-be-found==1.0, not installed here. Try: " in message


def test_requirements_are_installed_once_where_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.SWITCH, "1")
    wheel(tmp_path / "hops-1.0-py3-none-any.whl", "hops", "1.0", "BITTER = True")
    text = f"--no-index\n--find-links {tmp_path}\nhops==1.0\n"
    with ThreadPoolExecutor(2) as jobs:
        folder, again = jobs.map(requirements.folder_for, [text] * 2, [tmp_path / "cache"] * 2)
    assert folder and folder == again and (folder / "hops.py").read_text() == "BITTER = True"
    (tmp_path / "hops-1.0-py3-none-any.whl").unlink()
    assert requirements.folder_for(text, tmp_path / "cache") == folder


def wheel(path: Path, name: str, version: str, code: str) -> None:
    """Write a wheel with one module."""
    described = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{described}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{described}/RECORD", "")


@pytest.mark.parametrize("kind", ["QualityCheck", "ClarifyCheck", "EMR", "AutoML"])
def test_step_types_that_do_not_run_here_are_refused_by_name(project: Project, kind: str) -> None:
    step: dict[str, Any] = {"Name": "Step", "Type": kind, "Arguments": {}}
    with pytest.raises(ClientError, match=rf"Steps\.Step\.Type: '{kind}' cannot be run here"):
        project.upsert([step])
