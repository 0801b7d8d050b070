"""A killed endpoint: nothing that was finished is lost, the rest is resumed or reported as failed."""

import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.support.crash import (
    POINTS,
    Victim,
    build,
    environment,
    made,
    orphans,
    resume,
    wait_for_no_orphans,
    wait_until_saved,
)
from benchmarks.support.definitions import Document, Execution, Project, until
from localaws import endpoint as endpoints
from localaws.errors import ExpectedError
from pipelines.account.clients import Clients

# benchmarks/crash.py goes through all the points, and random moments.
FEW = ("execution-created", "job-uploaded", "cache-stored", "package-stored", "execution-finishing")


@pytest.mark.release
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(victim: Victim) -> None:
    project = Project(victim.up().clients, "crashes")
    build(project)
    undisturbed = made(project, project.start().wait())
    # Another cache, so that the killed run does its work itself.
    victim.clients.sagemaker.delete_pipeline(PipelineName=project.name)
    other = Project(victim.clients, "killed")
    build(other)
    victim.down()
    victim.up(FEW[0])
    other.clients = victim.clients
    with pytest.raises(Exception, match=r"Could not connect|Connection|closed"):
        other.start(ClientRequestToken="a" * 32)
    victim.wait_until_dead()
    arn = ""
    for point in [*FEW[1:], ""]:
        wait_for_no_orphans(victim.workspace.jobs)
        victim.up(point)
        other.clients = victim.clients
        # The token finds the run although its start was not answered.
        arn = arn or other.start(ClientRequestToken="a" * 32).arn
        resume(victim, Execution(victim.clients, arn))
        if point:
            victim.wait_until_dead()
    run = Execution(victim.clients, arn)
    assert run.status == "Succeeded"
    assert set(run.statuses().values()) == {"Succeeded"}
    assert made(other, run) == undisturbed
    assert len(other.packages()) == 1


@pytest.mark.parametrize("namespaces", ["1", pytest.param("0", marks=pytest.mark.release)])
def test_an_endpoint_that_ends_takes_its_steps_with_it_and_leaves_its_runs_to_be_resumed(
    victim: Victim, namespaces: str
) -> None:
    # Forked from the server, as they are by default.
    with environment(LOCALAWS_NAMESPACES=namespaces, LOCALAWS_COLD="0"):
        project = Project(victim.up().clients)
        script = (
            "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"
        )
        slow = project.processing("Slow", script, DependsOn=["First"])
        project.upsert([project.processing("First"), slow])
        run = project.start()
        until(lambda: any("sleep 60" in each for each in orphans(victim.workspace.jobs)), "the step's child")
        victim.kill()
    with environment(LOCALAWS_NAMESPACES=namespaces):
        if namespaces == "0":
            # Without a namespace only the step itself dies at once; the next start ends the rest.
            victim.up()
        wait_for_no_orphans(victim.workspace.jobs)
        if not victim.alive:
            victim.up()
    run = Execution(victim.clients, run.arn)
    until(lambda: run.status == "Failed", "the end of the interrupted run")
    assert run.statuses() == {"First": "Succeeded", "Slow": "Failed"}
    assert "RetryPipelineExecution resumes" in run.reason("Slow")
    job = run.steps()["Slow"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    described = victim.clients.sagemaker.describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "Failed"
    assert [each.name for each in (victim.workspace.jobs / job).iterdir()] == ["log"]

    run.retry()
    until(lambda: run.statuses()["Slow"] == "Executing", "the step's second beginning")
    assert victim.down() == 0
    run = Execution(victim.up().clients, run.arn)
    until(lambda: run.status == "Failed", "the end of the stopped run")
    first, code = run.steps()["First"], slow["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    project.clients = victim.clients
    project.put(f"{code.removeprefix(project.uri(''))}step.py", "print('fast')")
    assert run.retry().wait().statuses() == {"First": "Succeeded", "Slow": "Succeeded"}
    assert run.steps()["First"] == first


def test_a_killed_endpoint_comes_back_with_its_stacks_and_objects_and_sends_the_event_that_it_owed(
    victim: Victim,
) -> None:
    clients = victim.up("event-sending").clients
    create(clients, "first")
    clients.s3.create_bucket(Bucket="bucket")
    clients.s3.put_object(Bucket="bucket", Key="a/b", Body=b"1", ContentType="text/plain", Metadata={"beer": "ale"})
    queue = clients.sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    clients.events.put_rule(Name="packages", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    clients.events.put_targets(Rule="packages", Targets=[{"Id": "queue", "Arn": arn}])
    wait_until_saved(victim.workspace, "CREATE_COMPLETE")
    wait_until_saved(victim.workspace, "aws.sagemaker")
    with contextlib.suppress(BotoCoreError):
        clients.sagemaker.create_model_package(ModelPackageGroupName="group")
    victim.wait_until_dead()
    assert victim.workspace.endpoint.exists()
    assert (endpoints.find(victim.workspace), endpoints.stop(victim.workspace)) == (None, False)

    clients = victim.up().clients
    assert statuses(clients) == {"first": "CREATE_COMPLETE"}
    assert sorted(url.rpartition("/")[2] for url in clients.sqs.list_queues()["QueueUrls"]) == ["events", "first"]
    groups = clients.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == ["group"]
    found = clients.s3.get_object(Bucket="bucket", Key="a/b")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"1", "text/plain", {"beer": "ale"})
    assert len(clients.sagemaker.list_model_packages(ModelPackageGroupName="group")["ModelPackageSummaryList"]) == 1
    received = until(lambda: clients.sqs.receive_message(QueueUrl=queue).get("Messages"), "the event")
    event = json.loads(received[0]["Body"])
    assert (event["detail-type"], event["detail"]["ModelPackageVersion"]) == ("SageMaker Model Package State Change", 1)


@pytest.mark.release
@pytest.mark.parametrize("passes", [1, 2, 3, 4])
def test_a_stack_whose_creation_was_killed_can_be_created_again(victim: Victim, passes: int) -> None:
    clients = victim.up(f"state-saving:{passes}").clients
    for name in ("first", "second", "third"):
        with contextlib.suppress(BotoCoreError):
            create(clients, name)
            wait_for_stack(clients, name, victim)
    victim.wait_until_dead()
    clients = victim.up().clients
    assert set(statuses(clients).values()) <= {"CREATE_COMPLETE"}
    for name in ("first", "second", "third"):
        if name not in statuses(clients):
            create(clients, name)
        wait_for_stack(clients, name, victim)
    assert len(clients.sqs.list_queues()["QueueUrls"]) == 3


@pytest.mark.parametrize("delay", [0.02, *(pytest.param(each, marks=pytest.mark.release) for each in (0.0, 0.05, 0.1))])
def test_a_stack_whose_creation_update_or_deletion_was_killed_ends_as_before_or_after(
    victim: Victim, delay: float
) -> None:
    clients = victim.up().clients
    create(clients, "first")
    wait_for_stack(clients, "first", victim)
    changed = {**template("first")["Resources"], "Topic": {"Type": "AWS::SNS::Topic"}}
    changes: list[tuple[str, Document]] = [
        ("update_stack", {"TemplateBody": json.dumps({"Resources": changed})}),
        ("delete_stack", {}),
        ("create_stack", {"TemplateBody": json.dumps(template("first"))}),
    ]
    for operation, arguments in changes:
        with contextlib.suppress(ClientError):
            getattr(clients.cloudformation, operation)(StackName="first", **arguments)
        time.sleep(delay)
        victim.kill()
        clients = victim.up().clients
        ended = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "DELETE_COMPLETE", None)
        assert statuses(clients).get("first") in ended
    clients.cloudformation.delete_stack(StackName="first")
    until(lambda: statuses(clients).get("first") in ("DELETE_COMPLETE", None), "the deletion")
    create(clients, "first")
    wait_for_stack(clients, "first", victim)


def template(name: str) -> dict[str, Any]:
    """A queue and, in the first stack, a model package group, which has its name from the template."""
    group = {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "group"}}
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}
    return {"Resources": {"Queue": queue, **({"Group": group} if name == "first" else {})}}


