"""The endpoint is killed, or the disk is full: nothing that was finished is lost, and the rest says what to do."""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, FlexibleChecksumError

from pipelines.errors import ExpectedError
from pipelines.local import durable
from pipelines.local import endpoint as endpoints
from pipelines.local.crashpoints import NAMES, crashpoint
from pipelines.local.sagemaker import isolation
from pipelines.local.store import Store
from pipelines.local.workspace import Workspace
from tests.crash import POINTS, Victim, build, environment, made, orphans, resume, wait_for_no_orphans
from tests.definitions import Execution, Project, until

STACK = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "kept"}},
    }
}
# benchmarks/crash.py goes through all the points, and random moments.
FEW = ("execution-created", "job-uploaded", "cache-kept", "package-stored", "execution-finishing")
MAY_MOUNT = bool(shutil.which("unshare")) and isolation.works("mounted")


@pytest.fixture
def victim(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Victim]:
    # A dead endpoint shall be an error at once.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    victim = Victim(workspace)
    yield victim
    if victim.alive:
        victim.down()


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
    with environment(TAPLINE_NAMESPACES=namespaces):
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
    assert durable.mend_objects(tmp_path) == 1
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
    assert durable.mend_objects(tmp_path) == 0


def test_only_listed_crash_points_exist() -> None:
    assert {*FEW, *POINTS} <= set(NAMES)
    with pytest.raises(ValueError, match="'somewhere' is not a crash point"):
        crashpoint("somewhere")


def start_error(workspace: Path, *prefix: str) -> tuple[int, list[str]]:
    """(exit code, the lines on stderr) of an endpoint that cannot start; it is started inside `prefix`."""
    up = [sys.executable, "-m", "pipelines.local", "up", "--workspace", str(workspace)]
    done = subprocess.run([*prefix, *up], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.strip().splitlines()


def mounted(options: str, folder: Path, fill: int = 0) -> list[str]:
    """The beginning of a command that runs what follows with a small file system mounted on `folder`."""
    folder.mkdir()
    script = 'mount -t tmpfs -o "$1" none "$2" || exit 99; [ "$3" = 0 ] || head -c "$3" /dev/zero > "$2/full"; '
    script += 'shift 3; "$@"; exit $?'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", options, str(folder), str(fill)]


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts a small disk, which needs Linux's unshare")
@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ("size=256k", "No space left on device", "free some space"),
        ("ro", "Read-only file system", "give a folder of your own with --workspace DIR"),
    ],
)
def test_a_workspace_that_cannot_be_written_is_told_in_three_lines(
    tmp_path: Path, options: str, what: str, hint: str
) -> None:
    folder = tmp_path / "disk"
    assert start_error(folder, *mounted(options, folder)) == (
        5,
        [f"Error: the workspace cannot be written: {what}", f"Where: {folder}", f"Try: {hint}"],
    )


@pytest.mark.parametrize("marker", ['{"format": 1}', '{"format": 99}', "{}", "half a l"])
def test_a_workspace_of_another_format_is_refused(workspace: Workspace, marker: str) -> None:
    workspace.root.mkdir()
    workspace.marker.write_text(marker)
    found = "".join(each for each in marker if each.isdigit()) or None
    assert start_error(workspace.root) == (
        5,
        [
            f"Error: the workspace is of format {found}, this release reads format 2",
            f"Where: {workspace.marker}",
            f"Try: rm -r {workspace.root}, or use another --workspace",
        ],
    )
    assert [each.name for each in workspace.root.iterdir()] == ["workspace.json"]


@pytest.mark.parametrize("name", ["sagemaker.db", "delivery.db"])
def test_a_damaged_database_is_refused(workspace: Workspace, name: str) -> None:
    workspace.create()
    path = workspace.root / name
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 64)
    code, lines = start_error(workspace.root)
    assert (code, lines[0].partition(": ")[2].partition(": ")[0]) == (5, "the database cannot be used")
    assert lines[1:] == [
        f"Where: {path}",
        f"Try: free some space if the disk is full; else begin anew: rm -r {workspace.root}",
    ]


