"""The whole chain on this machine: `python -m pipelines.run --local`.

Endpoint -> stacks -> pipeline -> collector -> delivery -> retrain -> SageMaker Pipeline -> model package. Everything
goes through AWS's APIs at the local endpoint; the same calls would do the same on AWS.
"""

import contextlib
import shlex
import time
from pathlib import Path
from typing import Any

from localaws.endpoint import Endpoint
from localaws.workspace import Workspace
from pipelines.account import collector, executions, model_packages, retraining, s3, upsert
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.stacks import Stacks, environment
from pipelines.authoring import committed
from pipelines.cli.arguments import local_flags
from pipelines.cli.errors import ExpectedError
from pipelines.cli.output import Document
from pipelines.cli.progress import Progress
from pipelines.local import endpoint
from pipelines.local.endpoint import api_url
from pipelines.local.punk_api import load_catalogue
from pipelines.records.ledger import ledger

ENVIRONMENT = "dev"
# How long to wait for an answer that AWS gives later: the delivery, its event, the state machine's end.
PATIENCE_SECONDS = 300
LOOK_SECONDS = 0.05
# A training wants both cores, and each look takes a little of one.
LOOK_AT_STEPS_SECONDS = 0.25


def run(
    workspace: Workspace,
    *,
    catalogue: Path | None,
    keep: bool,
    port: int,
    progress: Progress,
    parameters: dict[str, str] | None = None,
) -> Document:
    """Run the chain; returns the object that `--json` prints. Raises ExpectedError when it fails.

    parameters: of the pipeline run. With some the run is started by hand, without any by the event of the new data.
    """
    if catalogue is not None:
        # Said before anything is started.
        load_catalogue(catalogue)
    with contextlib.ExitStack() as until_the_end:
        with progress.step("endpoint") as step:
            running = until_the_end.enter_context(endpoint.running(workspace, keep=keep, port=port))
            beers = running.control("catalogue", path=str(catalogue.absolute()) if catalogue else None)["beers"]
            step.update(f"{running.url}, {beers} beers to collect")
        with aws_errors("running the chain at the local endpoint"):
            chain = _Chain(running, progress, parameters or {})
            if parameters and (keep or running.detached):
                until_the_end.callback(chain.start_by_event)
            return chain.run(keep)


