"""Runs a pipeline definition: each step when what it waits for has succeeded, several at once where they may.

    Executions   starts, stops and recovers executions; one thread each
    Run          one execution under way: which steps are ready, how each of them ended

The definition is the JSON as it was when the execution started. Every change of a step is stored before the next
thing happens, so what a killed process leaves behind is readable and can be resumed by RetryPipelineExecution.
"""

import json
import logging
import random
import string
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from pipelines import graph
from pipelines.local.expressions import Scope, UnknownReference
from pipelines.local.sagemaker import cache, events, retry
from pipelines.local.sagemaker.conditions import holds
from pipelines.local.sagemaker.files import read_object, split
from pipelines.local.sagemaker.jobs import PROCESSING, TRAINING, Job, JobFailed, Jobs, JobStopped
from pipelines.local.sagemaker.registry import Registry
from pipelines.local.sagemaker.service import ApiError, Service, now
from pipelines.local.store import Document

RUNNABLE = {"Processing", "Training", "RegisterModel", "Condition", "Fail"}
# SageMaker's default for ParallelismConfiguration.
MAX_PARALLEL_STEPS = 50
STEPS_FAILED = "Step failure: One or multiple steps failed."
INTERRUPTED = "The endpoint ended while this step ran. RetryPipelineExecution resumes the execution."
logger = logging.getLogger("tapline.sagemaker")