def create(clients: Clients, name: str) -> None:
    clients.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template(name)))


def wait_for_stack(clients: Clients, name: str, victim: Victim) -> None:
    """Wait until a stack is complete or the endpoint is dead."""
    until(lambda: not victim.alive or statuses(clients).get(name) == "CREATE_COMPLETE", f"the stack {name}")


def statuses(clients: Clients) -> dict[str, str]:
    """Stack name -> status."""
    return {each["StackName"]: each["StackStatus"] for each in clients.cloudformation.describe_stacks()["Stacks"]}


@pytest.mark.parametrize("versioning", [pytest.param("Suspended", marks=pytest.mark.release), "Enabled"])
def test_an_object_whose_overwriting_was_killed_is_as_it_was_and_its_lost_file_is_named(
    victim: Victim, versioning: str
) -> None:
    s3 = victim.up("object-written:3").clients.s3
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": versioning})
    wait_until_saved(victim.workspace, versioning)
    first = s3.put_object(Bucket="bucket", Key="whole//", Body=b"1").get("VersionId", "null")
    s3.put_object(Bucket="bucket", Key="deleted", Body=b"hops", Tagging="beer=ale")
    with pytest.raises(BotoCoreError):
        s3.put_object(Bucket="bucket", Key="whole//", Body=b"2")
    victim.wait_until_dead()
    s3 = victim.up().clients.s3
    assert len(list(victim.workspace.objects.iterdir())) == 2
    assert s3.get_object(Bucket="bucket", Key="whole//")["Body"].read() == b"1"
    assert s3.get_object_tagging(Bucket="bucket", Key="deleted")["TagSet"] == [{"Key": "beer", "Value": "ale"}]
    s3.put_object(Bucket="bucket", Key="whole//", Body=b"3")
    s3.delete_object(Bucket="bucket", Key="deleted")
    victim.kill()
    s3 = victim.up().clients.s3
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["whole//"]
    versions = {each["VersionId"] for each in s3.list_object_versions(Bucket="bucket")["Versions"]}
    assert (first in versions, len(versions)) == ((True, 3) if versioning == "Enabled" else (True, 1))
    if versioning == "Enabled":
        assert s3.get_object(Bucket="bucket", Key="whole//", VersionId=first)["Body"].read() == b"1"
    assert len(list(victim.workspace.objects.iterdir())) == len(versions)

    victim.kill()
    next(victim.workspace.objects.iterdir()).unlink()
    with pytest.raises(ExpectedError) as caught:
        victim.up()
    assert "an object (its file is missing) is damaged" in str(caught.value)


def test_every_crash_point_that_is_struck_exists() -> None:
    source = "".join(path.read_text() for path in Path("localaws").rglob("*.py"))
    assert [name for name in (*FEW, *POINTS) if f'crashpoint("{name}")' not in source] == []


def test_the_holder_of_the_lock_is_stopped_and_not_the_process_that_the_endpoint_file_names(victim: Victim) -> None:
    victim.up()
    other = subprocess.Popen(["sleep", "30"])
    try:
        address = {"url": "http://127.0.0.1:9", "extensions": {}, "pid": other.pid, "detached": True}
        victim.workspace.endpoint.write_text(json.dumps(address))
        assert endpoints.stop(victim.workspace) is True
        victim.wait_until_dead()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
