"""SageMaker's jobs as tasks of Step Functions, with and without `.sync`."""

import json
from typing import Any

from benchmarks.support.definitions import ROLE, Project, until


def run(project: Project, resource: str, request: dict[str, Any], run: str = "run") -> tuple[str, Any]:
    """Run a state machine of one task: its status, and its output or (error, cause)."""
    api = project.clients.stepfunctions
    task = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": request, "End": True}
    machine = api.create_state_machine(
        name=f"{project.name}-{run}", definition=json.dumps({"StartAt": "Task", "States": {"Task": task}}), roleArn=ROLE
    )["stateMachineArn"]
    execution = api.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    until(lambda: api.describe_execution(executionArn=execution)["status"] != "RUNNING", "the execution")
    found = api.describe_execution(executionArn=execution)
    if found["status"] == "SUCCEEDED":
        return found["status"], json.loads(found["output"])
    assert "output" not in found
    return found["status"], (found["error"], found["cause"])


def test_sync_waits_for_a_job_and_returns_its_description(project: Project) -> None:
    training = project.training("Train", "print('trained')")["Arguments"]
    name = {"TrainingJobName": f"{project.name}-train"}
    status, output = run(project, "sagemaker:createTrainingJob.sync", {**name, **training})
    assert (status, output["TrainingJobStatus"]) == ("SUCCEEDED", "Completed")
    processing = project.processing("Process")["Arguments"]
    name = {"ProcessingJobName": f"{project.name}-process"}
    status, output = run(project, "sagemaker:createProcessingJob.sync", {**name, **processing}, "processing")
    assert (status, output["ProcessingJobStatus"]) == ("SUCCEEDED", "Completed")


def test_sync_fails_with_the_description_of_a_job_that_failed(project: Project) -> None:
    training = project.training("Train", "raise SystemExit('no')")["Arguments"]
    request = {"TrainingJobName": project.name, **training}
    status, (error, cause) = run(project, "sagemaker:createTrainingJob.sync", request)
    assert (status, error) == ("FAILED", "States.TaskFailed")
    assert json.loads(cause)["TrainingJobStatus"] == "Failed"


def test_without_sync_the_answer_is_that_of_the_request(project: Project) -> None:
    training = project.training("Train", "print('trained')")["Arguments"]
    request = {"TrainingJobName": project.name, **training}
    status, output = run(project, "sagemaker:createTrainingJob", request)
    assert (status, output["TrainingJobArn"].rpartition("/")[2]) == ("SUCCEEDED", project.name)


def test_errors_have_the_names_of_the_sdk_for_java(project: Project) -> None:
    found = {
        resource: run(project, resource, request, name)[1][0]
        for name, resource, request in (
            ("optimised", "sagemaker:createEndpoint", {"EndpointName": "e", "EndpointConfigName": "gone"}),
            ("unmodelled", "aws-sdk:sagemaker:describeEndpoint", {"EndpointName": "gone"}),
            ("modelled", "aws-sdk:sagemaker:describePipeline", {"PipelineName": "gone"}),
        )
    }
    assert found == {
        "sagemaker:createEndpoint": "SageMaker.AmazonSageMakerException",
        "aws-sdk:sagemaker:describeEndpoint": "SageMaker.SageMakerException",
        "aws-sdk:sagemaker:describePipeline": "SageMaker.ResourceNotFoundException",
    }