def test_a_document_that_has_changed_on_the_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sagemaker.db"
    store = Store(path)
    store.put("execution", "arn:e", {"Status": "Succeeded"})
    store.put("model-package", "arn:p", {"Version": 3})
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE document SET body = replace(body, '3', '1') WHERE kind = 'model-package'")
    assert store.get("execution", "arn:e") == {"Status": "Succeeded"}
    what = "the database cannot be used: the model-package arn:p is damaged: its checksum does not match"
    for reading in (
        lambda: store.get("model-package", "arn:p"),
        lambda: store.all("model-package"),
        lambda: Store(path),
    ):
        with pytest.raises(ExpectedError) as caught:
            reading()
        assert (caught.value.what, caught.value.where) == (what, str(path))


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "first byte": lambda content: flipped(content, 0),
    "version": lambda content: flipped(content, content.index(b": ") + 2),
    "digest": lambda content: flipped(content, content.index(b"sha256") + 12),
    "payload": lambda content: flipped(content, len(content) // 2 + 60),
    "last byte": lambda content: flipped(content, len(content) - 1),
    "cut": lambda content: content[:-10],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_saved_state_that_has_changed_on_the_disk_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state" / "sqs.json"
    path.parent.mkdir()
    content = durable.sealed("sqs", {"queues": {"naïve": 1}})
    path.write_bytes(content)
    durable.refuse_damaged(path.parent)
    path.write_bytes(DAMAGES[damage](content))
    with pytest.raises(ExpectedError) as caught:
        durable.refuse_damaged(path.parent)
    assert str(caught.value).splitlines() == [
        "Error: the saved state of sqs is damaged",
        f"Where: {path}",
        f"Try: put back a copy of it, or begin anew: rm -r {tmp_path}",
    ]


def test_what_a_stopped_endpoint_saved_is_whole_and_damage_to_it_is_told_at_the_next_start(victim: Victim) -> None:
    clients = victim.up().clients
    clients.sqs.create_queue(QueueName="first")
    clients.s3.create_bucket(Bucket="kept")
    clients.s3.put_object(Bucket="kept", Key="hops", Body=b"bitter")
    assert victim.down() == 0
    content = victim.workspace.objects / "000000000000" / "kept" / "hops"
    written = content.stat()
    content.write_bytes(b"better")
    # The disk changes a byte without a word to anybody.
    os.utime(content, ns=(written.st_atime_ns, written.st_mtime_ns))
    clients = victim.up().clients
    assert len(clients.sqs.list_queues()["QueueUrls"]) == 1
    with pytest.raises(FlexibleChecksumError):
        clients.s3.get_object(Bucket="kept", Key="hops")["Body"].read()
    assert victim.down() == 0
    path = victim.workspace.state / "sqs.json"
    path.write_bytes(path.read_bytes()[:-20])
    code, lines = start_error(victim.workspace.root)
    assert (code, lines[:2]) == (5, ["Error: the saved state of sqs is damaged", f"Where: {path}"])


def test_an_address_left_by_a_killed_endpoint_misleads_nobody(victim: Victim) -> None:
    victim.up().kill()
    assert victim.workspace.endpoint.exists()
    assert endpoints.find(victim.workspace) is None
    assert endpoints.stop(victim.workspace) is False
    # Another process by now has the number that the file names.
    other = subprocess.Popen(["sleep", "30"])
    try:
        told = {"url": "http://127.0.0.1:9", "beers": "http://127.0.0.1:9", "pid": other.pid, "detached": True}
        victim.workspace.endpoint.write_text(json.dumps(told))
        victim.up()
        victim.workspace.endpoint.write_text(json.dumps(told))
        assert endpoints.stop(victim.workspace) is False
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts a small disk, which needs Linux's unshare")
def test_a_disk_that_fills_up_fails_the_step_and_leaves_nothing_half(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    done = subprocess.run(
        [*mounted("size=6m", folder), sys.executable, "-m", "tests.full_disk", str(folder)],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "No space left on device" in told.pop("reason")
    assert told == {"status": "Failed", "objects": ["code"], "object": "500", "after": "Succeeded"}
