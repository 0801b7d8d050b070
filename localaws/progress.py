"""The pipeline executions that a program starts: their steps as they go, and the log of a step that fails."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import localaws.clients
from localaws.endpoint import Endpoint

Document = dict[str, Any]
POLL_SECONDS = 0.2
LOG_LINES = 20
DONE = ("Succeeded", "Failed", "Stopped")
# A step's metadata -> the log group of its job.
LOG_GROUPS = {
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
    "TransformJob": "/aws/sagemaker/TransformJobs",
}


class Executions:
    """The executions that start at the endpoint from now on. show: takes a line for people."""

    def __init__(self, endpoint: Endpoint, show: Callable[[str], None]) -> None:
        self._sagemaker, self._logs = (
            localaws.clients.client(endpoint.url, service, endpoint.credentials) for service in ("sagemaker", "logs")
        )
        self._show = show
        self._shown: set[tuple[str, str, str]] = set()
        self._earlier = {each["arn"] for each in self._list()}

    def show_while(self, running: Callable[[], bool]) -> list[Document]:
        """Show the steps while the program runs and until its executions have ended; returns these executions.

        An execution whose pipeline the program deletes is returned as it was before.
        """
        found: dict[str, Document] = {}
        while True:
            alive = running()
            listed = [each for each in self._list() if each["arn"] not in self._earlier]
            for each in listed:
                with contextlib.suppress(self._sagemaker.exceptions.ResourceNotFound):
                    self._show_steps(each)
                    found[each["arn"]] = each
            if not alive and all(each["status"] in DONE for each in listed):
                return list(found.values())
            time.sleep(POLL_SECONDS)

    def _list(self) -> list[Document]:
        executions = []
        for pipeline in self._all("list_pipelines", "PipelineSummaries"):
            # One that is deleted in between has none.
            with contextlib.suppress(self._sagemaker.exceptions.ResourceNotFound):
                executions += self._all(
                    "list_pipeline_executions", "PipelineExecutionSummaries", PipelineName=pipeline["PipelineName"]
                )
        return [{"arn": each["PipelineExecutionArn"], "status": each["PipelineExecutionStatus"]} for each in executions]

    def _all(self, operation: str, member: str, **arguments: Any) -> list[Document]:
        pages = self._sagemaker.get_paginator(operation).paginate(**arguments)
        return [each for page in pages for each in page[member]]

    def _show_steps(self, execution: Document) -> None:
        """Print what has changed, and add the steps to the execution."""
        steps = self._all(
            "list_pipeline_execution_steps", "PipelineExecutionSteps", PipelineExecutionArn=execution["arn"]
        )
        execution["steps"] = [_summary(each) for each in reversed(steps)]
        name = execution["arn"].split("/")[1]
        for step, summary in zip(reversed(steps), execution["steps"], strict=True):
            key = (execution["arn"], summary["name"], summary["status"])
            if key in self._shown:
                continue
            self._shown.add(key)
            seconds = f"  {summary['seconds']:.1f} s" if summary["status"] in DONE else ""
            self._show(f"{name}  {summary['name']:<24} {summary['status']}{seconds}")
            if summary["status"] == "Failed":
                self._show_failure(step)
        key = (execution["arn"], "", execution["status"])
        if execution["status"] in DONE and key not in self._shown:
            self._shown.add(key)
            self._show(f"{name}  {execution['status']}  {execution['arn']}")

    def _show_failure(self, step: Document) -> None:
        self._show(f"    {step.get('FailureReason', 'no reason is given')}")
        for kind, group in LOG_GROUPS.items():
            job = step.get("Metadata", {}).get(kind, {}).get("Arn", "").rpartition("/")[2]
            if job:
                for line in self._last_lines(group, job):
                    self._show(f"    | {line}")

    def _last_lines(self, group: str, job: str) -> list[str]:
        """The end of a job's log; empty when it has none."""
        try:
            streams = self._logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
            events = [
                event
                for each in streams
                for event in self._logs.get_log_events(
                    logGroupName=group, logStreamName=each["logStreamName"], limit=LOG_LINES
                )["events"]
            ]
        except self._logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"].rstrip() for event in events][-LOG_LINES:]


def _summary(step: Document) -> Document:
    began, ended = step.get("StartTime"), step.get("EndTime")
    seconds = round((ended - began).total_seconds(), 3) if began and ended else 0.0
    return {"name": step["StepName"], "status": step["StepStatus"], "seconds": seconds}
