"""The endpoint is killed: nothing that was finished is lost, and the rest is resumed or told."""

import contextlib
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from benchmarks.support.crash import POINTS, Victim, build, environment, made, orphans, resume, wait_for_no_orphans
from benchmarks.support.definitions import Execution, Project, until
from localaws import endpoint as endpoints
from localaws.crashpoints import NAMES, crashpoint
from localaws.ministack import persistence
from localaws.workspace import Workspace

STACK = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "kept"}},
    }
}
# benchmarks/crash.py goes through all the points, and random moments.
FEW = ("execution-created", "job-uploaded", "cache-stored", "package-stored", "execution-finishing")


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(victim: Victim) -> None:
    project = Project(victim.up().clients, "crashes")
    build(project)
    undisturbed = made(project, project.start().wait())
    # Another cache: the killed run shall do its work itself.
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


@pytest.mark.parametrize("namespaces", ["1", "0"])
def test_a_killed_endpoint_takes_its_steps_with_it(victim: Victim, namespaces: str) -> None:
    with environment(LOCALAWS_NAMESPACES=namespaces):
        project = Project(victim.up().clients)
        script = (
            "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"
        )
        project.upsert([project.processing("Slow", script)])
        run = project.start()
        until(lambda: any("sleep 60" in each for each in orphans(victim.workspace.jobs)), "the step's child")
        victim.kill()
        if namespaces == "0":
            # Without a namespace only the step itself dies at once; the next start ends the rest.
            victim.up()
        wait_for_no_orphans(victim.workspace.jobs)
        if not victim.alive:
            victim.up()
        run = Execution(victim.clients, run.arn)
        until(lambda: run.status == "Failed", "the end of the interrupted run")
        assert run.statuses() == {"Slow": "Failed"}
        assert "RetryPipelineExecution resumes" in run.reason("Slow")
        job = run.steps()["Slow"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
        told = victim.clients.sagemaker.describe_processing_job(ProcessingJobName=job)
        assert told["ProcessingJobStatus"] == "Failed"
        assert [each.name for each in (victim.workspace.jobs / job).iterdir()] == ["log"]


def test_a_killed_endpoint_comes_back_with_its_stacks_and_objects(victim: Victim) -> None:
    clients = victim.up().clients
    clients.cloudformation.create_stack(StackName="kept", TemplateBody=json.dumps(STACK))
    clients.s3.create_bucket(Bucket="kept")
    clients.s3.put_object(Bucket="kept", Key="a/b", Body=b"1", ContentType="text/plain", Metadata={"beer": "ale"})
    until(lambda: b"CREATE_COMPLETE" in state(victim.workspace, "cloudformation"), "the stack's save")
    victim.kill()
    clients = victim.up().clients
    assert [each["StackStatus"] for each in clients.cloudformation.describe_stacks(StackName="kept")["Stacks"]] == [
        "CREATE_COMPLETE"
    ]
    assert len(clients.sqs.list_queues()["QueueUrls"]) == 1
    groups = clients.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == ["kept"]
    found = clients.s3.get_object(Bucket="kept", Key="a/b")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"1", "text/plain", {"beer": "ale"})


