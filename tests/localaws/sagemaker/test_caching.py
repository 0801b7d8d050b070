"""Cached steps at the local endpoint: what is reused from an earlier run, by which key, and for how long."""

import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.definitions import WRITE, Execution, Project, compare, condition, json_get, output, parameter
from localaws.sagemaker import cache
from localaws.store import Store
from pipelines.account.clients import Clients


def hits(run: Execution) -> dict[str, str | None]:
    """Step name -> the execution whose result was reused, None where the step did its work."""
    return {
        name: step.get("CacheHitResult", {}).get("SourcePipelineExecutionArn") for name, step in run.steps().items()
    }


CACHED: dict[str, Any] = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}


@pytest.mark.release
def test_a_chain_of_cached_steps_takes_over_what_the_earlier_run_made(project: Project) -> None:
    file = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "text"}
    prepare = project.processing(
        "Prepare",
        WRITE,
        outputs=("out",),
        arguments=({"Get": "Parameters.Text"},),
        PropertyFiles=[file],
        **CACHED,
    )
    train = project.training(
        "Train",
        "import os; open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')",
        channels={"train": output("Prepare", "out")},
        **CACHED,
    )
    evaluate = project.processing(
        "Evaluate",
        "assert (INPUT / 'model' / 'model.tar.gz').exists()",
        inputs={"model": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}, "rows": output("Prepare", "out")},
        **CACHED,
    )
    uncached = project.processing("Uncached", inputs={"rows": output("Prepare", "out")})
    compared = condition("Compared", compare("Equals", json_get("Prepare", "Report", "n"), 1))
    text = (parameter("Text", "String", '{"n": 1}'),)
    steps = (prepare, train, evaluate, uncached, compared)
    first = project.run(*steps, parameters=text)
    assert hits(first) == dict.fromkeys(("Prepare", "Train", "Evaluate", "Uncached", "Compared"))
    again = project.run(*steps, parameters=text)
    taken = dict.fromkeys(("Prepare", "Train", "Evaluate"), first.arn)
    assert (again.status, hits(again)) == ("Succeeded", {**taken, "Uncached": None, "Compared": None})
    before, after = first.steps(), again.steps()
    assert {name: after[name]["Metadata"] for name in taken} == {name: before[name]["Metadata"] for name in taken}
    # Reading on from a result that was reused twice still names the execution that did the work.
    assert hits(project.run(*steps, parameters=text)) == hits(again)
    # Another input makes another output, so nothing that reads it can be reused.
    other = project.run(*steps, parameters=text, Text='{"n": 1.0}')
    assert hits(other) == dict.fromkeys(hits(first))


def test_a_cached_result_whose_objects_are_gone_is_still_taken_over_and_its_reader_fails(project: Project) -> None:
    step = project.processing("Step", WRITE, outputs=("out",), arguments=("x",), **CACHED)
    after = project.processing("After", inputs={"given": output("Step", "out")})
    first = project.run(step, after)
    project.clients.s3.delete_object(Bucket=project.name, Key=f"out/{first.arn.rpartition('/')[2]}/Step/out/text")
    again = project.run(step, after)
    assert hits(again) == {"Step": first.arn, "After": None}
    lost = project.uri(f"out/{first.arn.rpartition('/')[2]}/Step/out")
    assert again.reason("After") == (
        f'ClientError: ClientError: No S3 objects found under S3 URL "{lost}" given in input data source.'
    )


def test_only_a_success_of_the_same_pipeline_is_reused(clients: Clients, project: Project) -> None:
    script = "import sys; sys.exit(0 if (INPUT / 'given' / 'fixed').exists() else 1)"
    given = project.put("given/readme", "").removesuffix("readme")
    step = project.processing("Step", script, inputs={"given": given}, **CACHED)
    assert project.run(step).status == "Failed"
    project.put("given/fixed", "")
    fixed = project.run(step)
    assert hits(fixed) == {"Step": None}
    assert hits(project.run(step)) == {"Step": fixed.arn}
    elsewhere = Project(clients)
    assert hits(elsewhere.run(step)) == {"Step": None}
    assert hits(project.run({**step, "Name": "Other"})) == {"Other": None}
    off = {**step, "CacheConfig": {"Enabled": False, "ExpireAfter": "PT1H"}}
    assert hits(project.run(off)) == {"Step": None}
    # A pipeline created again under the name of a deleted one has no earlier runs.
    clients.sagemaker.delete_pipeline(PipelineName=project.name)
    assert hits(project.run(step)) == {"Step": None}


