"""Pipeline executions at the local endpoint: steps tried again by their policies, and runs stopped and resumed."""

from collections.abc import Callable

import pytest

from benchmarks.support.definitions import ROLE, WRITE, Project, definition, fail, until
from localaws.endpoint import Endpoint
from localaws.sagemaker.component import SageMaker
from localaws.sagemaker.retry import Attempts
from localaws.workspace import Workspace

# Long enough to be stopped while it runs.
SLEEP = "import time; print('begun', flush=True); time.sleep(20)"


def test_a_failure_is_retried_by_its_policy(project: Project) -> None:
    retried = ["Step.THROTTLING", "Step.SERVICE_FAULT", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"]
    policy = {"ExceptionType": retried, "IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 2}
    # How often a step fails of it, how the step ends, and its attempts.
    expected = {
        "Step.THROTTLING": (2, "Succeeded", 3),
        "Step.SERVICE_FAULT": (2, "Succeeded", 3),
        "SageMaker.JOB_INTERNAL_ERROR": (1, "Succeeded", 2),
        "SageMaker.CAPACITY_ERROR": (3, "Failed", 3),
        "SageMaker.RESOURCE_LIMIT": (1, "Failed", 1),
    }
    steps = [
        project.processing(
            kind.partition(".")[2].title().replace("_", ""),
            environment={"LOCALAWS_FAULTS": ",".join([kind] * tries)},
            RetryPolicies=[policy],
        )
        for kind, (tries, _, _) in expected.items()
    ]
    found = project.run(*steps).steps()
    for step, (_, status, attempts) in zip(steps, expected.values(), strict=True):
        ended = found[step["Name"]]
        assert (ended["StepStatus"], ended["AttemptCount"], "FailureReason" in ended) == (
            status,
            attempts,
            status == "Failed",
        )


def test_a_script_that_fails_is_not_tried_again(project: Project) -> None:
    kinds = ["Step.SERVICE_FAULT", "Step.THROTTLING", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"]
    policy = {"ExceptionType": kinds, "IntervalSeconds": 1, "MaxAttempts": 3}
    run = project.run(project.processing("Step", "raise SystemExit(3)", RetryPolicies=[policy]))
    assert run.steps()["Step"]["AttemptCount"] == 1
    assert run.reason("Step") == "ClientError: AlgorithmError: the command printed nothing, exit code: 3"


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
    assert endpoint.control("faults")["injected"]["s3:PUT"] == 3


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
        if not (INPUT / 'given' / 'fixed').exists():
            sys.exit('not fixed yet')
    """
    given = project.put("given/readme", "").removesuffix("readme")
    run = project.run(
        project.processing("First", WRITE, outputs=("out",), arguments=("x",)),
        project.processing("Second", script, inputs={"given": given}, DependsOn=["First"]),
        project.processing("Third", DependsOn=["Second"]),
    )
    assert run.statuses() == {"First": "Succeeded", "Second": "Failed"}
    first = run.steps()["First"]
    project.put("given/fixed", "")
    run.retry().wait()
    assert run.statuses() == {"First": "Succeeded", "Second": "Succeeded", "Third": "Succeeded"}
    assert run.steps()["First"] == first
    assert "FailureReason" not in run.describe()
