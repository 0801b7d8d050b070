"""Pipeline executions at the local endpoint: order, branches, failures, descriptions and events."""

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.support.definitions import WRITE, Project, compare, condition, fail, output, parameter, until
from localaws.sagemaker import isolation


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


def test_a_training_step_makes_a_model_and_reports_its_metrics(project: Project) -> None:
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
    assert run.reason("Broken") == "ClientError: AlgorithmError: what I did | no malt left, exit code: 1"
    described = run.describe()
    assert described["PipelineExecutionStatus"] == "Failed"
    assert described["FailureReason"] == "Step failure: One or multiple steps failed."


def test_a_step_that_is_killed_fails_and_the_endpoint_goes_on(project: Project) -> None:
    run = project.run(project.processing("Step", "import os; print('malting', flush=True); os.kill(os.getpid(), 9)"))
    assert (run.status, run.reason("Step").rpartition(", ")[2]) == ("Failed", "exit code: 137")
    assert project.run(project.processing("Step")).status == "Succeeded"


def test_a_fail_step_ends_the_run_with_its_message(project: Project) -> None:
    message = {"Std:Join": {"On": " ", "Values": ["limit", {"Get": "Parameters.Limit"}, True]}}
    run = project.run(fail("Reject", message), parameters=(parameter("Limit", "Float", 0.5),))
    assert (run.status, run.reason("Reject")) == ("Failed", "limit 0.5 true")
    assert run.steps()["Reject"]["Metadata"] == {"Fail": {"ErrorMessage": "limit 0.5 true"}}


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


def test_an_execution_keeps_the_definition_it_was_started_with(project: Project) -> None:
    wait = project.processing("Wait", "import time; time.sleep(0.5)")
    project.upsert([wait, project.processing("Old", DependsOn=["Wait"])])
    run = project.start()
    project.upsert([wait, project.processing("New", DependsOn=["Wait"])])
    assert run.wait().statuses() == {"Wait": "Succeeded", "Old": "Succeeded"}
    api = project.clients.sagemaker
    stored = api.describe_pipeline_definition_for_execution(PipelineExecutionArn=run.arn)["PipelineDefinition"]
    assert [step["Name"] for step in json.loads(stored)["Steps"]] == ["Wait", "Old"]
    assert set(project.start().wait().statuses()) == {"Wait", "New"}


def test_a_wrong_job_is_a_client_error(project: Project) -> None:
    def reading(uri: str, path: str) -> dict[str, Any]:
        source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix"}
        return {"ProcessingInputs": [{"InputName": "x", "S3Input": source}]}

    wrong = {
        "Gone": (reading("s3://gone/x", "/opt/ml/x"), 'ClientError: No S3 objects found under S3 URL "s3://gone/x"'),
        "Out": (reading(project.uri("code"), "/opt/ml/../x"), "ClientError: /opt/ml/../x is not below /opt/ml."),
        "Beside": (reading(project.uri("code"), "/opt/mlx"), "ClientError: /opt/mlx is not below /opt/ml."),
        "Role": ({"RoleArn": "nobody"}, "RoleArn: "),
        "Member": ({"Colour": "red"}, "Colour: unknown member"),
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
        image, isolated, *printed = [each["message"] for each in found["events"]]
        assert printed == ["one", "two"]
        assert image == "[localaws] sagemaker-scikit-learn 1.9-0 was asked for; scikit-learn 1.9.0 runs"
        assert isolated.startswith(f"[localaws] isolation: {isolation.describe()}; AWS at http://127.0.0.1:")


def test_every_status_change_of_executions_and_steps_is_an_event(project: Project) -> None:
    clients = project.clients
    queue = clients.sqs.create_queue(QueueName=project.name)["QueueUrl"]
    queue_arn = clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/{project.name}"
    pattern = json.dumps({"source": ["aws.sagemaker"], "detail": {"pipelineArn": [arn]}})
    clients.events.put_rule(Name=project.name, EventPattern=pattern)
    clients.events.put_targets(Rule=project.name, Targets=[{"Id": "queue", "Arn": queue_arn}])
    run = project.run(project.processing("Good"), project.processing("Bad", "raise SystemExit(1)", DependsOn=["Good"]))
    received: list[tuple[Any, ...]] = []

    def receive() -> bool:
        answer = clients.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            event = json.loads(message["Body"])
            detail = event["detail"]
            assert event["resources"] == [detail["pipelineExecutionArn"]] == [run.arn]
            received.append(
                (detail["stepName"], detail["previousStepStatus"], detail["currentStepStatus"])
                if "stepName" in detail
                else (detail["previousPipelineExecutionStatus"], detail["currentPipelineExecutionStatus"])
            )
        return len(received) >= 6

    until(receive, "six events")
    assert received == [
        (None, "Executing"),
        ("Good", None, "Executing"),
        ("Good", "Executing", "Succeeded"),
        ("Bad", None, "Executing"),
        ("Bad", "Executing", "Failed"),
        ("Executing", "Failed"),
    ]
