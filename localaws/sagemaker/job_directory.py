"""The folder of one job, and running the job's command in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from localaws.sagemaker import container_images, isolation, job_access, launch, process
from localaws.sagemaker.failures import INTERNAL_ERROR, JobFailed, JobStopped
from localaws.sagemaker.isolation import ML
from localaws.store import Document

DAY = 86_400
MESSAGE_CHARACTERS = 850
# Enters the next phase in the job's document: Downloading, Training, Uploading.
Phase = Callable[[str], None]
# Less than this left counts as a full disk.
FULL_BYTES = 65_536


class JobDirectory:
    """The folder of one job: ml/ is its /opt/ml, scratch/ its temporary files, log its output.

    stop: true when the job's command is to be ended.
    """

    def __init__(self, root: Path, stop: Callable[[], bool]) -> None:
        self.root = root
        self.ml = root / "ml"
        self.scratch = root / "scratch"
        self.log = root / "log"
        self.packages = root.parent.parent / "packages"
        self.stop = stop
        shutil.rmtree(root, ignore_errors=True)
        self.ml.mkdir(parents=True)
        self.scratch.mkdir()
        # It is the command's home.
        (self.scratch / ".profile").write_text(launch.PROFILE)

    def inside(self, path: str) -> Path:
        """Where a container path such as /opt/ml/model lies on this machine; JobFailed when it is not below /opt/ml."""
        placed = self.ml / path.removeprefix(ML).lstrip("/")
        if not f"{path}/".startswith(f"{ML}/") or not placed.resolve().is_relative_to(self.ml.resolve()):
            raise JobFailed(f"ClientError: {path} is not below {ML}.")
        return placed

    def make(self, path: str) -> Path:
        """The folder of a container path, made."""
        folder = self.inside(path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def note(self, text: str) -> None:
        """Write a line of this package's own to the job's log."""
        with self.log.open("a") as log:
            log.write(f"[localaws] {text}\n")

    def execute(
        self, job: Document, command: list[str], environment: dict[str, str], *, message: str, cwd: str = ""
    ) -> None:
        """Run the job's command; raise JobFailed or JobStopped unless it ends with 0.

        environment: the variables beside those of AWS and of the job's request. message: a file in which the command
        may leave the reason of its failure. cwd: the command's folder, a container path.
        """
        arn = next(value for name, value in job.items() if name.endswith("JobArn"))
        access = job_access.for_job(job, arn)
        self.note(f"isolation: {isolation.describe()}; {access.note}")
        limit = seconds_allowed(job)
        try:
            ended = process.run(
                command,
                access.environment
                | container_images.variables(image_of(job))
                | environment
                | job.get("Environment", {}),
                self.root,
                self.log,
                cwd=cwd,
                limit_seconds=limit,
                stop=self.stop,
                port=access.port,
            )
        except OSError as error:
            raise JobFailed(f"InternalServerError: the job cannot be isolated: {error}", INTERNAL_ERROR) from error
        if ended.stopped:
            raise JobStopped
        if ended.timed_out:
            reason = f"the job ran longer than its MaxRuntimeInSeconds ({limit:g} s) and was stopped."
            raise JobFailed(f"MaxRuntimeExceeded: {reason}", status="Stopped")
        if ended.exit_code:
            tail = process.last_lines(self.log)
            reason = self._reason(message) + access.explain(tail) + container_images.explain(image_of(job), tail)
            raise JobFailed(f"AlgorithmError: {reason}, exit code: {ended.exit_code}")

    def _reason(self, message: str) -> str:
        """Why the command failed, from its message, its log or a full disk."""
        reason = self.text(message) or process.last_lines(self.log) or "the command printed nothing"
        # Its log may not have been written either.
        full = shutil.disk_usage(self.root).free < FULL_BYTES
        return f"{'No space left on device; ' if full else ''}{reason}"[:MESSAGE_CHARACTERS]

    def text(self, path: str) -> str:
        """A file's content; empty when there is none. A link out of the folder is not followed."""
        file = self.inside(path)
        return file.read_text(errors="replace").strip() if file.is_file() else ""

    def clear(self) -> None:
        """Remove everything but the log."""
        clear(self.root)


def image_of(job: Document) -> str:
    """The image of a processing or training job; empty for one of the Marketplace."""
    specification = job.get("AppSpecification") or job.get("AlgorithmSpecification", {})
    return str(specification.get("ImageUri") or specification.get("TrainingImage", ""))


def seconds_allowed(job: Document) -> float:
    """A job's MaxRuntimeInSeconds."""
    return float(job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY))


def clear(root: Path) -> None:
    """Remove everything of a job's folder but the log."""
    for name in ("ml", "scratch", "mnt"):
        shutil.rmtree(root / name, ignore_errors=True)