class _Chain:
    """One run: each step of it is a method."""

    def __init__(self, running: Endpoint, progress: Progress, parameters: dict[str, str]) -> None:
        self.endpoint = running
        self.progress = progress
        self.clients = Clients(running)
        self.clients.flags = shlex.join(local_flags(running.workspace.root))
        self.parameters = parameters
        # A local run trains each time, so it waits for no new beers. One with parameters is started by hand, so that
        # the event of the new data does not start another without them.
        self.overrides = {
            "ingestion": {"ApiUrl": api_url(running)},
            "pipelines": {"MinNewBeers": "0", "MinMinutesBetweenRuns": "0"},
        }
        by_event = {"pipelines": {**self.overrides["pipelines"], "NewDataState": "DISABLED"}} if parameters else {}
        self.stacks = Stacks(self.clients, environment(ENVIRONMENT, self.overrides | by_event))

    def run(self, keep: bool) -> Document:
        """All steps, then the result."""
        self.deploy()
        self.upsert()
        before = self.ledger()
        earlier = self.machine_executions()
        self.collect()
        records = self.deliver(before)
        execution = self.retrain(earlier)
        package = executions.registered_package(self.clients, execution["arn"])
        if execution["status"] != "Succeeded" or package is None:
            raise executions.failure(self.clients, execution["arn"])
        metrics = model_packages.metrics(s3.read_json(self.clients, model_packages.evaluation_uri(package)))
        return {
            "records": records,
            "execution": execution,
            "model_package": {
                "arn": package["ModelPackageArn"],
                "version": package["ModelPackageVersion"],
                "approval_status": package["ModelApprovalStatus"],
            },
            "metrics": metrics,
            "endpoint_url": self.endpoint.url if keep or self.endpoint.detached else None,
            "seconds": round(self.progress.elapsed, 3),
        }

    def deploy(self) -> None:
        """The CloudFormation stacks."""
        with self.progress.step("stacks") as step:
            lines: list[str] = []

            def show(stack: str, outcome: str) -> None:
                lines.append(f"{stack} {outcome}")
                step.update(", ".join(lines))

            self.stacks.deploy(show)

    def start_by_event(self) -> None:
        """Let the event of new data start runs again, after a run with parameters."""
        Stacks(self.clients, environment(ENVIRONMENT, self.overrides)).deploy_one("pipelines")

    def upsert(self) -> None:
        """The SageMaker Pipeline."""
        with self.progress.step("pipeline") as step:
            settings = upsert.settings(self.clients, self.stacks)
            text = committed.definition(settings)
            outcome = upsert.upsert(self.clients, settings, text, self.stacks.environment.tags)
            step.update(f"{settings.pipeline_name} {outcome}")

    def collect(self) -> None:
        """The collector Lambda, asked for the whole catalogue."""
        with self.progress.step("collect") as step:
            payload = collector.collect(self.stacks)
            refused = ", ".join(f"{count} {reason}" for reason, count in payload["refused"].items())
            step.update(f"{payload['sent']} beers on the stream" + (f"; refused: {refused}" if refused else ""))

    def deliver(self, before: Document) -> Document:
        """Wait until Firehose has delivered everything; what became of the records."""
        with self.progress.step("deliver") as step:
            self.wait_for(lambda: not any(map(sum_of, self.waiting().values())), "the delivery of the records")
            after = self.ledger()
            records = {name: after[name] - before[name] for name in ("accepted", "clean", "dropped", "failed")}
            step.update("accepted {accepted} = {clean} clean + {dropped} dropped + {failed} failed".format(**records))
            return records

    def retrain(self, earlier: set[str]) -> Document:
        """Wait for the state machine that the new objects start, or start it by hand, and for the pipeline run."""
        with self.progress.step("retrain") as step:
            if self.parameters:
                machines = {retraining.start(self.stacks, self.parameters)}
            else:
                step.update("waiting for the event of the new objects")
                machines = self.wait_for(lambda: self.machine_executions() - earlier, "the state machine's start")
            execution_arn = self.wait_for(lambda: self.pipeline_run(machines), "the pipeline run's start")
            step.update(execution_arn.rpartition(":")[2])
        return self.follow(execution_arn, machines)

    def follow(self, execution_arn: str, machines: set[str]) -> Document:
        """The pipeline's steps as they go, until the state machine has told how they ended."""
        with self.progress.step("train") as step:
            execution = executions.wait(self.clients, execution_arn, step.update, LOOK_AT_STEPS_SECONDS)
            self.wait_for(lambda: not any(map(self.machine_runs, machines)), "the state machine's end")
            return execution

    def machine_runs(self, arn: str) -> bool:
        """Whether a state machine execution is still under way."""
        return bool(self.clients.stepfunctions.describe_execution(executionArn=arn)["status"] == "RUNNING")

    def pipeline_run(self, machines: set[str]) -> str | None:
        """The pipeline run that one of these state machine executions has started; None while there is none."""
        for arn in machines:
            run = retraining.pipeline_run(self.clients, arn)
            if run:
                return run
        ended = {arn: retraining.outcome(self.clients, arn) for arn in machines}
        for arn, outcome in ended.items():
            # One of several executions skips where another one has started the run.
            if outcome and (outcome[0] != "SUCCEEDED" or all(ended.values())):
                raise retraining.not_started(self.stacks, arn, *outcome)
        return None

    def machine_executions(self) -> set[str]:
        """ARNs of the state machine's executions."""
        machine = self.stacks.output("pipelines", "RetrainStateMachineArn")
        with aws_errors("listing the state machine's executions"):
            pages = self.clients.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine)
            return {each["executionArn"] for page in pages for each in page["executions"]}

    def waiting(self) -> dict[str, dict[str, int]]:
        """Records that Firehose still holds, by delivery stream and stage of the delivery."""
        waiting: dict[str, dict[str, int]] = self.endpoint.control("status")["waiting"]
        return waiting

    def ledger(self) -> Document:
        """What became of every record in the data bucket, in totals."""
        found = ledger(self.clients.s3, self.stacks.output("ingestion", "DataBucket"))
        totals = {name: sum_of(found[name]) for name in ("dropped", "failed")}
        return {"accepted": found["accepted"], "clean": found["clean"], **totals}

    def wait_for(self, look: Any, what: str) -> Any:
        """Look until there is something; ExpectedError after five minutes, or when the endpoint is gone."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(LOOK_SECONDS)
        raise ExpectedError(
            f"{what} did not come within {PATIENCE_SECONDS} s",
            where=str(self.endpoint.workspace.log),
            hint="read that file, then run the same command again",
        )


def sum_of(counts: Document) -> int:
    """The sum of a dict's counts."""
    return sum(counts.values())


def verdict(result: Document) -> str:
    """The run's outcome in a sentence."""
    metrics, package = result["metrics"], result["model_package"]
    return (
        f"MAE {metrics['mae']:.1f} against {metrics['baseline_mae']:.1f} for the median: "
        f"registered version {package['version']}, waiting for approval"
    )
