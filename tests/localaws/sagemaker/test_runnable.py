"""What cannot run here is refused before the execution starts, by step and image, with what to install."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.definitions import Project, parameter
from localaws.sagemaker import container_images

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
    assert "Steps.Train: InstanceCount 2: a job has one instance here" in message
    found = project.clients.sagemaker.list_pipeline_executions(PipelineName=project.name)
    assert found["PipelineExecutionSummaries"] == []


@pytest.mark.parametrize("kind", ["QualityCheck", "ClarifyCheck", "EMR", "AutoML"])
def test_step_types_that_do_not_run_here_are_refused_by_name(project: Project, kind: str) -> None:
    step: dict[str, Any] = {"Name": "Step", "Type": kind, "Arguments": {}}
    with pytest.raises(ClientError, match=rf"Steps\.Step\.Type: '{kind}' cannot be run here"):
        project.upsert([step])
