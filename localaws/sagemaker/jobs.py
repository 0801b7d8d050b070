"""Processing and training jobs: their documents from the request to the end, and what Describe and List tell."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localaws import shapes
from localaws.crashpoints import crashpoint
from localaws.sagemaker import containers, isolation, logs, s3, service
from localaws.sagemaker.containers import Phase
from localaws.sagemaker.failures import INTERNAL_ERROR, JobFailed, JobStopped, fail_as_planned
from localaws.sagemaker.job_directory import Workplace, clear
from localaws.sagemaker.service import Service, arn, now, validation_error
from localaws.store import Document

logger = logging.getLogger("localaws.sagemaker")


@dataclass(frozen=True)
class Job:
    """One kind of job, by the noun that its API, its ARNs and its log group are made from."""

    noun: str
    run: Callable[[Document, Workplace, Phase], None]

    @property
    def kind(self) -> str:
        """`training-job`, as in ARNs."""
        return f"{self.noun.lower()}-job"

    def member(self, end: str) -> str:
        """`TrainingJobName` for "Name"."""
        return f"{self.noun}Job{end}"

    @property
    def log_group(self) -> str:
        """CloudWatch's log group of such jobs."""
        return f"/aws/sagemaker/{self.noun}Jobs"


PROCESSING = Job("Processing", containers.run_processing)
TRAINING = Job("Training", containers.run_training)
# Told as off when the request says nothing of them.
TRAINING_SWITCHES = {
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
    "EnableNetworkIsolation": False,
}


class Jobs:
    """Runs jobs, keeps their documents, and answers Describe and List."""

    def __init__(self, api: Service, folder: Path) -> None:
        self.store = api.store
        self.folder = folder
        for job in (PROCESSING, TRAINING):
            api.add({f"Describe{job.noun}Job": self._describer(job), f"List{job.noun}Jobs": self._lister(job)})

    def recover(self, reason: str) -> None:
        """After a restart: end what is left of an earlier process's jobs; those under way are Failed."""
        isolation.sweep(self.folder)
        for job in (PROCESSING, TRAINING):
            for document in self.store.all(job.kind):
                if document[job.member("Status")] in ("InProgress", "Stopping"):
                    self._end(job, document, "Failed", f"InternalServerError: {reason}")
                    clear(self.folder / document[job.member("Name")])

    def run(
        self, job: Job, name: str, arguments: Document, job_arn: str, stop: threading.Event, attempt: int
    ) -> Document:
        """Run a job to its end and return its Describe document; raises JobFailed or JobStopped.

        arguments: the request of CreateProcessingJob or CreateTrainingJob without the name. attempt: from 1, for
        failures ordered by the job's environment.
        """
        request = {job.member("Name"): name, **arguments}
        wrong = list(shapes.problems(shapes.input_shape("sagemaker", f"Create{job.noun}Job"), request))
        if wrong:
            raise JobFailed(f"ClientError: {'; '.join(wrong)}")
        document = self._begin(job, request, job_arn)
        place = Workplace(self.folder / name, stop)
        stream = f"{name}/algo-1-{int(document['CreationTime'] * 1000)}"
        try:
            fail_as_planned(arguments, attempt, "SageMaker.")
            with logs.following(place.log, job.log_group, stream):
                job.run(document, place, lambda phase: self._enter(job, document, phase))
        except Exception as error:
            # Cleared first: what filled the disk gives the room in which to say so.
            place.clear()
            status, failure = _failure(error, name)
            self._end(job, document, status, failure.reason if isinstance(failure, JobFailed) else None)
            raise failure from error
        place.clear()
        self._end(job, document, "Completed", None)
        crashpoint("job-finished")
        return document

    def _begin(self, job: Job, request: Document, job_arn: str) -> Document:
        time = now()
        document = {**request, job.member("Arn"): job_arn, job.member("Status"): "InProgress", "CreationTime": time}
        document |= {"LastModifiedTime": time, f"{job.noun}StartTime": time}
        if job is TRAINING:
            home = request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
            artifact = f"{home}/{request['TrainingJobName']}/output/model.tar.gz"
            document = {**TRAINING_SWITCHES, **document}
            document |= {"ModelArtifacts": {"S3ModelArtifacts": artifact}, "SecondaryStatusTransitions": []}
        self._enter(job, document, "Starting")
        crashpoint("job-recorded")
        return document

    def _enter(self, job: Job, document: Document, phase: str) -> None:
        """A training job tells which phase it is in, and since when."""
        if job is TRAINING:
            time = now()
            transitions = document["SecondaryStatusTransitions"]
            for earlier in transitions[-1:]:
                earlier["EndTime"] = time
            transitions.append({"Status": phase, "StartTime": time})
            document["SecondaryStatus"] = phase
        self.store.put(job.kind, document[job.member("Arn")], document)

    def _end(self, job: Job, document: Document, status: str, reason: str | None) -> None:
        time = now()
        document |= {job.member("Status"): status, "LastModifiedTime": time, f"{job.noun}EndTime": time}
        if reason:
            document["FailureReason"] = reason
        if job is TRAINING:
            seconds = int(time - document["TrainingStartTime"])
            document |= {"TrainingTimeInSeconds": max(1, seconds), "BillableTimeInSeconds": max(1, seconds)}
        over_time = (reason or "").startswith("MaxRuntimeExceeded")
        self._enter(job, document, "MaxRuntimeExceeded" if over_time else status)

    def _describer(self, job: Job) -> Callable[[Document], Document]:
        def describe(request: Document) -> Document:
            name = request[job.member("Name")]
            document = self.store.get(job.kind, arn(f"{job.kind}/{name}"))
            if document is None:
                raise validation_error(
                    "Requested resource not found."
                    if job is TRAINING
                    else f"Could not find requested job with name: {name}"
                )
            return shapes.project(shapes.output_shape("sagemaker", f"Describe{job.noun}Job"), document)

        return describe

    def _lister(self, job: Job) -> Callable[[Document], Document]:
        def list_jobs(request: Document) -> Document:
            wanted, status = request.get("NameContains", ""), request.get("StatusEquals")
            by = {"Name": job.member("Name"), "Status": job.member("Status")}.get(request.get("SortBy", ""))
            return service.listing(
                f"List{job.noun}Jobs",
                service.here(self.store.all(job.kind), job.member("Arn")),
                request,
                matches=lambda each: (
                    wanted in each[job.member("Name")] and status in (None, each[job.member("Status")])
                ),
                order="Ascending",
                by=by or "CreationTime",
            )

        return list_jobs


def _failure(error: Exception, name: str) -> tuple[str, JobFailed | JobStopped]:
    """(the job's final status, what its step is told) for whatever ended a job."""
    if isinstance(error, JobStopped):
        return "Stopped", error
    if isinstance(error, JobFailed):
        return error.status, error
    if isinstance(error, s3.MissingInput):
        return "Failed", JobFailed(f"ClientError: {error}")
    # A full disk, a vanished folder, an unreachable S3: the job failed, the endpoint goes on.
    logger.exception("job %s", name)
    return "Failed", JobFailed(f"InternalServerError: {error}", INTERNAL_ERROR)
