"""The operations of every kind of job: Create, Stop, Describe, List."""

import contextlib
import logging
import threading

from localaws import shapes
from localaws.sagemaker import service
from localaws.sagemaker.failures import JobFailed, JobStopped
from localaws.sagemaker.jobs import UNDER_WAY, JobKind, Jobs
from localaws.sagemaker.service import ApiError, arn, scope, validation_error
from localaws.store import Document

logger = logging.getLogger("localaws.sagemaker")


class JobOperations:
    """The handlers of one kind of job; created jobs run in threads of their own."""

    def __init__(self, jobs: Jobs, kind: JobKind) -> None:
        self.jobs = jobs
        self.kind = kind
        self.store = jobs.store
        jobs.add(kind)
        noun = kind.noun
        jobs.service.add(
            {
                f"Create{noun}Job": self.create,
                f"Stop{noun}Job": self.stop,
                f"Describe{noun}Job": self.describe,
                f"List{noun}Jobs": self.list_jobs,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateProcessingJob and its like: the job runs in the background; its name must be new."""
        job_arn = arn(f"{self.kind.kind}/{request[self.kind.member('Name')]}")
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        self.kind.check(request)
        with self.store.transaction():
            if self.store.get(self.kind.kind, job_arn):
                words = "Job name must be unique within an AWS account and region, and a job with this name already"
                raise ApiError("ResourceInUse", f"{words} exists ({job_arn})")
            if tags:
                self.store.put("tags", job_arn, tags)
            request = {name: value for name, value in request.items() if name != "Tags"}
            document = self.jobs.begin(self.kind, request, job_arn)
        threading.Thread(target=self._run, args=(document, scope()), name=job_arn, daemon=True).start()
        return {self.kind.member("Arn"): job_arn}

    def _run(self, document: Document, where: tuple[str, str]) -> None:
        from ministack.core import responses

        region, account = where
        # Its failure is in its document.
        with responses.request_scope(account, region), contextlib.suppress(JobFailed, JobStopped):
            self.jobs.finish(self.kind, document, threading.Event())

    def stop(self, request: Document) -> Document:
        """StopProcessingJob and its like; refused for a job that has ended, as AWS refuses it."""
        kind = self.kind
        document = self._stored(request)
        if document[kind.member("Status")] not in UNDER_WAY:
            status = document[kind.member("Status")]
            raise validation_error(
                f"The request was rejected because the {kind.noun.lower()} job is in status {status}."
            )
        self.jobs.stop(document[kind.member("Arn")])
        return {}

    def describe(self, request: Document) -> Document:
        """DescribeProcessingJob and its like."""
        shape = shapes.output_shape("sagemaker", f"Describe{self.kind.noun}Job")
        return shapes.project(shape, self._stored(request))

    def list_jobs(self, request: Document) -> Document:
        """ListProcessingJobs and its like."""
        kind = self.kind
        wanted, status = request.get("NameContains", ""), request.get("StatusEquals")
        by = {"Name": kind.member("Name"), "Status": kind.member("Status")}.get(request.get("SortBy", ""))
        return service.listing(
            f"List{kind.noun}Jobs",
            service.here(self.store.all(kind.kind), kind.member("Arn")),
            request,
            matches=lambda each: wanted in each[kind.member("Name")] and status in (None, each[kind.member("Status")]),
            order="Ascending",
            by=by or "CreationTime",
        )

    def _stored(self, request: Document) -> Document:
        name = request[self.kind.member("Name")]
        document = self.store.get(self.kind.kind, arn(f"{self.kind.kind}/{name}"))
        if document is None:
            # The words differ by kind, as AWS's do.
            words = "Could not find requested job with name: " if self.kind.noun == "Processing" else ""
            raise validation_error(f"{words}{name}" if words else "Requested resource not found.")
        return document