class Executions:
    """Every execution under way in this process."""

    def __init__(self, service: Service, jobs: Jobs, registry: Registry, time_scale: float) -> None:
        self.store = service.store
        self.jobs = jobs
        self.registry = registry
        self.time_scale = time_scale
        self._stops: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def start(self, execution_arn: str) -> None:
        """Run an execution whose status is Executing in a thread of its own."""
        stop = threading.Event()
        self._stops[execution_arn] = stop
        run = Run(self, execution_arn, stop)
        thread = threading.Thread(target=run.to_the_end, name=execution_arn, daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def stop(self, execution_arn: str) -> None:
        """Ask an execution to stop: its status becomes Stopping, its steps are ended."""
        self.set_status(execution_arn, "Stopping")
        self._stops[execution_arn].set()

    def close(self) -> None:
        """End what runs; the executions are left as a killed process would leave them, for `recover`."""
        for stop in self._stops.values():
            stop.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def recover(self) -> None:
        """After a restart: what was under way is Failed with the reason, and can be retried."""
        for execution in self.store.all("execution"):
            if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                continue
            execution_arn = execution["PipelineExecutionArn"]
            for step in self.steps_of(execution_arn):
                if step["StepStatus"] in ("Starting", "Executing", "Stopping"):
                    changes = {"StepStatus": "Failed", "FailureReason": INTERRUPTED, "EndTime": now()}
                    self.change_step(execution_arn, step["StepName"], changes)
            self.set_status(execution_arn, "Failed", INTERRUPTED)

    def steps_of(self, execution_arn: str) -> list[Document]:
        """The steps that have begun, in the order of their beginning."""
        return self.store.all(f"step {execution_arn}")

    def change_step(self, execution_arn: str, name: str, changes: Document) -> Document:
        """Change a step's document."""
        return self.store.change(f"step {execution_arn}", name, lambda step: step.update(changes))

    def set_status(self, execution_arn: str, status: str, reason: str | None = None) -> None:
        """Give an execution another status and tell EventBridge."""
        previous: list[str] = []

        def change(document: Document) -> None:
            previous.append(document["PipelineExecutionStatus"])
            document.update(PipelineExecutionStatus=status, LastModifiedTime=now())
            if reason:
                document["FailureReason"] = reason

        execution = self.store.change("execution", execution_arn, change)
        events.execution_changed(execution, previous[-1])


class Run:
    """One execution under way."""

    def __init__(self, executions: Executions, execution_arn: str, stop: threading.Event) -> None:
        execution = executions.store.get("execution", execution_arn)
        assert execution is not None
        self.executions = executions
        self.execution = execution
        self.arn = execution_arn
        self.stop = stop
        self.definition = json.loads(execution["Definition"])
        self.steps = {step["Name"]: step for step in graph.steps(self.definition)}
        self.waits = graph.dependencies(self.definition)
        self.branches = graph.branches(self.definition)
        self.results: dict[str, Document] = {}
        self.outcomes: dict[str, str] = {}

    def to_the_end(self) -> None:
        """Run everything; store the final status whatever happens."""
        from ministack.core import responses

        _, _, _, region, account, _ = self.arn.split(":", 5)
        with responses.request_scope(account, region):
            try:
                self._keep_finished()
                self._run_steps(lambda work: _scoped(account, region, work))
            except Exception as error:
                logger.exception("execution %s", self.arn)
                self.executions.set_status(self.arn, "Failed", f"InternalServerError: {error}")
                return
            if self.stop.is_set():
                self.executions.set_status(self.arn, "Stopped")
            elif "Failed" in self.outcomes.values():
                self.executions.set_status(self.arn, "Failed", STEPS_FAILED)
            else:
                self.executions.set_status(self.arn, "Succeeded")

    def _keep_finished(self) -> None:
        """A retried execution keeps the steps that have succeeded."""
        for step in self.executions.steps_of(self.arn):
            if step["StepStatus"] == "Succeeded":
                self.outcomes[step["StepName"]] = "Succeeded"
                self.results[step["StepName"]] = step["Result"]

    def _run_steps(self, scoped: Callable[[Callable[[], str]], Callable[[], str]]) -> None:
        limit = (self.execution.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps")
        under_way: dict[Future[str], str] = {}
        with ThreadPoolExecutor(limit or MAX_PARALLEL_STEPS, thread_name_prefix="step") as pool:
            while True:
                if not self.stop.is_set():
                    for name in self._ready(set(under_way.values())):
                        work = scoped(lambda name=name: self._run_step(self.steps[name]))  # type: ignore[misc]
                        under_way[pool.submit(work)] = name
                if not under_way:
                    return
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    self.outcomes[under_way.pop(future)] = future.result()

    def _ready(self, under_way: set[str]) -> list[str]:
        """The steps that may begin now, in the definition's order."""
        return [
            name
            for name in self.steps
            if name not in self.outcomes
            and name not in under_way
            and all(self.outcomes.get(each) == "Succeeded" for each in self.waits[name])
            and self._chosen(name)
        ]

    def _chosen(self, name: str) -> bool:
        """Whether the condition around a step, if any, chose the step's branch."""
        if name not in self.branches:
            return True
        condition, branch = self.branches[name]
        return bool((self.results[condition]["Outcome"] == "True") == (branch == "IfSteps"))

    def _run_step(self, step: graph.Step) -> str:
        """Run one step with its retries; returns its final status."""
        self._begin(step)
        attempts = retry.Attempts(step.get("RetryPolicies", []), self.executions.time_scale)
        while True:
            try:
                changes = self._attempt(step)
            except JobStopped:
                changes = {"StepStatus": "Stopped"}
            except JobFailed as error:
                pause = attempts.pause_before_next(error.kind)
                if pause is not None and not self.stop.wait(pause):
                    self._change(step["Name"], {"AttemptCount": attempts.count, "FailureReason": error.reason})
                    continue
                changes = {"StepStatus": "Failed", "FailureReason": error.reason}
            except (UnknownReference, ApiError) as error:
                changes = {"StepStatus": "Failed", "FailureReason": f"ClientError: {error}"}
            changes["AttemptCount"] = attempts.count
            document = self._change(step["Name"], {**changes, "EndTime": now()})
            events.step_changed(self.execution, document, "Executing")
            return str(document["StepStatus"])

    def _begin(self, step: graph.Step) -> None:
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
        self.executions.store.delete(f"step {self.arn}", name)
        self.executions.store.put(f"step {self.arn}", name, document)
        events.step_changed(self.execution, document, None)

    def _change(self, name: str, changes: Document) -> Document:
        return self.executions.change_step(self.arn, name, changes)

    def _attempt(self, step: graph.Step) -> Document:
        """One try: the changes to the step's document, with Metadata for readers and Result for references."""
        own = graph.own_part(step)
        arguments = self._scope().resolve(own["Arguments"], f"Steps.{step['Name']}.Arguments")
        runner = {
            "Processing": lambda: self._job(step, PROCESSING, arguments),
            "Training": lambda: self._job(step, TRAINING, texts(arguments)),
            "RegisterModel": lambda: self._register(arguments),
            "Condition": lambda: self._condition(arguments),
            "Fail": lambda: self._fail(arguments),
        }[step["Type"]]
        changes = runner()
        self.results[step["Name"]] = changes["Result"]
        return {"StepStatus": "Succeeded", **changes}

    def _scope(self) -> Scope:
        identifier = self.arn.rpartition("/")[2]
        return Scope(
            self.execution["Parameters"],
            {
                "PipelineExecutionId": identifier,
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
        files = {each["PropertyFileName"]: each for each in self.steps[step_name].get("PropertyFiles", [])}
        if file_name not in files:
            raise UnknownReference(f"Steps.{step_name}.PropertyFiles: no {file_name!r} (have: {', '.join(files)})")
        wanted = files[file_name]
        outputs = self.results[step_name]["ProcessingOutputConfig"]["Outputs"]
        uri = next(each["S3Output"]["S3Uri"] for each in outputs if each["OutputName"] == wanted["OutputName"])
        bucket, key = split(f"{uri.rstrip('/')}/{wanted['FilePath']}")
        try:
            return json.loads(read_object(bucket, key), parse_constant=_refuse_constant)
        except ValueError as error:
            raise UnknownReference(f"Steps.{step_name}.PropertyFiles.{file_name}: not JSON ({error})") from error

    def _job(self, step: graph.Step, job: Job, arguments: Document) -> Document:
        key = cache.key(self.execution["PipelineArn"], step, arguments)
        earlier = cache.find(self.executions.store, key, step)
        if earlier:
            return {
                "Metadata": earlier["Metadata"],
                "Result": earlier["Result"],
                "CacheHitResult": {"SourcePipelineExecutionArn": earlier["PipelineExecutionArn"]},
            }
        tail = "".join(random.choices(string.ascii_letters + string.digits, k=10))
        name = f"pipelines-{self.arn.rpartition('/')[2]}-{step['Name'][:28]}-{tail}"
        job_arn = f"{self.arn.partition(':pipeline/')[0]}:{job.kind}/{name}"
        metadata = {f"{step['Type']}Job": {"Arn": job_arn}}
        self._change(step["Name"], {"Metadata": metadata})
        result = self.executions.jobs.run(job, name, arguments, job_arn, self.stop)
        cache.keep(self.executions.store, key, step, self.arn, metadata, result)
        return {"Metadata": metadata, "Result": result}

    def _register(self, arguments: Document) -> Document:
        origin = {**arguments.get("MetadataProperties", {}), "GeneratedBy": self.arn}
        request = {**arguments, "MetadataProperties": origin}
        package_arn = self.executions.registry.service.call("CreateModelPackage", request)["ModelPackageArn"]
        return {
            "Metadata": {"RegisterModel": {"Arn": package_arn}},
            "Result": self.executions.registry.package(package_arn),
        }

    def _condition(self, arguments: Document) -> Document:
        outcome = "True" if all(holds(each) for each in arguments["Conditions"]) else "False"
        return {"Metadata": {"Condition": {"Outcome": outcome}}, "Result": {"Outcome": outcome}}

    def _fail(self, arguments: Document) -> Document:
        message = str(arguments["ErrorMessage"])
        return {
            "StepStatus": "Failed",
            "FailureReason": message,
            "Metadata": {"Fail": {"ErrorMessage": message}},
            "Result": {},
        }


def _scoped(account: str, region: str, work: Callable[[], str]) -> Callable[[], str]:
    """`work` with MiniStack's account and region set, which a pool's thread does not inherit."""
    from ministack.core import responses

    def inside() -> str:
        with responses.request_scope(account, region):
            return work()

    return inside


def texts(arguments: Document) -> Document:
    """Hyperparameters are texts on the wire; a parameter's number becomes its text, as SageMaker makes it."""
    given = arguments.get("HyperParameters", {})
    as_texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return {**arguments, "HyperParameters": as_texts} if given else arguments


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
