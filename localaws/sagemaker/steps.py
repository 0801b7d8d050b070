"""What each type of step does, and the result that later steps refer to.

Processing and Training run a job, RegisterModel makes a model package, Condition chooses a branch, Fail ends in
failure with its message. The definition is the JSON as it was when the execution started.
"""

import json
import logging
import random
import string
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.sagemaker import cache, events, failures, graph
from localaws.sagemaker.conditions import holds
from localaws.sagemaker.expressions import Scope, UnknownReference, as_text
from localaws.sagemaker.job_kinds import PROCESSING, TRAINING
from localaws.sagemaker.jobs import JobKind, Jobs
from localaws.sagemaker.registry import Registry
from localaws.sagemaker.s3 import MissingInput, read_object, split
from localaws.sagemaker.service import now
from localaws.store import Document, Store

RUNNABLE = {"Processing", "Training", "RegisterModel", "Condition", "Fail"}
logger = logging.getLogger("localaws.sagemaker")


class StepRunner:
    """Runs the steps of one execution, one at a time or several at once. stop: ends their jobs."""

    def __init__(self, store: Store, jobs: Jobs, registry: Registry, execution_arn: str, stop: threading.Event) -> None:
        execution = store.get("execution", execution_arn)
        assert execution is not None
        self.store = store
        self.jobs = jobs
        self.registry = registry
        self.execution = execution
        self.arn = execution_arn
        self.stop = stop
        self.definition = json.loads(execution["Definition"])
        self.steps = {step["Name"]: step for step in graph.steps(self.definition)}
        self.results: dict[str, Document] = {}

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

    def attempt(self, step: graph.Step, attempt: int) -> Document:
        """One attempt: the changes to the step's document, with Metadata for readers and Result for references.

        Raises JobFailed, JobStopped, UnknownReference or ApiError.
        """
        address = f"Steps.{step['Name']}.Arguments"
        arguments = self._scope().resolve(graph.own_part(step)["Arguments"], address)
        runners: dict[str, Callable[[], Document]] = {
            "Processing": lambda: self._job(step, PROCESSING, arguments, attempt),
            "Training": lambda: self._job(step, TRAINING, texts(arguments), attempt),
            "RegisterModel": lambda: self._register(step, arguments),
            "Condition": lambda: _condition(arguments, address),
            "Fail": lambda: _fail(arguments),
        }
        changes = runners[step["Type"]]()
        self.results[step["Name"]] = changes["Result"]
        return {"StepStatus": "Succeeded", **changes}

    def _scope(self) -> Scope:
        return Scope(
            self.execution["Parameters"],
            {
                "PipelineExecutionId": self.arn.rpartition("/")[2],
                "PipelineExecutionArn": self.arn,
                "PipelineName": self.execution["PipelineName"],
                "PipelineArn": self.execution["PipelineArn"],
                "StartDateTime": events.timestamp(self.execution["CreationTime"]),
                "CurrentDateTime": events.timestamp(time.time()),
            },
            self.results,
            self._property_file,
        )

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
        try:
            return json.loads(read_object(*split(uri)), parse_constant=_refuse_constant)
        except MissingInput as error:
            raise UnknownReference(f"{address}.{file_name}: {error}") from error
        except ValueError as error:
            raise UnknownReference(f"{address}.{file_name}: {uri} is not JSON ({error})") from error

    def _job(self, step: graph.Step, kind: JobKind, arguments: Document, attempt: int) -> Document:
        key = cache.key(self.execution["PipelineArn"], step, arguments)
        earlier = cache.find(self.store, key, step)
        if earlier:
            return {
                "Metadata": earlier["Metadata"],
                "Result": earlier["Result"],
                "CacheHitResult": {"SourcePipelineExecutionArn": earlier["PipelineExecutionArn"]},
            }
        failures.inject_failure(arguments, attempt, "Step.")
        tail = "".join(random.choices(string.ascii_letters + string.digits, k=10))
        name = f"pipelines-{self.arn.rpartition('/')[2]}-{step['Name'][:28]}-{tail}"
        job_arn = f"{self.arn.partition(':pipeline/')[0]}:{kind.kind}/{name}"
        metadata = {f"{step['Type']}Job": {"Arn": job_arn}}
        self.change(step["Name"], {"Metadata": metadata})
        request = {**arguments, kind.member("Name"): name}
        result = self.jobs.run(kind, request, job_arn, self.stop, attempt)
        cache.store_result(self.store, key, step, self.arn, metadata, result)
        return {"Metadata": metadata, "Result": result}

    def _register(self, step: graph.Step, arguments: Document) -> Document:
        # The token makes a package that a killed process had just registered the one that the retry finds.
        token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.arn}/{step['Name']}"))
        origin = {**arguments.get("MetadataProperties", {}), "GeneratedBy": self.arn}
        request = {**arguments, "MetadataProperties": origin, "ClientToken": token}
        package_arn = self.registry.service.call("CreateModelPackage", request)["ModelPackageArn"]
        return {
            "Metadata": {"RegisterModel": {"Arn": package_arn}},
            "Result": self.registry.package(package_arn),
        }


def _condition(arguments: Document, address: str) -> Document:
    conditions = enumerate(arguments["Conditions"])
    outcome = "True" if all(holds(each, f"{address}.Conditions[{index}]") for index, each in conditions) else "False"
    return {"Metadata": {"Condition": {"Outcome": outcome}}, "Result": {"Outcome": outcome}}


def _fail(arguments: Document) -> Document:
    message = as_text(arguments["ErrorMessage"])
    return {
        "StepStatus": "Failed",
        "FailureReason": message[:1024],
        "Metadata": {"Fail": {"ErrorMessage": message}},
        "Result": {},
    }


def texts(arguments: Document) -> Document:
    """Hyperparameters are texts on the wire; a parameter's number becomes its text, as SageMaker makes it."""
    given = arguments.get("HyperParameters", {})
    as_texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return {**arguments, "HyperParameters": as_texts} if given else arguments


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
