"""The endpoint's disk is full, read-only or damaged: three lines describe it, and nothing is left half written."""

import contextlib
import datetime
import decimal
import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.crash import Victim
from localaws import endpoint as endpoints
from localaws.endpoint import DEVELOPER
from localaws.errors import ExpectedError
from localaws.sagemaker import isolation
from localaws.store import Store
from localaws.values import dump, load
from localaws.workspace import FORMAT, Workspace
from pipelines.account.clients import Clients

MAY_MOUNT = bool(shutil.which("unshare")) and not isolation.plain_because()


def start_error(workspace: Path) -> tuple[int, list[str]]:
    """(exit code, the lines on stderr) of an endpoint that cannot start."""
    with pytest.raises(ExpectedError) as caught:
        endpoints.start(Workspace(workspace), detached=False)
    return caught.value.code, str(caught.value).splitlines()


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
def test_a_workspace_that_cannot_be_written_is_described_in_three_lines(
    tmp_path: Path, options: str, what: str, hint: str
) -> None:
    folder = tmp_path / "disk"
    up = [*mounted(options, folder), sys.executable, "-m", "pipelines.local", "up", "--workspace", str(folder)]
    done = subprocess.run(up, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip().splitlines()) == (
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
            f"Error: the workspace is of format {found}, this release reads format {FORMAT}",
            f"Where: {workspace.marker}",
            f"Try: rm -r {workspace.root}",
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
        f"Try: free some space if the disk is full; else start again from nothing: rm -r {workspace.root}",
    ]


def test_a_document_that_has_changed_on_the_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sagemaker.db"
    store = Store(path)
    store.put("execution", "arn:e", {"Status": "Succeeded"})
    store.put("model-package", "arn:p", {"Version": 3})
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE row SET body = CAST(body || x'00' AS BLOB) WHERE kind = 'model-package'")
    assert store.get("execution", "arn:e") == {"Status": "Succeeded"}
    what = "the model-package arn:p is damaged: its checksum does not match"
    for reading, damage in (
        (lambda: store.get("model-package", "arn:p"), what),
        (lambda: store.all("model-package"), what),
        (lambda: Store(path), what),
    ):
        with pytest.raises(ExpectedError) as caught:
            reading()
        assert (caught.value.what, caught.value.where) == (f"the database cannot be used: {damage}", str(path))


DOCUMENTS = [{"number": number, "text": "approved" * 40} for number in range(60)]


def killed_store(folder: Path) -> dict[str, bytes]:
    """The files of a store whose process was killed: half of its documents are in the write-ahead log alone."""
    store = Store(folder / "sagemaker.db")
    for number, document in enumerate(DOCUMENTS):
        store.put("package", f"arn:{number}", document)
        if number == 30:
            with contextlib.closing(sqlite3.connect(folder / "sagemaker.db")) as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert set(files) == {"sagemaker.db", "sagemaker.db-wal", "sagemaker.db.commits"}
    return files


def damages(content: bytes, chance: random.Random, flips: int, cuts: int) -> Iterator[bytes | None]:
    """A file's content with one changed byte, cut short, and None for a file that is deleted."""
    for place in chance.choices(range(len(content)), k=flips):
        yield content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
    for length in chance.choices(range(len(content)), k=cuts):
        yield content[:length]
    yield None


