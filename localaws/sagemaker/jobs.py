"""Jobs: their documents from the request to the end, run for a step of a pipeline or by an API call of their own.

A kind of job is data (`JobKind`); what its container does is the kind's `run`. `jobs_api` serves the operations.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from localaws import shapes
from localaws.crashpoints import crashpoint
from localaws.sagemaker import isolation, logs, s3
from localaws.sagemaker.failures import INTERNAL_ERROR, JobFailed, JobStopped, inject_failure
from localaws.sagemaker.job_directory import JobDirectory, Phase, clear
from localaws.sagemaker.service import Service, now
from localaws.store import Document

UNDER_WAY = ("InProgress", "Stopping")
Runner = Callable[[Document, JobDirectory, Phase], None]
logger = logging.getLogger("localaws.sagemaker")


def _nothing(_: Document) -> Document:
    return {}


def _accept(_: Document) -> None:
    return None


@dataclass(frozen=True)
class JobKind:
    """One kind of job, by the noun that its API, its ARNs and its log group are made from.

    run(document, directory, phase): does the job; changes to the document are stored; raises JobFailed or JobStopped.
    created(request): the members that a job of this kind has from its creation.
    ended(document): the members that its end adds. phases: whether the document lists its phases (training jobs).
    check(request): raises ApiError for a request that is refused at once.
    """

    noun: str
    run: Runner
    created: Callable[[Document], Document] = field(default=_nothing)
    ended: Callable[[Document], Document] = field(default=_nothing)
    phases: bool = False
    check: Callable[[Document], None] = field(default=_accept)

    @property
    def kind(self) -> str:
        """`training-job`, as in ARNs."""
        return "".join(f"-{each.lower()}" if each.isupper() else each for each in f"{self.noun}-job").lstrip("-")

    def member(self, end: str) -> str:
        """`TrainingJobName` for "Name"."""
        return f"{self.noun}Job{end}"

    @property
    def log_group(self) -> str:
        """CloudWatch's log group of such jobs."""
        return f"/aws/sagemaker/{self.noun}Jobs"


class Jobs:
    """Runs jobs and stores their documents. kinds: by the kind in their ARNs; add a kind before the endpoint starts."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.store = service.store
        self.folder = folder
        self.kinds: dict[str, JobKind] = {}
        self._stops: dict[str, threading.Event] = {}

    def add(self, kind: JobKind) -> None:
        """Run jobs of this kind."""
        self.kinds[kind.kind] = kind

    def recover(self, reason: str) -> None:
        """After a restart: end what is left of an earlier process's jobs; those under way are Failed."""
        isolation.sweep(self.folder)
        for kind in self.kinds.values():
            for document in self.store.all(kind.kind):
                if document[kind.member("Status")] in UNDER_WAY:
                    self._end(kind, document, "Failed", f"InternalServerError: {reason}")
                    clear(self.folder / document[kind.member("Name")])

    def run(self, kind: JobKind, request: Document, job_arn: str, stop: threading.Event, attempt: int = 1) -> Document:
        """Run a step's job to its end and return its document; raises JobFailed or JobStopped.

        request: that of the kind's Create operation. stop: ends the job, as `stop(job_arn)` does. attempt: from 1,
        for the failures that the job's environment asks for.
        """
        wrong = list(shapes.problems(shapes.input_shape("sagemaker", f"Create{kind.noun}Job"), request))
        if wrong:
            raise JobFailed(f"ClientError: {'; '.join(wrong)}")
        kind.check(request)
        document = self.begin(kind, request, job_arn)
        try:
            return self.finish(kind, document, stop, attempt)
        except JobFailed as error:
            if error.kind or error.status != "Failed":
                raise
            # The step's reason is the job's with a prefix: `ClientError: AlgorithmError: ..., exit code: 1`.
            raise JobFailed(f"ClientError: {error.reason}") from error

    def begin(self, kind: JobKind, request: Document, job_arn: str) -> Document:
        """Store a job as InProgress; returns its document."""
        time = now()
        document = {**request, kind.member("Arn"): job_arn, kind.member("Status"): "InProgress", "CreationTime": time}
        document |= {"LastModifiedTime": time, **kind.created(request)}
        self._stops[job_arn] = threading.Event()
        self._enter(kind, document, "Starting")
        crashpoint("job-recorded")
        return document

    def finish(self, kind: JobKind, document: Document, stop: threading.Event, attempt: int = 1) -> Document:
        """Run a job that has begun to its end; returns its document, raises JobFailed or JobStopped."""
        name, job_arn = document[kind.member("Name")], document[kind.member("Arn")]
        own = self._stops[job_arn]
        directory = JobDirectory(self.folder / name, lambda: stop.is_set() or own.is_set())
        stream = f"{name}/algo-1-{int(document['CreationTime'] * 1000)}"
        document[f"{kind.noun}StartTime"] = now()
        try:
            inject_failure(document, attempt, "SageMaker.")
            with logs.sending(directory.log, kind.log_group, stream, job_arn):
                kind.run(document, directory, lambda phase: self._enter(kind, document, phase))
        except Exception as error:
            # Cleared first: what filled the disk gives the room in which to store the failure.
            directory.clear()
            status, failure = _failure(error, name)
            self._end(kind, document, status, failure.reason if isinstance(failure, JobFailed) else None)
            raise failure from error
        finally:
            self._stops.pop(job_arn, None)
        directory.clear()
        self._end(kind, document, "Completed", None)
        crashpoint("job-finished")
        return document

    def stop(self, job_arn: str) -> bool:
        """End a job under way; False when it is not."""
        event = self._stops.get(job_arn)
        if event:
            event.set()
        return event is not None

    def _enter(self, kind: JobKind, document: Document, phase: str) -> None:
        """Store the document; a training job lists its phases, and since when."""
        if kind.phases:
            time = now()
            transitions = document["SecondaryStatusTransitions"]
            for earlier in transitions[-1:]:
                earlier["EndTime"] = time
            transitions.append({"Status": phase, "StartTime": time, "StatusMessage": PHASES.get(phase, "")})
            document["SecondaryStatus"] = phase
        self.store.put(kind.kind, document[kind.member("Arn")], document)

    def _end(self, kind: JobKind, document: Document, status: str, reason: str | None) -> None:
        time = now()
        document |= {kind.member("Status"): status, "LastModifiedTime": time, f"{kind.noun}EndTime": time}
        if reason:
            document["FailureReason"] = reason
        document |= kind.ended(document)
        over_time = (reason or "").startswith("MaxRuntimeExceeded")
        self._enter(kind, document, "MaxRuntimeExceeded" if over_time else status)


# A phase's StatusMessage, as DescribeTrainingJob gives it.
PHASES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


def _failure(error: Exception, name: str) -> tuple[str, JobFailed | JobStopped]:
    """(the job's final status, the failure of its step) for whatever ended a job."""
    if isinstance(error, JobStopped):
        return "Stopped", error
    if isinstance(error, JobFailed):
        return error.status, error
    if isinstance(error, s3.MissingInput):
        return "Failed", JobFailed(f"ClientError: {error}")
    # A full disk, a vanished folder, an unreachable S3: the job failed, the endpoint goes on.
    logger.exception("job %s", name)
    return "Failed", JobFailed(f"InternalServerError: {error}", INTERNAL_ERROR)
