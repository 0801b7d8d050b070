"""Schedules the steps of one execution: which are ready, how many run at once, how each of them ended.

A step begins when all that it waits for has succeeded and, inside a condition, when its branch was chosen. A step
that waits for a failed one does not begin; the others go on.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.sagemaker import graph, retry
from localaws.sagemaker.expressions import UnknownReference
from localaws.sagemaker.failures import INTERNAL_ERROR, JobFailed, JobStopped
from localaws.sagemaker.service import ApiError, now
from localaws.sagemaker.steps import StepRunner, logger
from localaws.store import Document

# SageMaker's default for ParallelismConfiguration.
MAX_PARALLEL_STEPS = 50
STEPS_FAILED = "Step failure: One or multiple steps failed."


class Run:
    """Runs the steps of one execution. time_scale: local seconds per second of a retry policy's pause."""

    def __init__(self, runner: StepRunner, time_scale: float) -> None:
        self.runner = runner
        self.time_scale = time_scale
        self.waits = graph.dependencies(runner.definition)
        self.branches = graph.branches(runner.definition)
        self.limit: int = (runner.execution.get("ParallelismConfiguration") or {}).get(
            "MaxParallelExecutionSteps", MAX_PARALLEL_STEPS
        )
        self.statuses: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """Run every step that can be run; returns step name -> its final status, for the steps that began.

        A retried execution does not run again the steps that have succeeded.
        """
        self.runner.store_reused()
        self.statuses = {name: "Succeeded" for name in self.runner.load_succeeded()}
        under_way: dict[Future[str], str] = {}
        with ThreadPoolExecutor(self.limit, thread_name_prefix="step") as pool:
            while True:
                if not self.runner.stop.is_set():
                    free = self.limit - len(under_way)
                    for name in self._ready(set(under_way.values()))[:free]:
                        under_way[pool.submit(_scoped(self.runner.execution, self._run_step), name)] = name
                if not under_way:
                    return self.statuses
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    self.statuses[under_way.pop(future)] = future.result()

    def _ready(self, under_way: set[str]) -> list[str]:
        """The steps that may begin now, in the definition's order."""
        return [
            name
            for name in self.runner.steps
            if name in self.runner.selected
            and name not in self.statuses
            and name not in under_way
            and all(self.statuses.get(each) == "Succeeded" for each in self.waits[name])
            and self._chosen(name)
        ]

    def _chosen(self, name: str) -> bool:
        """Whether the condition around a step, if any, chose the step's branch."""
        if name not in self.branches:
            return True
        condition, branch = self.branches[name]
        if condition not in self.runner.results:
            # Its condition is not part of a selective execution.
            return True
        return bool(self.runner.results[condition]["Outcome"] == (branch == "IfSteps"))

    def _run_step(self, name: str) -> str:
        """Run one step with its retries; returns its final status."""
        step = self.runner.steps[name]
        self.runner.begin(step)
        crashpoint("step-begun")
        attempts = retry.Attempts(step.get("RetryPolicies", []), self.time_scale)
        while True:
            changes, kind = self._attempt(step, attempts.count)
            pause = attempts.pause_before_next(kind) if kind else None
            if pause is None:
                break
            # ListPipelineExecutionSteps shows the reason of the last attempt during the pause.
            self.runner.change(name, {"AttemptCount": attempts.count, "FailureReason": changes["FailureReason"]})
            if self.runner.stop.wait(pause):
                changes = {"StepStatus": "Stopped"}
                break
        final = {"FailureReason": None, **changes, "AttemptCount": attempts.count, "EndTime": now()}
        document = self.runner.finish(name, final)
        return str(document["StepStatus"])

    def _attempt(self, step: graph.Step, attempt: int) -> tuple[Document, str | None]:
        """One attempt: the changes to the step's document and, after a failure, its retry exception type."""
        try:
            return self.runner.attempt(step, attempt), None
        except JobStopped:
            return {"StepStatus": "Stopped"}, None
        except JobFailed as error:
            return _failed(error.reason), error.kind
        except UnknownReference as error:
            return _failed(f"ClientError: {error}"), None
        except ApiError as error:
            return _failed(f"ClientError: {error.code}: {error.message}"), None
        except Exception as error:
            logger.exception("step %s of %s", step["Name"], self.runner.arn)
            return _failed(f"InternalServerError: {error}"), INTERNAL_ERROR


def _failed(reason: str) -> Document:
    return {"StepStatus": "Failed", "FailureReason": reason[:1024]}


def _scoped(execution: Document, function: Callable[[str], str]) -> Callable[[str], str]:
    """`function` with MiniStack's account and region set, which a pool's thread does not inherit."""
    from ministack.core import responses

    _, _, _, region, account, _ = execution["PipelineExecutionArn"].split(":", 5)

    def inside(name: str) -> Any:
        with responses.request_scope(account, region):
            return function(name)

    return inside