@pytest.mark.parametrize("name", ["sagemaker.db", "sagemaker.db-wal", "sagemaker.db.commits"])
def test_a_damaged_or_deleted_file_of_a_database_is_refused_or_costs_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "killed").mkdir()
    files = killed_store(tmp_path / "killed")
    refused = 0
    for number, content in enumerate(damages(files[name], random.Random(1), 40, 10)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for each, whole in files.items():
            (folder / each).write_bytes(whole)
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        try:
            store = Store(folder / "sagemaker.db")
            assert store.all("package") == DOCUMENTS
            store.close()
        except ExpectedError as error:
            assert (error.code, len(str(error).splitlines())) == (5, 3)
            refused += 1
    assert (refused > 0) == (name != "sagemaker.db.commits")


def test_the_loss_of_the_newest_commits_can_be_accepted(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    for name, content in killed_store(tmp_path / "killed").items():
        (tmp_path / name).write_bytes(b"" if name.endswith("-wal") else content)
    with pytest.raises(ExpectedError) as caught:
        Store(tmp_path / "sagemaker.db")
    assert caught.value.what == "the database cannot be used: the newest 29 of 60 commits are lost"
    command, _, path = caught.value.hint.partition(" accepts")[0].partition(" ")
    assert (command, path) == ("rm", str(tmp_path / "sagemaker.db.commits"))
    Path(path).unlink()
    assert Store(tmp_path / "sagemaker.db").all("package") == DOCUMENTS[:31]


VALUES = [
    decimal.Decimal("1.5"),
    datetime.date(2026, 11, 27),
    datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC),
    datetime.time(1, 2),
    datetime.timedelta(seconds=1),
    b"\x00\xff",
    bytearray(b"b"),
    uuid.UUID(int=7),
    {(1, "a"): {1, 2}, 3: (4, 5)},
    frozenset({1}),
    float("inf"),
    2**70,
    "\ud800",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_the_state_holds_a_value_of_any_type(value: object) -> None:
    assert (type(load(dump(value))), load(dump(value))) == (type(value), value)


def test_the_state_refuses_what_would_run_code() -> None:
    with pytest.raises(pickle.PicklingError, match=r"a subprocess\.Popen is not saved"):
        dump(subprocess.Popen)
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.getcwd is refused"):
        load(pickle.dumps(os.getcwd))


def test_a_stopped_endpoint_saves_everything_and_the_next_start_refuses_damage(victim: Victim) -> None:
    clients = victim.up().clients
    clients.sqs.create_queue(QueueName="first")
    clients.s3.create_bucket(Bucket="bucket")
    clients.s3.put_object(Bucket="bucket", Key="hops", Body=b"bitter")
    assert victim.down() == 0
    [content] = victim.workspace.objects.iterdir()
    written = content.stat()
    content.write_bytes(b"better")
    os.utime(content, ns=(written.st_atime_ns, written.st_mtime_ns))
    clients = victim.up().clients
    assert len(clients.sqs.list_queues()["QueueUrls"]) == 1
    with pytest.raises(ClientError, match="damaged"):
        clients.s3.get_object(Bucket="bucket", Key="hops")
    assert victim.down() == 0
    victim.workspace.services.unlink()
    code, lines = start_error(victim.workspace.root)
    assert (code, lines[0].partition(" is missing")[0]) == (5, "Error: the database cannot be used: the file")


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts a small disk, which needs Linux's unshare")
def test_a_disk_that_fills_up_fails_the_step_and_leaves_nothing_half(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    done = subprocess.run(
        [*mounted("size=6m", folder), sys.executable, "-m", "tests.support.full_disk", str(folder)],
        capture_output=True,
        text=True,
        timeout=90,
        # Its step needs none of the libraries.
        env={**os.environ, "LOCALAWS_COLD": "1"},
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert "No space left on device" in printed.pop("reason")
    assert printed == {"status": "Failed", "objects": ["code"], "object": "500", "after": "Succeeded"}


@pytest.mark.release
def test_damage_to_any_file_of_a_workspace_is_refused_or_costs_nothing(victim: Victim, tmp_path: Path) -> None:
    clients = victim.up().clients
    expected = fill(clients)
    victim.kill()
    chance = random.Random(7)
    files = [path for path in victim.workspace.root.rglob("*") if path.is_file() and path.stat().st_size]
    chance.shuffle(files)
    assert len(files) < 120
    refused = healed = 0
    for number in range(120):
        path = files[number % len(files)]
        content = path.read_bytes()
        place = chance.randrange(len(content))
        damaged = (
            content[:place] if number % 6 == 0 else content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        )
        copy = Victim(Workspace(tmp_path / f"copy-{number}"))
        shutil.copytree(victim.workspace.root, copy.workspace.root)
        (copy.workspace.root / path.relative_to(victim.workspace.root)).write_bytes(damaged)
        try:
            copy.up()
        except ExpectedError as error:
            assert len(str(error).splitlines()) == 3, path
            refused += 1
            continue
        try:
            assert read(copy.clients, expected.keys()) == expected, path
            healed += 1
        except ClientError as error:
            assert "damaged" in str(error), path
            refused += 1
        finally:
            copy.down()
            shutil.rmtree(copy.workspace.root)
    assert refused + healed == 120
    assert refused > 30


def fill(clients: Clients) -> dict[str, object]:
    """Put something into each kind of a workspace's files; returns what `read` returns of it."""
    clients.s3.create_bucket(Bucket="bucket")
    for number in range(5):
        clients.s3.put_object(Bucket="bucket", Key=f"key-{number}", Body=b"hops" * 500, Metadata={"n": str(number)})
    for number in range(5):
        clients.sqs.create_queue(QueueName=f"queue-{number}")
        clients.sagemaker.create_model_package_group(ModelPackageGroupName=f"group-{number}")
        clients.sagemaker.create_model_package(ModelPackageGroupName=f"group-{number}")
        arn = clients.sagemaker.list_model_packages(ModelPackageGroupName=f"group-{number}")
        package = arn["ModelPackageSummaryList"][0]["ModelPackageArn"]
        clients.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    topic = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    clients.cloudformation.create_stack(StackName="stack", TemplateBody=json.dumps(topic))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.py", "def b(event, context): return 'hops'")
    clients["lambda"].create_function(
        FunctionName="function",
        Runtime="python3.12",
        Handler="a.b",
        Role=DEVELOPER,
        Code={"ZipFile": buffer.getvalue()},
    )
    time.sleep(3)
    return read(clients, ["objects", "queues", "approvals", "stacks", "answer"])


def read(clients: Clients, names: Iterable[str]) -> dict[str, object]:
    objects = [clients.s3.get_object(Bucket="bucket", Key=f"key-{number}") for number in range(5)]
    queues = clients.sqs.list_queues().get("QueueUrls", [])
    groups = clients.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    packages = [
        clients.sagemaker.list_model_packages(ModelPackageGroupName=group["ModelPackageGroupName"]) for group in groups
    ]
    stacks = clients.cloudformation.describe_stacks()["Stacks"]
    found: dict[str, object] = {
        "stacks": [(each["StackName"], each["StackStatus"]) for each in stacks],
        "answer": clients["lambda"].invoke(FunctionName="function")["Payload"].read(),
        "objects": [(each["Body"].read(), each["Metadata"]) for each in objects],
        "queues": sorted(url.rpartition("/")[2] for url in queues),
        "approvals": [
            (each["ModelPackageArn"], each["ModelApprovalStatus"])
            for listed in packages
            for each in listed["ModelPackageSummaryList"]
        ],
    }
    return {name: found[name] for name in names}
