"""Steps beside jobs: models, functions, selected steps, names of jobs, failures without a message."""

import json

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.definitions import IMAGE, ROLE, WRITE, Project, compare, condition, fail, output, parameter


def test_a_model_step_records_a_model_and_a_missing_group_is_made(project: Project) -> None:
    model = project.put("model/model.tar.gz", b"x")
    container = {"Image": IMAGE, "ModelDataUrl": model, "Environment": {"SAGEMAKER_PROGRAM": "inference.py"}}
    create = {
        "Name": "Create",
        "Type": "Model",
        "Arguments": {"ExecutionRoleArn": ROLE, "PrimaryContainer": container},
    }
    specification = {
        "Containers": [{"Image": IMAGE, "ModelDataUrl": model}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    arguments = {"ModelPackageGroupName": project.name, "InferenceSpecification": specification}
    register = {"Name": "Register", "Type": "RegisterModel", "Arguments": arguments}
    name = project.processing("Name", WRITE, outputs=("out",), arguments=({"Get": "Steps.Create.ModelName"},))
    run = project.run(create, register, name)
    assert run.statuses() == dict.fromkeys(("Create", "Register", "Name"), "Succeeded")
    arn = run.steps()["Create"]["Metadata"]["Model"]["Arn"]
    made = project.get(f"out/{run.arn.rpartition('/')[2]}/Name/out/text").decode()
    assert project.clients.sagemaker.describe_model(ModelName=made)["ModelArn"] == arn
    assert len(project.packages()) == 1


def test_a_job_with_a_custom_name_has_a_new_one_in_every_execution(project: Project) -> None:
    step = project.training("Train_it", "")
    step["Arguments"]["TrainingJobName"] = "my-prefix"
    step["Arguments"]["Environment"] = {"NAME": {"Get": "Execution.TrainingJobName"}}
    project.upsert([step])
    names = set()
    for _ in range(2):
        run = project.start().wait()
        name = run.steps()["Train_it"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
        job = project.clients.sagemaker.describe_training_job(TrainingJobName=name)
        assert (job["TrainingJobName"], job["Environment"]["NAME"]) == (name, name)
        assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"/{name}/output/model.tar.gz")
        assert name.startswith(f"my-prefix-{run.arn.rpartition('/')[2]}-")
        names.add(name)
    assert len(names) == 2


def test_a_package_without_a_group_has_the_name_that_its_step_makes(project: Project) -> None:
    containers = [{"Image": IMAGE, "ModelDataUrl": project.put("model/model.tar.gz", b"x")}]
    types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    arguments = {"InferenceSpecification": {"Containers": containers, **types}}
    # A step's name may begin with a digit.
    register = {"Name": "2nd-Register", "Type": "RegisterModel", "Arguments": arguments}
    name = project.processing(
        "Name", WRITE, outputs=("out",), arguments=({"Get": "Steps.2nd-Register.ModelPackageName"},)
    )
    run = project.run(register, name)
    made = project.get(f"out/{run.arn.rpartition('/')[2]}/Name/out/text").decode()
    assert made.startswith(f"pipelines-{run.arn.rpartition('/')[2]}-2nd-Register-")
    arn = project.clients.sagemaker.describe_model_package(ModelPackageName=made)["ModelPackageArn"]
    assert arn == run.steps()["2nd-Register"]["Metadata"]["RegisterModel"]["Arn"]


def test_a_function_that_does_not_exist_fails_its_step(project: Project) -> None:
    function = "arn:aws:lambda:us-east-1:000000000000:function:nowhere"
    step = {"Name": "Call", "Type": "Lambda", "Arguments": {}, "FunctionArn": function, "OutputParameters": []}
    reason = project.run(step).reason("Call")
    assert reason.startswith("ClientError: An error occurred (ResourceNotFoundException)")


def test_a_pipelines_arn_has_its_names_case(project: Project) -> None:
    name = f"MixedCase-{project.name}"
    end = json.dumps({"Version": "2020-12-01", "Steps": [fail("End", "x")]})
    arn = project.clients.sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=end, RoleArn=ROLE)[
        "PipelineArn"
    ]
    assert arn.endswith(f":pipeline/{name}")


def test_a_fail_step_without_a_message_has_no_reason_and_nothing_may_depend_on_it(project: Project) -> None:
    silent = {"Name": "Silent", "Type": "Fail", "Arguments": {}}
    assert "FailureReason" not in project.run(silent).steps()["Silent"]
    with pytest.raises(ClientError, match="After can not depends on Silent"):
        project.upsert([silent, project.processing("After", DependsOn=["Silent"])])


def test_a_conditions_outcome_is_a_boolean_in_a_text(project: Project) -> None:
    check = condition("Check", compare("Equals", 1, 2))
    message = {"Std:Join": {"On": " ", "Values": ["it is", {"Get": "Steps.Check.Outcome"}]}}
    run = project.run(check, fail("End", message))
    assert (run.reason("End"), run.steps()["Check"]["Metadata"]["Condition"]["Outcome"]) == ("it is false", "False")


def test_selected_steps_run_with_the_results_of_an_earlier_execution(project: Project) -> None:
    first = project.processing("First", WRITE, outputs=("out",), arguments=({"Get": "Parameters.Text"},))
    copy = "(OUTPUT / 'out' / 'text').write_text((INPUT / 'given' / 'text').read_text() + '!')"
    second = project.processing("Second", copy, inputs={"given": output("First", "out")}, outputs=("out",))
    source = project.run(first, second, parameters=(parameter("Text", "String", "hops"),), Text="malt")
    config = {"SelectedSteps": [{"StepName": "Second"}]}
    run = project.start(SelectiveExecutionConfig={**config, "SourcePipelineExecutionArn": source.arn}).wait()
    assert run.statuses() == {"First": "Succeeded", "Second": "Succeeded"}
    assert run.steps()["First"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": source.arn}
    assert project.get(f"out/{run.arn.rpartition('/')[2]}/Second/out/text") == b"malt!"
    assert project.clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=run.arn)[
        "SelectiveExecutionConfig"
    ] == {**config, "SourcePipelineExecutionArn": source.arn}
    with pytest.raises(ClientError, match="Second depends on First, which is neither selected nor has succeeded"):
        project.start(SelectiveExecutionConfig=config)
    with pytest.raises(ClientError, match="Selected steps Third are not in the pipeline definition"):
        project.start(SelectiveExecutionConfig={"SelectedSteps": [{"StepName": "Third"}]})


def test_a_callback_step_fails_with_the_reason_that_is_sent(project: Project) -> None:
    queue = project.clients.sqs.create_queue(QueueName=project.name)["QueueUrl"]
    step = {"Name": "Ask", "Type": "Callback", "Arguments": {"a": 1}, "SqsQueueUrl": queue, "OutputParameters": []}
    project.upsert([step])
    run = project.start()
    received = project.clients.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]
    message = json.loads(received["Body"])
    assert (message["arguments"], message["pipelineExecutionArn"]) == ({"a": 1}, run.arn)
    api = project.clients.sagemaker
    api.send_pipeline_execution_step_failure(CallbackToken=message["token"], FailureReason="nobody knows")
    assert run.wait().reason("Ask") == "nobody knows"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        api.send_pipeline_execution_step_success(CallbackToken=message["token"])
