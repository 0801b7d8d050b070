"""Executions that run in this process: start, stop, and recovery after a process that was killed.

Every change of a step is stored before the next thing happens, so what a killed process leaves behind is readable
and can be resumed by RetryPipelineExecution.
"""

import logging
import sqlite3
import threading
from dataclasses import dataclass, field

from localaws.crashpoints import crashpoint
from localaws.sagemaker import events
from localaws.sagemaker.callbacks import Callbacks
from localaws.sagemaker.jobs import Jobs
from localaws.sagemaker.run import STEPS_FAILED, Run
from localaws.sagemaker.service import ApiError, Service, now
from localaws.sagemaker.steps import StepRunner
from localaws.store import Document

UNDER_WAY = ("Executing", "Stopping")
INTERRUPTED = "The endpoint ended while this ran. RetryPipelineExecution resumes the execution."
# Seconds between attempts to store a final status on a full disk.
SETTLE_SECONDS = 1.0
logger = logging.getLogger("localaws.sagemaker")


@dataclass
class _UnderWay:
    """The handles of a running execution. stop: set to end its steps."""

    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Executions:
    """Every execution under way in this process, one thread each."""

    def __init__(self, service: Service, jobs: Jobs, time_scale: float) -> None:
        self.store = service.store
        self.jobs = jobs
        self.callbacks = Callbacks(service)
        self.time_scale = time_scale
        self._running: dict[str, _UnderWay] = {}
        self._closing = threading.Event()

    def start(self, execution_arn: str) -> None:
        """Run an execution whose status is Executing."""
        crashpoint("execution-created")
        under_way = _UnderWay()
        self._running[execution_arn] = under_way
        if (self.store.get("execution", execution_arn) or {}).get("PipelineExecutionStatus") == "Stopping":
            # Stopped before there was anything to stop.
            under_way.stop.set()
        arguments = (execution_arn, under_way)
        under_way.thread = threading.Thread(target=self._run, args=arguments, name=execution_arn, daemon=True)
        under_way.thread.start()

    def stop(self, execution_arn: str) -> None:
        """End an execution: its status becomes Stopping, its steps are killed, then it is Stopped.

        Asking again while it is stopping changes nothing; ConflictException when it is at its end.
        """
        previous = ""

        def change(document: Document) -> None:
            nonlocal previous
            previous = document["PipelineExecutionStatus"]
            if previous not in UNDER_WAY:
                raise ApiError("ConflictException", f"Only an executing execution can be stopped, not {previous}.")
            document.update(PipelineExecutionStatus="Stopping", LastModifiedTime=now())

        with self.store.transaction():
            execution = self.store.change("execution", execution_arn, change)
            if previous == "Executing":
                events.execution_changed(self.store, execution, previous)
        events.send(self.store)
        under_way = self._running.get(execution_arn)
        if under_way:
            under_way.stop.set()

    def close(self) -> None:
        """End what runs. The documents are left as a killed process would leave them, for `recover`."""
        self._closing.set()
        for under_way in list(self._running.values()):
            under_way.stop.set()
        for under_way in list(self._running.values()):
            if under_way.thread:
                under_way.thread.join(timeout=5)

    def recover(self) -> None:
        """After a restart: what an earlier process left under way is Failed with the reason, and can be retried."""
        self.jobs.recover(INTERRUPTED)
        events.send(self.store)
        for execution in self.store.all("execution"):
            execution_arn = execution["PipelineExecutionArn"]
            if execution["PipelineExecutionStatus"] not in UNDER_WAY or execution_arn in self._running:
                continue
            for step in self.store.all(f"step {execution_arn}"):
                if step["StepStatus"] in ("Starting", "Executing", "Stopping"):
                    changes = {"StepStatus": "Failed", "FailureReason": INTERRUPTED, "EndTime": now()}
                    self.change_step(execution_arn, step["StepName"], changes)
            self._finish(execution_arn, "Failed", INTERRUPTED)

    def change_step(self, execution_arn: str, name: str, changes: Document) -> Document:
        """Change a step's document."""
        return self.store.change(f"step {execution_arn}", name, lambda step: step.update(changes))

    def _run(self, execution_arn: str, under_way: _UnderWay) -> None:
        """Run everything; store the final status whatever happens."""
        from ministack.core import responses

        _, _, _, region, account, _ = execution_arn.split(":", 5)
        with responses.request_scope(account, region):
            try:
                runner = StepRunner(self.jobs, self.callbacks, execution_arn, under_way.stop)
                failed = "Failed" in Run(runner, self.time_scale).run().values()
                status, reason = ("Failed", STEPS_FAILED) if failed else ("Succeeded", None)
            except Exception as error:
                logger.exception("execution %s", execution_arn)
                status, reason = "Failed", f"InternalServerError: {error}"
            if not self._closing.is_set():
                crashpoint("execution-finishing")
                self._settle(execution_arn, status, reason)
            # A retry may have started since the end was stored.
            if self._running.get(execution_arn) is under_way:
                del self._running[execution_arn]

    def _settle(self, execution_arn: str, status: str, reason: str | None) -> None:
        """Store the final status, again and again while the disk is full: the execution must not seem to run."""
        while True:
            try:
                self._finish(execution_arn, status, reason)
                return
            except sqlite3.OperationalError as error:
                logger.error("the end of %s cannot be stored: %s", execution_arn, error)
            if self._closing.wait(SETTLE_SECONDS):
                return

    def _finish(self, execution_arn: str, status: str, reason: str | None) -> None:
        """Give an execution its final status; one that is being stopped has stopped."""
        previous = ""

        def change(document: Document) -> None:
            nonlocal previous
            previous = document["PipelineExecutionStatus"]
            stopped = previous == "Stopping" and reason != INTERRUPTED
            document.update(PipelineExecutionStatus="Stopped" if stopped else status, LastModifiedTime=now())
            if reason and not stopped:
                document["FailureReason"] = reason

        with self.store.transaction():
            execution = self.store.change("execution", execution_arn, change)
            events.execution_changed(self.store, execution, previous)
        events.send(self.store)
