"""The workspace: the one folder that holds everything of a local endpoint.

endpoint.json     the running endpoint's address and process    lock       held by the running endpoint
workspace.json    its format, ports and extensions              state/     Lambda's code
credentials.json  its access key                                objects/   the content of the buckets' objects
objects.db        their keys and metadata                       jobs/      one folder per step that ran
sagemaker.db      pipelines, executions, jobs, model packages   models/    one folder per container that serves
state.db          MiniStack's other services                    scratch/   temporary files
delivery.db       records accepted and not yet delivered
"""

import contextlib
import errno
import fcntl
import fnmatch
import json
import os
import shlex
import shutil
import zlib
from pathlib import Path
from typing import IO, Any

from localaws.errors import CONFLICT, ENVIRONMENT, WRONG_USAGE, ExpectedError, quoted
from localaws.security import credentials

# Raised when a release can no longer read what an older one wrote.
FORMAT = 5
# Local seconds for a second of AWS's own waiting: 60 s of buffering are 0.3 s, a state machine's 30 s are 0.15 s.
TIME_SCALE = 0.005
# The space that must be free at the start; a run of the whole chain takes about 10 MB.
PROBE_BYTES = 1 << 20
# What a workspace may hold; a folder with anything else is never deleted. The patterns cover SQLite's files.
CONTENTS = (
    ".gitignore",
    ".write-*",
    "credentials.json*",
    "delivery.db*",
    "endpoint.json*",
    "endpoint.log*",
    "jobs",
    "lock",
    "models",
    "objects",
    "objects.db*",
    "sagemaker.db*",
    "scratch",
    "state",
    "state.db*",
    "workspace.json*",
)


class Workspace:
    """Paths below one folder; nothing is created before `create`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.endpoint = self.root / "endpoint.json"
        self.marker = self.root / "workspace.json"
        self.credentials = self.root / "credentials.json"
        self.lock = self.root / "lock"
        self.log = self.root / "endpoint.log"
        self.state = self.root / "state"
        self.objects = self.root / "objects"
        self.database = self.root / "sagemaker.db"
        self.services = self.root / "state.db"
        self.jobs = self.root / "jobs"
        self.models = self.root / "models"
        self.scratch = self.root / "scratch"

    def create(self) -> None:
        """Make the folder, readable by its owner alone, with its access key.

        Raises ExpectedError when it cannot be made or written, is of another format, or holds files of others.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not self.marker.exists():
                self._refuse_others("the folder is not empty and is not a workspace")
                self.root.chmod(0o700)
            probe = self.root / f".write-{os.getpid()}"
            try:
                # Some bytes: an empty file can be made on a full disk.
                probe.write_bytes(bytes(PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)
            self._check_format()
            self.scratch.mkdir(exist_ok=True)
            credentials.create(self.credentials)
        except OSError as error:
            full = error.errno == errno.ENOSPC
            raise ExpectedError(
                f"the workspace cannot be written: {error.strerror or error}",
                where=str(self.root),
                hint="free some space" if full else "give a folder of your own with --workspace DIR",
                code=ENVIRONMENT,
            ) from error

    def _check_format(self) -> None:
        if not self.marker.exists():
            write_atomically(self.marker, {"format": FORMAT})
            # Git, and the linters that read .gitignore, pass the folder by.
            (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
            return
        found = read_json(self.marker).get("format")
        if found != FORMAT:
            raise ExpectedError(
                f"the workspace is of format {found}, this release reads format {FORMAT}",
                where=str(self.marker),
                hint=f"rm -r {quoted(self.root)}",
                code=ENVIRONMENT,
            )

    def prepare(self) -> None:
        """Make the folders an endpoint needs and clear the temporary files of an earlier one."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.state, self.objects, self.jobs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def refuse_foreign(self) -> None:
        """Raise ExpectedError unless the folder is a workspace, not a link to one, with nothing else in it."""
        if self.root.is_symlink():
            raise self._not_deleted("the workspace is a symbolic link")
        if not isinstance(read_json(self.marker).get("format"), int):
            raise self._not_deleted("the folder is not a workspace")
        self._refuse_others("the workspace holds files that are not the endpoint's")

    def _refuse_others(self, what: str) -> None:
        names = sorted(each.name for each in self.root.iterdir())
        others = [name for name in names if not any(fnmatch.fnmatchcase(name, each) for each in CONTENTS)]
        if others:
            raise self._not_deleted(f"{what}: {', '.join(others[:3])}{', ...' if others[3:] else ''}")

    def _not_deleted(self, what: str) -> ExpectedError:
        return ExpectedError(
            what, where=str(self.root), hint="give the workspace's own folder with --workspace DIR", code=WRONG_USAGE
        )

    def delete(self) -> None:
        """Delete the folder and everything in it; the marker goes last, so that a cut-off call can be repeated."""
        for path in self.root.iterdir():
            if path == self.marker:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                # SQLite removes its own files when the last connection closes.
                path.unlink(missing_ok=True)
        shutil.rmtree(self.root)

    def read_endpoint(self) -> dict[str, Any] | None:
        """The content of endpoint.json, or None when it is missing or damaged; it may be stale after a kill -9."""
        content = read_json(self.endpoint)
        return content if {"url", "pid", "extensions", "detached"} <= content.keys() else None

    def write_endpoint(self, endpoint: dict[str, Any]) -> None:
        """Write where the endpoint answers, and store its ports and extensions for the next start."""
        ports = {name: int(url.rpartition(":")[2]) for name, url in endpoint["extensions"].items()}
        marker = {
            "format": FORMAT,
            "ports": {"endpoint": endpoint["port"], **ports},
            "extensions": endpoint["extension_classes"],
        }
        write_atomically(self.marker, marker)
        write_atomically(self.endpoint, endpoint)

    def paste_line(self) -> str:
        """The line that gives a shell the address and the credentials of the workspace's endpoint."""
        return f'eval "$(python -m localaws env --workspace {shlex.quote(str(self.root))})"'

    def last_port(self, server: str) -> int:
        """The last port of "endpoint" or of an extension, or 0: addresses stored in the state stay valid with it."""
        return int(read_json(self.marker).get("ports", {}).get(server, 0))

    def extensions(self) -> list[str]:
        """The extensions that the endpoint was last started with, as `module:Class`."""
        return list(read_json(self.marker).get("extensions", []))


def take_lock(workspace: Workspace) -> IO[str]:
    """The workspace's lock, open and held; ExpectedError when another endpoint holds it."""
    handle = workspace.lock.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise ExpectedError(
            "the workspace is in use by another endpoint",
            where=str(workspace.root),
            hint=f"python -m localaws down --workspace {quoted(workspace.root)}",
            code=CONFLICT,
        ) from error
    return handle


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or {} when it is missing, not one, or not as it was written."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.pop("checksum", _checksum(content)) == _checksum(content):
            return content
    return {}


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps({name: value for name, value in content.items() if name != "checksum"}).encode())


def write_atomically(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file so that readers see the old or the new one, never a half."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            json.dump(content | {"checksum": _checksum(content)}, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
