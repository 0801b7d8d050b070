"""Runs the steps of one execution and stores their documents; `step_types` has what a step of each type does.

The definition is the JSON as it was when the execution started.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.sagemaker import events, graph, selective
from localaws.sagemaker.callbacks import Callbacks
from localaws.sagemaker.expressions import Scope, UnknownReference
from localaws.sagemaker.jobs import Jobs
from localaws.sagemaker.s3 import MissingInput, read_object, split
from localaws.sagemaker.service import now
from localaws.sagemaker.step_types import RUNNERS, Attempt, Context, job_name
from localaws.store import Document

RUNNABLE = set(RUNNERS)
BESIDE_ARGUMENTS = ("FunctionArn", "SqsQueueUrl")
logger = logging.getLogger("localaws.sagemaker")


class StepRunner:
    """Runs the steps of one execution, one at a time or several at once. stop: ends their jobs."""

    def __init__(self, jobs: Jobs, callbacks: Callbacks, execution_arn: str, stop: threading.Event) -> None:
        self.store = jobs.store
        execution = self.store.get("execution", execution_arn)
        assert execution is not None
        self.execution = execution
        self.arn = execution_arn
        self.stop = stop
        self.context = Context(jobs, jobs.service, callbacks, execution, stop, self.change)
        self.definition = json.loads(execution["Definition"])
        self.steps = {step["Name"]: step for step in graph.steps(self.definition)}
        self.results: dict[str, Document] = {}
        self.selected = set(self.steps)
        selection = execution.get("SelectiveExecutionConfig")
        if selection:
            self.selected = selective.selected_steps(selection)
            self.results = selective.earlier_results(self.store, selection)

    def store_reused(self) -> None:
        """Store the steps of a selective execution whose results come from its source."""
        source = self.execution.get("SelectiveExecutionConfig", {}).get("SourcePipelineExecutionArn")
        for name in self.results if source else ():
            if self.store.get(f"step {self.arn}", name) is None:
                step = self.store.get(f"step {source}", name) or {}
                reused = {"SelectiveExecutionResult": {"SourcePipelineExecutionArn": source}}
                self.store.put(f"step {self.arn}", name, {**step, **reused})

    def load_succeeded(self) -> Iterator[str]:
        """Load the results of the steps that succeeded before a retry; yields their names."""
        for step in self.store.all(f"step {self.arn}"):
            if step["StepStatus"] == "Succeeded":
                self.results[step["StepName"]] = step["Result"]
                yield step["StepName"]

    def begin(self, step: graph.Step) -> None:
        """Store the step as executing; a retried one starts again."""
        name = step["Name"]
        document = {
            "StepName": name,
            "StepType": step["Type"],
            "StepDisplayName": step.get("DisplayName", name),
            "StepDescription": step.get("Description"),
            "StartTime": now(),
            "StepStatus": "Executing",
            "AttemptCount": 1,
        }
        with self.store.transaction():
            self.store.delete(f"step {self.arn}", name)
            self.store.put(f"step {self.arn}", name, document)
            events.step_changed(self.store, self.execution, document, None)
        events.send(self.store)

    def change(self, name: str, changes: Document) -> Document:
        """Change a step's document."""
        return self.store.change(f"step {self.arn}", name, lambda step: step.update(changes))

    def finish(self, name: str, changes: Document) -> Document:
        """Change a step's document to its final status."""
        with self.store.transaction():
            document = self.change(name, changes)
            events.step_changed(self.store, self.execution, document, "Executing")
        crashpoint("step-finished")
        events.send(self.store)
        return document

    def attempt(self, step: graph.Step, number: int) -> Document:
        """One attempt: the changes to the step's document, with Metadata for readers and Result for references.

        Raises JobFailed, JobStopped, UnknownReference or ApiError.
        """
        address = f"Steps.{step['Name']}.Arguments"
        name = job_name(self.context, step)
        scope = self._scope(name)
        arguments = scope.resolve(graph.without_branches(step).get("Arguments", {}), address)
        # FunctionArn, SqsQueueUrl: beside the arguments, and expressions all the same.
        beside = {key: value for key, value in step.items() if key in BESIDE_ARGUMENTS}
        resolved = {**step, **scope.resolve(beside, f"Steps.{step['Name']}")}
        changes = RUNNERS[step["Type"]](self.context, Attempt(resolved, arguments, name, number, address))
        self.results[step["Name"]] = changes["Result"]
        return {"StepStatus": "Succeeded", **changes}

    def _scope(self, name: str) -> Scope:
        """The values of the execution. name: of the step's job."""
        execution = {
            "PipelineExecutionId": self.arn.rpartition("/")[2],
            "PipelineExecutionArn": self.arn,
            "PipelineName": self.execution["PipelineName"],
            "PipelineArn": self.execution["PipelineArn"],
            "StartDateTime": events.timestamp(self.execution["CreationTime"]),
            "CurrentDateTime": events.timestamp(time.time()),
            "TrainingJobName": name,
            "ProcessingJobName": name,
        }
        return Scope(self.execution["Parameters"], execution, self.results, self._property_file, _json_of)

    def _property_file(self, step_name: str, file_name: str) -> Any:
        """The content of a step's property file; UnknownReference when there is none, or no JSON in it."""
        address = f"Steps.{step_name}.PropertyFiles"
        files = {each["PropertyFileName"]: each for each in self.steps[step_name].get("PropertyFiles", [])}
        if file_name not in files:
            raise UnknownReference(f"{address}: no {file_name!r} (have: {', '.join(files)})")
        wanted = files[file_name]
        outputs = self.results[step_name].get("ProcessingOutputConfig", {}).get("Outputs", [])
        uris = {each["OutputName"]: each["S3Output"]["S3Uri"] for each in outputs}
        if wanted["OutputName"] not in uris:
            raise UnknownReference(
                f"{address}.{file_name}: no output {wanted['OutputName']!r} (have: {', '.join(uris)})"
            )
        uri = f"{uris[wanted['OutputName']].rstrip('/')}/{wanted['FilePath']}"
        return _json_of(uri, f"{address}.{file_name}")


def _json_of(uri: str, address: str) -> Any:
    """The JSON object at an S3 address; UnknownReference when there is none."""
    try:
        return json.loads(read_object(*split(uri)), parse_constant=_refuse_constant)
    except MissingInput as error:
        raise UnknownReference(f"{address}: {error}") from error
    except ValueError as error:
        raise UnknownReference(f"{address}: {uri} is not JSON ({error})") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
