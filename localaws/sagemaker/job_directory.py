"""The folder of one job, and running the job's command in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from localaws.sagemaker import process
from localaws.sagemaker.failures import JobFailed, JobStopped
from localaws.sagemaker.isolation import ML

MESSAGE_CHARACTERS = 900
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
        self.stop = stop
        shutil.rmtree(root, ignore_errors=True)
        self.ml.mkdir(parents=True)
        self.scratch.mkdir()

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

    def execute(self, command: list[str], environment: dict[str, str], limit_seconds: float, message: str) -> None:
        """Run the command; raise JobFailed or JobStopped unless it ends with 0.

        message: a file in which the command may leave the reason of its failure.
        """
        ended = process.run(command, environment, self.root, self.log, limit_seconds=limit_seconds, stop=self.stop)
        if ended.stopped:
            raise JobStopped
        if ended.timed_out:
            reason = f"the job ran longer than its MaxRuntimeInSeconds ({limit_seconds:g} s) and was stopped."
            raise JobFailed(f"MaxRuntimeExceeded: {reason}", status="Stopped")
        if ended.exit_code:
            why = self.text(message) or process.last_lines(self.log) or "the command printed nothing"
            if shutil.disk_usage(self.root).free < FULL_BYTES:
                # Its log may not have been written either.
                why = f"No space left on device; {why}"
            raise JobFailed(f"AlgorithmError: {why[:MESSAGE_CHARACTERS]}, exit code: {ended.exit_code}")

    def text(self, path: str) -> str:
        """A file's content; empty when there is none. A link out of the folder is not followed."""
        file = self.inside(path)
        return file.read_text(errors="replace").strip() if file.is_file() else ""

    def clear(self) -> None:
        """Remove everything but the log."""
        clear(self.root)


def clear(root: Path) -> None:
    """Remove everything of a job's folder but the log."""
    for name in ("ml", "scratch"):
        shutil.rmtree(root / name, ignore_errors=True)
