"""The endpoint's disk is full, read-only or damaged: it is told in three lines, and nothing is left half."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import FlexibleChecksumError

from benchmarks.support.crash import Victim
from localaws.errors import ExpectedError
from localaws.ministack import persistence
from localaws.sagemaker import isolation
from localaws.store import Store
from localaws.workspace import Workspace

MAY_MOUNT = bool(shutil.which("unshare")) and isolation.works("mounted")


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
    content = persistence.sealed("sqs", {"queues": {"naïve": 1}})
    path.write_bytes(content)
    persistence.refuse_damaged(path.parent)
    path.write_bytes(DAMAGES[damage](content))
    with pytest.raises(ExpectedError) as caught:
        persistence.refuse_damaged(path.parent)
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


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts a small disk, which needs Linux's unshare")
def test_a_disk_that_fills_up_fails_the_step_and_leaves_nothing_half(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    done = subprocess.run(
        [*mounted("size=6m", folder), sys.executable, "-m", "tests.support.full_disk", str(folder)],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "No space left on device" in told.pop("reason")
    assert told == {"status": "Failed", "objects": ["code"], "object": "500", "after": "Succeeded"}