def test_an_event_that_a_kill_kept_back_is_sent_by_the_next_endpoint(victim: Victim) -> None:
    clients = victim.up().clients
    queue = clients.sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    clients.events.put_rule(Name="packages", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    clients.events.put_targets(Rule="packages", Targets=[{"Id": "queue", "Arn": arn}])
    clients.sagemaker.create_model_package_group(ModelPackageGroupName="g")
    victim.down()
    clients = victim.up("event-sending").clients
    with contextlib.suppress(BotoCoreError):
        clients.sagemaker.create_model_package(ModelPackageGroupName="g")
    victim.wait_until_dead()
    clients = victim.up().clients
    assert len(clients.sagemaker.list_model_packages(ModelPackageGroupName="g")["ModelPackageSummaryList"]) == 1
    found = until(lambda: clients.sqs.receive_message(QueueUrl=queue).get("Messages"), "the event")
    event = json.loads(found[0]["Body"])
    assert (event["detail-type"], event["detail"]["ModelPackageVersion"]) == ("SageMaker Model Package State Change", 1)


@pytest.mark.parametrize(("point", "kept"), [("state-saving:2", []), ("state-replacing:2", ["kept"])])
def test_a_kill_while_the_state_is_saved_leaves_all_of_the_old_or_the_new(
    victim: Victim, point: str, kept: list[str]
) -> None:
    clients = victim.up(point).clients
    clients.sqs.create_queue(QueueName="first")
    until(lambda: b"first" in state(victim.workspace, "sqs"), "the first save")
    clients.cloudformation.create_stack(StackName="kept", TemplateBody=json.dumps(STACK))
    victim.wait_until_dead()
    clients = victim.up().clients
    assert [each["StackName"] for each in clients.cloudformation.describe_stacks()["Stacks"]] == kept
    assert len(clients.sqs.list_queues()["QueueUrls"]) == 1 + len(kept)
    # A running endpoint may be about to save.
    victim.down()
    assert sorted(each.name for each in victim.workspace.state.glob("*.new")) == []


def state(workspace: Workspace, service: str) -> bytes:
    """What is saved of a service of MiniStack's."""
    path = workspace.state / f"{service}.json"
    return path.read_bytes() if path.exists() else b""


def test_a_stopped_endpoint_leaves_its_runs_to_be_resumed(victim: Victim) -> None:
    project = Project(victim.up().clients)
    project.upsert([project.processing("First"), project.processing("Slow", "import time; time.sleep(1)")])
    run = project.start()
    until(lambda: run.statuses().get("First") == "Succeeded", "the first step")
    victim.down()
    run = Execution(victim.up().clients, run.arn)
    until(lambda: run.status == "Failed", "the end of the interrupted run")
    assert run.retry().wait().statuses() == {"First": "Succeeded", "Slow": "Succeeded"}


def test_an_object_half_overwritten_is_mended(tmp_path: Path) -> None:
    content, beside = tmp_path / "b" / "key", tmp_path / "b" / "key.meta.json"
    content.parent.mkdir()
    beside.write_text(json.dumps({"size": 1, "etag": '"old"', "content_type": "text/plain", "key": "key"}))
    whole = tmp_path / "b" / "whole"
    whole.write_text("w")
    whole.with_name("whole.meta.json").write_text(json.dumps({"size": 1, "etag": '"w"'}))
    (tmp_path / "b" / "next.tmp").write_text("hal")
    content.write_text("hops")
    os.utime(beside, ns=(content.stat().st_mtime_ns - 10**9,) * 2)
    assert persistence.mend_objects(tmp_path) == 1
    assert json.loads(beside.read_text()) == {
        "size": 4,
        "etag": f'"{hashlib.md5(b"hops").hexdigest()}"',
        "content_type": "text/plain",
        "key": "key",
        "checksums": {},
    }
    assert sorted(each.name for each in (tmp_path / "b").iterdir()) == [
        "key",
        "key.meta.json",
        "whole",
        "whole.meta.json",
    ]
    assert persistence.mend_objects(tmp_path) == 0


def test_only_listed_crash_points_exist() -> None:
    assert {*FEW, *POINTS} <= set(NAMES)
    with pytest.raises(ValueError, match="'somewhere' is not a crash point"):
        crashpoint("somewhere")


def test_an_address_left_by_a_killed_endpoint_misleads_nobody(victim: Victim) -> None:
    victim.up().kill()
    assert victim.workspace.endpoint.exists()
    assert endpoints.find(victim.workspace) is None
    assert endpoints.stop(victim.workspace) is False
    # Another process by now has the number that the file names.
    other = subprocess.Popen(["sleep", "30"])
    try:
        told = {"url": "http://127.0.0.1:9", "extensions": {}, "pid": other.pid, "detached": True}
        victim.workspace.endpoint.write_text(json.dumps(told))
        victim.up()
        victim.workspace.endpoint.write_text(json.dumps(told))
        assert endpoints.stop(victim.workspace) is False
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
