"""Kill an endpoint while a small pipeline runs, resume the run, and compare its results with an undisturbed run.

tests/localaws/test_crash.py does a few kills, `python -m benchmarks.crash` many.
"""

import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.exceptions

from benchmarks.support.definitions import Execution, Project, compare, condition, json_get, output, until
from localaws import endpoint as endpoints
from localaws.sagemaker.isolation import MARK
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from pipelines.account.executions import UNFINISHED

PREPARE = """
    import hashlib, json
    rows = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(2000)]
    (OUTPUT / 'rows' / 'rows.txt').write_text('\\n'.join(rows))
    (OUTPUT / 'rows' / 'report.json').write_text(json.dumps({'rows': len(rows)}))
"""
TRAIN = """
    import hashlib, os, pathlib
    rows = pathlib.Path(os.environ['SM_CHANNEL_ROWS'], 'rows.txt').read_bytes()
    pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.txt').write_text(hashlib.sha256(rows).hexdigest())
"""
# The points that a run of the pipeline passes, in their order.
POINTS = (
    "execution-created",
    "step-begun",
    "job-recorded",
    "job-inputs",
    "job-ended",
    "job-uploaded",
    "job-finished",
    "cache-stored",
    "step-finished",
    "package-stored",
    "execution-finishing",
    "event-sending",
)


class Victim:
    """An endpoint in a workspace, to be killed and restarted."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.clients: Clients
        self._process: subprocess.Popen[str] | None = None

    def up(self, crash_at: str = "") -> "Victim":
        """Start the endpoint; it dies at the crash point, if one is named."""
        with environment(LOCALAWS_CRASH_AT=crash_at):
            endpoint, self._process = endpoints.start(self.workspace, detached=False)
        # A dead endpoint is an error at once.
        self.clients = Clients(endpoint, attempts=1)
        return self

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL the endpoint's process, and nothing else."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self.wait_until_dead()

    def wait_until_dead(self) -> None:
        assert self._process is not None
        self._process.wait(30)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def down(self) -> int:
        """Stop the endpoint in the normal way. Returns its exit code: 0, or minus the number of a signal."""
        assert self._process is not None and self._process.stdin is not None
        if self.alive:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        return self._process.wait(30)


def build(project: Project) -> None:
    """The pipeline: Prepare (cached) -> Train -> Check -> Register."""
    file = {"PropertyFileName": "Report", "OutputName": "rows", "FilePath": "report.json"}
    cached = {"Enabled": True, "ExpireAfter": "P1D"}
    prepare = project.processing("Prepare", PREPARE, outputs=("rows",), PropertyFiles=[file], CacheConfig=cached)
    train = project.training("Train", TRAIN, channels={"rows": output("Prepare", "rows")})
    register = project.register("Register", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"})
    enough = compare("GreaterThan", json_get("Prepare", "Report", "rows"), 1000)
    project.upsert([prepare, {**train, "DependsOn": ["Prepare"]}, condition("Check", enough, then=(register,))])


def made(project: Project, run: Execution) -> dict[str, str]:
    """SHA-256 of each artifact of a finished run. Names and ARNs differ between runs and are left out."""
    steps = run.steps()
    job = steps["Prepare"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    outputs = project.clients.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingOutputConfig"]
    prefix = outputs["Outputs"][0]["S3Output"]["S3Uri"].removeprefix(project.uri(""))
    package = project.clients.sagemaker.describe_model_package(
        ModelPackageName=steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    )
    model = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"].removeprefix(project.uri(""))
    keys = {"rows": f"{prefix}/rows.txt", "report": f"{prefix}/report.json", "model": model}
    return {name: hashlib.sha256(project.get(key)).hexdigest() for name, key in keys.items()}


def succeeded(run: Execution) -> dict[str, Any]:
    """Step name -> end time, for the steps that succeeded."""
    return {name: step["EndTime"] for name, step in run.steps().items() if step["StepStatus"] == "Succeeded"}


def resume(victim: Victim, run: Execution) -> None:
    """Retry an execution that a kill has interrupted; the endpoint may be killed again meanwhile.

    Raises AssertionError if the execution is neither Succeeded nor resumable, or a finished step runs again.
    """
    described = run.describe()
    if described["PipelineExecutionStatus"] == "Succeeded":
        return
    assert described["PipelineExecutionStatus"] == "Failed", described
    assert "RetryPipelineExecution resumes" in described["FailureReason"], described
    assert set(run.statuses().values()) <= {"Succeeded", "Failed"}
    before = succeeded(run)
    with contextlib.suppress(botocore.exceptions.BotoCoreError):
        run.retry()
        until(lambda: not victim.alive or run.status not in UNFINISHED, run.arn)
        now = succeeded(run)
        assert {name: now.get(name) for name in before} == before, "a finished step was run again"


def wait_until_saved(workspace: Workspace, text: str) -> None:
    """Wait until a saved entry of MiniStack's services contains a text."""

    def saved() -> bool:
        with contextlib.closing(sqlite3.connect(workspace.services)) as database:
            rows = database.execute("SELECT body FROM row").fetchall()
        return any(text.encode() in zlib.decompress(body) for (body,) in rows)

    until(saved, "the save")


def orphans(folder: Path) -> list[str]:
    """Command lines of the processes that jobs below a folder left running."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_for_no_orphans(folder: Path) -> None:
    """Wait until the system has ended the steps of a killed endpoint; AssertionError after five seconds."""
    deadline = time.monotonic() + 5
    while orphans(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert orphans(folder) == []


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
