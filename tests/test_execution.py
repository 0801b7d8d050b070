"""Pipeline executions at the local endpoint: order, branches, failures, retries, caching, stop and resume."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import graph
from pipelines.aws import Clients
from pipelines.local.endpoint import Endpoint
from pipelines.local.expressions import UnknownReference
from pipelines.local.sagemaker import cache
from pipelines.local.sagemaker.conditions import holds
from pipelines.local.sagemaker.part import SageMaker
from pipelines.local.sagemaker.retry import Attempts
from pipelines.local.store import Store
from pipelines.local.workspace import Workspace
from tests.definitions import (
    ROLE,
    Execution,
    Project,
    compare,
    condition,
    definition,
    fail,
    json_get,
    output,
    parameter,
    until,
)

WRITE = "import sys; (OUTPUT / 'out' / 'text').write_text(sys.argv[1])"
# Holds its place until an object's folder says otherwise; used where something must be seen while it runs.
SLEEP = "import time; print('begun', flush=True); time.sleep(20)"
REPORT = """
    import sys
    (OUTPUT / 'out' / 'report.json').write_text(sys.argv[1])
"""


@pytest.fixture
def project(clients: Clients) -> Project:
    return Project(clients)


def report(project: Project, content: str, **members: Any) -> dict[str, Any]:
    """A step `Evaluate` whose property file `Report` has this content."""
    file = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}
    return project.processing(
        "Evaluate", REPORT, outputs=("out",), arguments=(content,), PropertyFiles=[file], **members
    )


def test_what_a_step_makes_reaches_the_step_that_refers_to_it(project: Project) -> None:
    first = project.processing("First", WRITE, outputs=("out",), arguments=({"Get": "Parameters.Text"},))
    copy = """
        text = (INPUT / 'given' / 'text').read_text()
        (OUTPUT / 'out' / 'text').write_text(text.upper())
    """
    second = project.processing("Second", copy, inputs={"given": output("First", "out")}, outputs=("out",))
    run = project.run(second, first, parameters=(parameter("Text", "String", "hops"),), Text="malt")
    assert run.statuses() == {"First": "Succeeded", "Second": "Succeeded"}
    assert project.get(f"out/{run.arn.rpartition('/')[2]}/Second/out/text") == b"MALT"


def test_a_training_step_makes_a_model_and_tells_its_metrics(project: Project) -> None:
    script = """
        import json, os, sys
        from pathlib import Path
        rows = Path(os.environ["SM_CHANNEL_TRAIN"], "rows.csv").read_text()
        Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(rows + " ".join(sys.argv[1:]))
        print("train:mae=1.5;"); print("train:mae=0.5;")
    """
    rows = project.put("rows/rows.csv", "1,2\n").removesuffix("rows.csv")
    train = project.training("Train", script, channels={"train": rows}, hyperparameters={"depth": "3"})
    metric = {"Name": "train:mae", "Regex": "train:mae=([0-9.]+)"}
    train["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"] = [metric]
    run = project.run(train, project.register("Register", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}))
    assert run.statuses() == {"Train": "Succeeded", "Register": "Succeeded"}
    name = run.steps()["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    job = project.clients.sagemaker.describe_training_job(TrainingJobName=name)
    assert [(each["MetricName"], each["Value"]) for each in job["FinalMetricDataList"]] == [("train:mae", 0.5)]
    phases = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert [each["Status"] for each in job["SecondaryStatusTransitions"]] == phases
    package = project.clients.sagemaker.describe_model_package(
        ModelPackageName=project.packages()[0]["ModelPackageArn"]
    )
    container = package["InferenceSpecification"]["Containers"][0]
    assert (
        container["ModelDataUrl"]
        == job["ModelArtifacts"]["S3ModelArtifacts"]
        == project.uri(f"models/{name}/output/model.tar.gz")
    )
    assert package["MetadataProperties"]["GeneratedBy"] == run.arn


def test_steps_without_a_tie_run_at_once_as_many_as_the_limit_allows(project: Project) -> None:
    project.upsert([project.processing(name, "import time; time.sleep(0.5)") for name in "ABCD"])
    for limit in (4, 2):
        run = project.start(ParallelismConfiguration={"MaxParallelExecutionSteps": limit}).wait()
        steps = run.steps().values()
        begun = [each["StartTime"] for each in steps]
        at_once = [sum(each["StartTime"] <= moment < each["EndTime"] for each in steps) for moment in begun]
        assert (run.status, max(at_once)) == ("Succeeded", limit)


def test_only_the_chosen_branch_runs(project: Project) -> None:
    yes, no = project.processing("Yes"), project.processing("No")
    inner = condition("Inner", compare("LessThan", 1, 2), then=(yes,), other=(fail("Never", "inner"),))
    outer = condition("Outer", compare("Equals", {"Get": "Parameters.Way"}, "a"), then=(inner,), other=(no,))
    way = (parameter("Way", "String", "a"),)
    a = project.run(outer, parameters=way)
    assert a.statuses() == {"Outer": "Succeeded", "Inner": "Succeeded", "Yes": "Succeeded"}
    assert a.steps()["Outer"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    assert project.run(outer, parameters=way, Way="b").statuses() == {"Outer": "Succeeded", "No": "Succeeded"}


def test_a_failed_step_holds_back_those_that_need_it_and_no_others(project: Project) -> None:
    run = project.run(
        project.processing("Broken", "print('what I did'); raise SystemExit('no malt left')"),
        project.processing("After", DependsOn=["Broken"]),
        project.processing("AfterAfter", DependsOn=["After"]),
        project.processing("Apart", "import time; time.sleep(0.3)"),
        project.processing("AfterApart", DependsOn=["Apart"]),
    )
    assert run.statuses() == {"Broken": "Failed", "Apart": "Succeeded", "AfterApart": "Succeeded"}
    assert run.reason("Broken") == "AlgorithmError: what I did | no malt left, exit code: 1"
    told = run.describe()
    assert told["PipelineExecutionStatus"] == "Failed"
    assert told["FailureReason"] == "Step failure: One or multiple steps failed."


def test_a_step_that_is_killed_fails_and_the_endpoint_goes_on(project: Project) -> None:
    run = project.run(project.processing("Step", "import os; print('malting', flush=True); os.kill(os.getpid(), 9)"))
    assert (run.status, run.reason("Step").rpartition(", ")[2]) == ("Failed", "exit code: 137")
    assert project.run(project.processing("Step")).status == "Succeeded"


def test_a_fail_step_ends_the_run_with_its_message(project: Project) -> None:
    message = {"Std:Join": {"On": " ", "Values": ["limit", {"Get": "Parameters.Limit"}, True]}}
    run = project.run(fail("Reject", message), parameters=(parameter("Limit", "Float", 0.5),))
    assert (run.status, run.reason("Reject")) == ("Failed", "limit 0.5 true")
    assert run.steps()["Reject"]["Metadata"] == {"Fail": {"ErrorMessage": "limit 0.5 true"}}


@pytest.mark.parametrize(
    ("kind", "tries", "status", "attempts"),
    [
        ("Step.THROTTLING", 2, "Succeeded", 3),
        ("Step.SERVICE_FAULT", 2, "Succeeded", 3),
        ("SageMaker.JOB_INTERNAL_ERROR", 1, "Succeeded", 2),
        ("SageMaker.CAPACITY_ERROR", 3, "Failed", 3),
        ("SageMaker.RESOURCE_LIMIT", 1, "Failed", 1),
    ],
)
def test_a_failure_is_tried_again_as_its_policy_says(
    project: Project, kind: str, tries: int, status: str, attempts: int
) -> None:
    retried = ["Step.THROTTLING", "Step.SERVICE_FAULT", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"]
    policy = {"ExceptionType": retried, "IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 2}
    faults = {"TAPLINE_FAULTS": ",".join([kind] * tries)}
    run = project.run(project.processing("Step", environment=faults, RetryPolicies=[policy]))
    step = run.steps()["Step"]
    assert (step["StepStatus"], step["AttemptCount"]) == (status, attempts)
    assert ("FailureReason" in step) == (status == "Failed")


def test_a_script_that_fails_is_not_tried_again(project: Project) -> None:
    kinds = ["Step.SERVICE_FAULT", "Step.THROTTLING", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"]
    policy = {"ExceptionType": kinds, "IntervalSeconds": 1, "MaxAttempts": 3}
    run = project.run(project.processing("Step", "raise SystemExit(3)", RetryPolicies=[policy]))
    assert run.steps()["Step"]["AttemptCount"] == 1
    assert run.reason("Step") == "AlgorithmError: the command said nothing, exit code: 3"


def test_a_job_that_s3_refuses_is_an_internal_error_and_tried_again(
    project: Project, endpoint: Endpoint, failing: Callable[..., None]
) -> None:
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 1, "MaxAttempts": 2}
    step = project.processing("Step", WRITE, outputs=("out",), arguments=("x",), RetryPolicies=[policy])
    slow = {"code": "SlowDown", "message": "Please reduce your request rate.", "status": 503}
    failing("s3:PUT", containing=f"/{project.name}/out/", times=2, **slow)
    assert project.run(step).steps()["Step"]["AttemptCount"] == 3
    failing("s3:PUT", containing=f"/{project.name}/out/", times=None, **slow)
    refused = project.run(step).steps()["Step"]
    assert (refused["StepStatus"], refused["AttemptCount"]) == ("Failed", 3)
    assert refused["FailureReason"] == (
        "InternalServerError: An error occurred (SlowDown) when calling the PutObject operation"
        " (reached max retries: 0): Please reduce your request rate."
    )
    assert endpoint.control("faults")["answered"]["s3:PUT"] == 3


def test_pauses_grow_by_the_backoff_rate_and_each_policy_counts_its_own() -> None:
    policies = [
        {"ExceptionType": ["a", "b"], "IntervalSeconds": 10, "BackoffRate": 3.0, "MaxAttempts": 2},
        {"ExceptionType": "c", "ExpireAfterMin": 1},
        {"ExceptionType": ["d"]},
    ]
    attempts = Attempts(policies, time_scale=0.5)
    assert [attempts.pause_before_next(kind) for kind in "abac"] == [5.0, 15.0, None, 0.5]
    assert [attempts.pause_before_next("d") for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, None]
    assert [attempts.pause_before_next(kind) for kind in ("z", None)] == [None, None]
    assert attempts.count == 9
    attempts.began -= 31
    assert attempts.pause_before_next("c") is None


def test_a_step_that_runs_too_long_is_stopped_with_all_that_it_started(project: Project, tmp_path: Path) -> None:
    script = """
        import subprocess, sys, time
        subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
        time.sleep(60)
    """
    began = time.monotonic()
    run = project.run(project.processing("Step", script, seconds=1))
    assert time.monotonic() - began < 8
    assert run.reason("Step") == (
        "MaxRuntimeExceeded: the job ran longer than its MaxRuntimeInSeconds (1 s) and was stopped."
    )
    name = run.steps()["Step"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert project.clients.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Stopped"


def test_a_stopped_execution_ends_its_steps_and_can_be_retried(project: Project) -> None:
    finished, after = project.processing("Finished"), project.processing("After", DependsOn=["Slow"])
    project.upsert([finished, project.processing("Slow", SLEEP, DependsOn=["Finished"]), after])
    run = project.start()
    until(lambda: run.statuses().get("Slow") == "Executing", "the step's beginning")
    before = run.steps()["Finished"]
    run.stop()
    run.wait()
    assert run.status == "Stopped"
    assert run.statuses() == {"Finished": "Succeeded", "Slow": "Stopped"}
    with pytest.raises(project.clients.sagemaker.exceptions.ConflictException):
        run.stop()
    run.retry()
    until(lambda: run.statuses().get("Slow") == "Executing", "the step's second beginning")
    assert run.steps()["Finished"] == before
    with pytest.raises(project.clients.sagemaker.exceptions.ConflictException):
        run.retry()
    run.stop()
    assert run.wait().status == "Stopped"


def test_an_execution_that_is_stopped_before_it_begins_runs_no_step(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.create()
    workspace.prepare()
    part = SageMaker(workspace, time_scale=1.0)
    call, begin, held = part.service.call, part.executions.start, []
    monkeypatch.setattr(part.executions, "start", held.append)
    text = definition([fail("Step", "has run")])
    call(
        "CreatePipeline",
        {"PipelineName": "p", "ClientRequestToken": "t" * 32, "RoleArn": ROLE, "PipelineDefinition": text},
    )
    started = call("StartPipelineExecution", {"PipelineName": "p", "ClientRequestToken": "t" * 32})
    call("StopPipelineExecution", {**started, "ClientRequestToken": "t" * 32})
    begin(*held)
    until(lambda: call("DescribePipelineExecution", started)["PipelineExecutionStatus"] == "Stopped", "the end")
    assert call("ListPipelineExecutionSteps", started)["PipelineExecutionSteps"] == []


def test_a_retried_execution_goes_on_from_the_failed_step(project: Project) -> None:
    script = """
        import sys
        if not (INPUT / 'given' / 'mended').exists():
            sys.exit('not mended yet')
    """
    given = project.put("given/readme", "").removesuffix("readme")
    run = project.run(
        project.processing("First", WRITE, outputs=("out",), arguments=("x",)),
        project.processing("Second", script, inputs={"given": given}, DependsOn=["First"]),
        project.processing("Third", DependsOn=["Second"]),
    )
    assert run.statuses() == {"First": "Succeeded", "Second": "Failed"}
    first = run.steps()["First"]
    project.put("given/mended", "")
    run.retry().wait()
    assert run.statuses() == {"First": "Succeeded", "Second": "Succeeded", "Third": "Succeeded"}
    assert run.steps()["First"] == first
    assert "FailureReason" not in run.describe()


def test_an_execution_keeps_the_definition_it_was_started_with(project: Project) -> None:
    wait = project.processing("Wait", "import time; time.sleep(0.5)")
    project.upsert([wait, project.processing("Old", DependsOn=["Wait"])])
    run = project.start()
    project.upsert([wait, project.processing("New", DependsOn=["Wait"])])
    assert run.wait().statuses() == {"Wait": "Succeeded", "Old": "Succeeded"}
    api = project.clients.sagemaker
    kept = api.describe_pipeline_definition_for_execution(PipelineExecutionArn=run.arn)["PipelineDefinition"]
    assert [step["Name"] for step in json.loads(kept)["Steps"]] == ["Wait", "Old"]
    assert set(project.start().wait().statuses()) == {"Wait", "New"}


def hits(run: Execution) -> dict[str, str | None]:
    """Step name -> the execution whose result was taken over, None where the step did its work."""
    return {
        name: step.get("CacheHitResult", {}).get("SourcePipelineExecutionArn") for name, step in run.steps().items()
    }


CACHED: dict[str, Any] = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}


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
    told = condition("Told", compare("Equals", json_get("Prepare", "Report", "n"), 1))
    text = (parameter("Text", "String", '{"n": 1}'),)
    steps = (prepare, train, evaluate, uncached, told)
    first = project.run(*steps, parameters=text)
    assert hits(first) == dict.fromkeys(("Prepare", "Train", "Evaluate", "Uncached", "Told"))
    again = project.run(*steps, parameters=text)
    taken = dict.fromkeys(("Prepare", "Train", "Evaluate"), first.arn)
    assert (again.status, hits(again)) == ("Succeeded", {**taken, "Uncached": None, "Told": None})
    before, after = first.steps(), again.steps()
    assert {name: after[name]["Metadata"] for name in taken} == {name: before[name]["Metadata"] for name in taken}
    # Reading on from a result that was taken over twice still names the execution that did the work.
    assert hits(project.run(*steps, parameters=text)) == hits(again)
    # Another input makes another output, so nothing that reads it can be taken over.
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
        f'ClientError: No S3 objects found under S3 URL "{lost}" given in input data source.'
    )


def test_only_a_success_of_the_same_pipeline_is_taken_over(clients: Clients, project: Project) -> None:
    script = "import sys; sys.exit(0 if (INPUT / 'given' / 'mended').exists() else 1)"
    given = project.put("given/readme", "").removesuffix("readme")
    step = project.processing("Step", script, inputs={"given": given}, **CACHED)
    assert project.run(step).status == "Failed"
    project.put("given/mended", "")
    mended = project.run(step)
    assert hits(mended) == {"Step": None}
    assert hits(project.run(step)) == {"Step": mended.arn}
    elsewhere = Project(clients)
    assert hits(elsewhere.run(step)) == {"Step": None}
    assert hits(project.run({**step, "Name": "Other"})) == {"Other": None}
    off = {**step, "CacheConfig": {"Enabled": False, "ExpireAfter": "PT1H"}}
    assert hits(project.run(off)) == {"Step": None}
    # A pipeline made anew under the name of a deleted one has no earlier runs.
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
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": figure("sizes[1]"), "VolumeSizeInGB": 30}
    }
    train = project.training("Train", "", hyperparameters={"depth": figure("rows"), "loss": figure("why")})
    register = project.register("Register", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"})
    register["Arguments"] |= {"ModelPackageDescription": words, "CustomerMetadataProperties": {"why": figure("why")}}
    content = {"why": "naïve wins", "mae": 1e-05, "rows": 326, "ok": True, "sizes": [1, 2]}
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
    assert sized_job["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 2
    train_job = api.describe_training_job(TrainingJobName=jobs["Train"]["TrainingJob"]["Arn"].rpartition("/")[2])
    assert {name: train_job["HyperParameters"][name] for name in ("depth", "loss")} == {
        "depth": "326",
        "loss": "naïve wins",
    }
    package = api.describe_model_package(ModelPackageName=project.packages()[0]["ModelPackageArn"])
    assert package["ModelPackageDescription"] == text
    assert package["CustomerMetadataProperties"] == {"why": "naïve wins"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gate.raeson", "no member of Evaluate's Report 'raeson' (have: reason)"),
        ("gate.reason.first", "no member of Evaluate's Report 'first' (have: nothing)"),
        ("list.gate", "no member of Evaluate's Report 'gate' (have: nothing)"),
        ("list[2]", "no member of Evaluate's Report 2 (have: 0, 1)"),
    ],
)
def test_a_figure_that_is_not_in_the_file_fails_the_step_that_asks_for_it(
    project: Project, path: str, reason: str
) -> None:
    asked = {"Std:Join": {"On": ": ", "Values": ["Rejected", json_get("Evaluate", "Report", path)]}}
    content = json.dumps({"gate": {"reason": "worse"}, "list": [1, 2]})
    run = project.run(report(project, content), fail("Reject", asked), project.processing("Apart"))
    assert run.statuses() == {"Evaluate": "Succeeded", "Apart": "Succeeded", "Reject": "Failed"}
    assert run.reason("Reject") == (
        f"ClientError: Steps.Reject.Arguments.ErrorMessage.Std:Join.Values[1].Std:JsonGet: {reason}"
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Raport"}, "Path": "a"}, "no 'Raport' (have: Report)"),
        ({"PropertyFile": {"Get": "Steps.Other.PropertyFiles.Report"}, "Path": "a"}, "no 'Report' (have: )"),
        ({"PropertyFile": {"Get": "Steps.Evaluate.Outputs"}, "Path": "a"}, "is not Steps.<step>.PropertyFiles.<file>"),
        ({"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}}, "a PropertyFile and a Path are needed"),
        ({"S3Uri": "s3://bucket/key", "Path": "a"}, "a PropertyFile and a Path are needed"),
        ({"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "a b"}, "'a b' is not a path"),
    ],
)
def test_a_figure_asked_for_wrongly_fails_the_step_that_asks(
    project: Project, asked: dict[str, Any], reason: str
) -> None:
    steps = [report(project, "{}"), project.processing("Other")]
    rejecting = {**fail("Reject", {"Std:JsonGet": asked}), "DependsOn": ["Evaluate", "Other"]}
    run = project.run(*steps, rejecting)
    assert run.statuses()["Reject"] == "Failed"
    assert run.reason("Reject").startswith("ClientError: Steps.")
    assert reason in run.reason("Reject")


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


def test_a_wrong_job_is_a_client_error(project: Project) -> None:
    def reading(uri: str, path: str) -> dict[str, Any]:
        source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix"}
        return {"ProcessingInputs": [{"InputName": "x", "S3Input": source}]}

    wrong = {
        "Gone": (reading("s3://gone/x", "/opt/ml/x"), 'No S3 objects found under S3 URL "s3://gone/x"'),
        "Out": (reading(project.uri("code"), "/opt/ml/../x"), "/opt/ml/../x is not below /opt/ml."),
        "Beside": (reading(project.uri("code"), "/opt/mlx"), "/opt/mlx is not below /opt/ml."),
        "Role": ({"RoleArn": "nobody"}, "RoleArn: "),
        "Member": ({"Colour": "red"}, "Colour: unknown member"),
        "Command": ({"AppSpecification": {"ImageUri": "x"}}, "AppSpecification.ContainerEntrypoint is needed here"),
    }
    steps = [project.processing(name) for name in wrong]
    for step in steps:
        step["Arguments"] |= wrong[step["Name"]][0]
    run = project.run(*steps)
    for name, (_, reason) in wrong.items():
        assert run.reason(name).startswith(f"ClientError: {reason}"), name


def test_a_steps_log_is_in_cloudwatch_logs(project: Project) -> None:
    script = "print('one'); import sys; print('two', file=sys.stderr)"
    run = project.run(project.processing("Process", script), project.training("Train", script))
    steps, logs = run.steps(), project.clients.logs
    for step, kind in (("Process", "Processing"), ("Train", "Training")):
        name = steps[step]["Metadata"][f"{kind}Job"]["Arn"].rpartition("/")[2]
        group = f"/aws/sagemaker/{kind}Jobs"
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/algo-1-")["logStreams"]
        found = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)
        assert [each["message"] for each in found["events"]] == ["one", "two"]


def test_executions_and_steps_tell_eventbridge_of_every_change(project: Project) -> None:
    clients = project.clients
    queue = clients.sqs.create_queue(QueueName=project.name)["QueueUrl"]
    queue_arn = clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/{project.name}"
    pattern = json.dumps({"source": ["aws.sagemaker"], "detail": {"pipelineArn": [arn]}})
    clients.events.put_rule(Name=project.name, EventPattern=pattern)
    clients.events.put_targets(Rule=project.name, Targets=[{"Id": "queue", "Arn": queue_arn}])
    run = project.run(project.processing("Good"), project.processing("Bad", "raise SystemExit(1)", DependsOn=["Good"]))
    told: list[tuple[Any, ...]] = []

    def receive() -> bool:
        answer = clients.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            event = json.loads(message["Body"])
            detail = event["detail"]
            assert event["resources"] == [detail["pipelineExecutionArn"]] == [run.arn]
            told.append(
                (detail["stepName"], detail["previousStepStatus"], detail["currentStepStatus"])
                if "stepName" in detail
                else (detail["previousPipelineExecutionStatus"], detail["currentPipelineExecutionStatus"])
            )
        return len(told) >= 6

    until(receive, "six events")
    assert told == [
        (None, "Executing"),
        ("Good", None, "Executing"),
        ("Good", "Executing", "Succeeded"),
        ("Bad", None, "Executing"),
        ("Bad", "Executing", "Failed"),
        ("Executing", "Failed"),
    ]
