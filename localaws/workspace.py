"""The workspace: the one folder in which everything of a local endpoint lies.

endpoint.json   who answers, where (only while it runs)        lock       held by the running endpoint
state/          MiniStack's services                            objects/   the buckets' objects, as files
sagemaker.db    pipelines, executions, jobs, model packages     jobs/      one folder per step that ran
delivery.db     records accepted and not yet delivered          scratch/   temporary files
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from localaws.errors import CONFLICT, ENVIRONMENT, ExpectedError

# Raised when a release can no longer read what an older one wrote.
FORMAT = 3
# Local seconds for a second of AWS's own waiting: 60 s of buffering are 0.3 s, a state machine's 30 s are 0.15 s.
TIME_SCALE = 0.005
# What must at least be free to begin; a run of the whole chain takes about 10 MB.
PROBE_BYTES = 1 << 20


class Workspace:
    """Paths below one folder; nothing is created before `prepare`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.endpoint = self.root / "endpoint.json"
        self.marker = self.root / "workspace.json"
        self.lock = self.root / "lock"
        self.log = self.root / "endpoint.log"
        self.state = self.root / "state"
        self.objects = self.root / "objects"
        self.database = self.root / "sagemaker.db"
        self.jobs = self.root / "jobs"
        self.scratch = self.root / "scratch"

    def create(self) -> None:
        """Make the folder; raise ExpectedError when it cannot be made or written, or is of another format."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".write-{os.getpid()}"
            try:
                # Some bytes: an empty file can be made on a full disk.
                probe.write_bytes(bytes(PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)
            self._check_format()
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
            # Nothing in here is anybody's source: git and the linters that heed it pass it by.
            (self.root / ".gitignore").write_text("*\n")
            write_atomically(self.marker, {"format": FORMAT})
            return
        found = read_json(self.marker).get("format")
        if found != FORMAT:
            raise ExpectedError(
                f"the workspace is of format {found}, this release reads format {FORMAT}",
                where=str(self.marker),
                hint=f"rm -r {self.root}, or use another --workspace",
                code=ENVIRONMENT,
            )

    def prepare(self) -> None:
        """Make the folders an endpoint needs and drop what a killed one left behind in scratch."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.state, self.objects, self.jobs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def read_endpoint(self) -> dict[str, Any] | None:
        """What endpoint.json says, or None; it may be stale after a kill -9."""
        return read_json(self.endpoint) or None

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
        root = workspace.root
        raise ExpectedError(
            "the workspace is in use by another endpoint",
            where=str(root),
            hint=f"wait for it, or python -m localaws down --workspace {root}, or another --workspace",
            code=CONFLICT,
        ) from error
    return handle


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or {} when it is missing or not one."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
    return {}


def write_atomically(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file so that readers see the old or the new one, never a half."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as handle:
            json.dump(content, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
