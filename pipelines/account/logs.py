"""The CloudWatch logs of a step's job: SageMaker writes one stream per container, named after the job."""

from collections.abc import Iterator
from typing import Any

from pipelines.account.clients import Clients, aws_errors
from pipelines.cli.output import Document

# Key of a step's Metadata -> log group
# (https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html).
GROUPS = {
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
    "TransformJob": "/aws/sagemaker/TransformJobs",
}


def job(step: Document) -> tuple[str, str] | None:
    """(log group, job name) of a step; None for a step without a job, such as a condition."""
    for kind, group in GROUPS.items():
        if kind in step.get("Metadata", {}):
            return group, str(step["Metadata"][kind]["Arn"]).rpartition("/")[2]
    return None


def lines(clients: Clients, group: str, job_name: str) -> Iterator[str]:
    """The messages of a job's log, oldest first; none when there is no such log."""
    import botocore.exceptions

    api = clients.logs
    with aws_errors(f"reading the log of {job_name}"):
        try:
            pages = list(
                api.get_paginator("describe_log_streams").paginate(
                    logGroupName=group, logStreamNamePrefix=f"{job_name}/"
                )
            )
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return
        for stream in (each["logStreamName"] for page in pages for each in page["logStreams"]):
            yield from _messages(api, group, stream)


def _messages(api: Any, group: str, stream: str) -> Iterator[str]:
    """The messages of a log stream. The last page has the token that it was asked with.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
    """
    request: Document = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
    token = None
    while True:
        page = api.get_log_events(**request, **({"nextToken": token} if token else {}))
        yield from (event["message"] for event in page["events"])
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]