REQUESTS: dict[str, dict[str, Any]] = {
    "Processing": {
        "ProcessingJobName": "a",
        "AppSpecification": {"ImageUri": "a", "ContainerEntrypoint": ["a"], "ContainerArguments": ["a"]},
        "Environment": {"A": "a"},
        "ProcessingInputs": [{"InputName": "a", "S3Input": {"S3Uri": "a", "LocalPath": "a"}}],
        "ProcessingOutputConfig": {"Outputs": ["a"], "KmsKeyId": "a"},
        "ProcessingResources": "a",
        "RoleArn": "a",
        "StoppingCondition": "a",
        "NetworkConfig": "a",
        "ExperimentConfig": "a",
        "Tags": ["a"],
    },
    "Training": {
        "TrainingJobName": "a",
        "AlgorithmSpecification": {"TrainingImage": "a", "TrainingInputMode": "a", "MetricDefinitions": ["a"]},
        "CheckpointConfig": "a",
        "DebugHookConfig": "a",
        "DebugRuleConfigurations": ["a"],
        "Environment": {"A": "a"},
        "HyperParameters": {"a": "a"},
        "InputDataConfig": [{"ChannelName": "a", "DataSource": "a"}],
        "OutputDataConfig": "a",
        "ResourceConfig": "a",
        "RoleArn": "a",
        "StoppingCondition": "a",
        "VpcConfig": "a",
        "EnableNetworkIsolation": "a",
        "ProfilerConfig": "a",
        "RetryStrategy": "a",
        "Tags": ["a"],
    },
}


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("Processing", {"AppSpecification", "Environment", "ProcessingInputs"}),
        (
            "Training",
            {
                "AlgorithmSpecification",
                "CheckpointConfig",
                "DebugHookConfig",
                "DebugRuleConfigurations",
                "Environment",
                "HyperParameters",
                "InputDataConfig",
            },
        ),
    ],
)
def test_the_cache_key_is_made_of_the_members_that_aws_names_and_no_others(kind: str, members: set[str]) -> None:
    def key(request: dict[str, Any], name: str = "Step", pipeline: str = "arn:p") -> str:
        return cache.key(pipeline, {"Name": name, "Type": kind}, request)

    request = REQUESTS[kind]
    plain = key(request)
    assert {name for name in request if key({**request, name: "other"}) != plain} == members
    assert {name for name in request if key({each: request[each] for each in request if each != name}) != plain} == (
        members
    )
    assert len({plain, key(request, name="Other"), key(request, pipeline="arn:q")}) == 3


def test_a_cached_result_expires(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    step = {"Name": "S", "Type": "Processing", "CacheConfig": {"Enabled": True, "ExpireAfter": "P1DT2H"}}
    store.put("cache", "new", {"Time": time.time() - 25 * 3600, "Result": {}})
    store.put("cache", "old", {"Time": time.time() - 27 * 3600, "Result": {}})
    assert [cache.find(store, each, step) is not None for each in ("new", "old", "none")] == [True, False, False]
    assert cache.find(store, "new", {**step, "CacheConfig": {"Enabled": False}}) is None


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("P30D", 2_592_000),
        ("30d", 2_592_000),
        ("5y", 157_680_000),
        ("T16m", 960),
        ("30dT5h", 2_610_000),
        ("p1w", 604_800),
        ("T12H", 43_200),
        ("PT90M", 5_400),
        ("P1M", 2_592_000),
        (None, float("inf")),
    ],
)
def test_durations_are_iso_8601(duration: str | None, seconds: float) -> None:
    assert cache.seconds(duration) == seconds


@pytest.mark.parametrize("duration", ["P", "PT", "30", "P3X", "1 day", "P1DT"])
def test_other_durations_are_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        cache.seconds(duration)
