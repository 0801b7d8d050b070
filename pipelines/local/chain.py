"""The whole chain on this machine: `python -m pipelines.run --local`.

Endpoint -> stacks -> pipeline -> collector -> delivery -> retrain -> SageMaker Pipeline -> model package. Everything
uses AWS's APIs at the local endpoint; the same calls do the same on AWS.
"""

import contextlib
import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ingestion.names import FAILED
from localaws.clients import load_ahead
from localaws.endpoint import Endpoint
from localaws.errors import RUN_FAILED, ExpectedError
from localaws.workspace import Workspace
from pipelines.account import collector, executions, model_packages, retraining, s3, upsert
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.stacks import Stacks, environment
from pipelines.authoring import committed
from pipelines.cli.arguments import local_flags
from pipelines.cli.output import Document
from pipelines.cli.progress import Progress
from pipelines.local import endpoint
from pipelines.local.endpoint import api_url
from pipelines.local.punk_api import load_catalogue
from pipelines.records import functions
from pipelines.records.ledger import ledger

ENVIRONMENT = "dev"
# The deadline of what AWS answers later: the delivery, its event, the state machine's end.
DEADLINE_SECONDS = 300
POLL_SECONDS = 0.05
# A training uses all cores, and each poll takes a little of one.
STEPS_POLL_SECONDS = 0.25
# What the chain's clients are for; their models are read while the endpoint starts.
SERVICES = ("cloudformation", "s3", "sagemaker", "lambda", "stepfunctions")
RECORDS = ("accepted", "clean", "dropped", "failed")
T = TypeVar("T")


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
        # A wrong file is an error before anything is started.
        load_catalogue(catalogue)
    threading.Thread(target=load_ahead, args=SERVICES, daemon=True).start()
    with contextlib.ExitStack() as context:
        with progress.step("endpoint") as step:
            running = context.enter_context(endpoint.running(workspace, keep=keep, port=port))
            beers = running.control("catalogue", path=str(catalogue.absolute()) if catalogue else None)["beers"]
            step.update(f"{running.url}, {beers} beers to collect")
        with aws_errors("running the chain at the local endpoint"):
            chain = _Chain(running, progress, parameters or {})
            if parameters and (keep or running.detached):
                context.callback(chain.start_by_event)
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
        self.stacks = Stacks(self.clients, environment(ENVIRONMENT, self.overrides | by_event), self.drain)
        self.began = time.time()

    def run(self, keep: bool) -> Document:
        """All steps, then the result."""
        self.deploy()
        self.upsert()
        before = self.objects()
        earlier = retraining.executions(self.stacks)
        self.collect()
        records = self.deliver(before)
        execution = self.retrain(earlier, self.objects() - before)
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
                if stack == "ingestion":
                    self.warm()

            self.stacks.deploy(show)

    def warm(self) -> None:
        """Start the environments of the collector and the transform while the other stacks are deployed."""
        functions = [self.stacks.output("ingestion", name) for name in ("CollectorName", "TransformName")]
        threading.Thread(target=self._warm, args=(functions,), daemon=True).start()

    def _warm(self, functions: list[str]) -> None:
        # A failure shows where they are invoked.
        with contextlib.suppress(ExpectedError):
            self.endpoint.control("warm", functions=functions)

    def start_by_event(self) -> None:
        """Let the event of new data start runs again, after a run with parameters."""
        Stacks(self.clients, environment(ENVIRONMENT, self.overrides)).deploy_one("pipelines")

    def drain(self, _: float) -> None:
        """Have the deliveries write what they hold, without waiting for their buffers."""
        self.wait_for(lambda: self.endpoint.control("drain")["drained"], "the delivery of what is buffered")

    def upsert(self) -> None:
        """The SageMaker Pipeline."""
        with self.progress.step("pipeline") as step:
            settings = upsert.settings(self.clients, self.stacks)
            text = committed.definition(settings)
            outcome = upsert.upsert(self.clients, settings, text, self.stacks.environment.tags)
            step.update(f"{settings.pipeline_name} {outcome}")

    def collect(self) -> None:
        """The collector Lambda, invoked for the whole catalogue."""
        with self.progress.step("collect") as step:
            report = collector.collect(self.stacks)
            refused = ", ".join(f"{count} {reason}" for reason, count in report["refused"].items())
            step.update(f"{report['sent']} beers on the stream" + (f"; refused: {refused}" if refused else ""))
            if not report["sent"]:
                raise ExpectedError(
                    f"the catalogue has no beer: {refused or 'it is empty'}",
                    where=api_url(self.endpoint),
                    hint="serve a list of beers, each with an id and a name: --catalog FILE",
                    code=RUN_FAILED,
                )

    def deliver(self, before: set[str]) -> Document:
        """Have Firehose deliver everything; return the outcome of the records in the new objects."""
        with self.progress.step("deliver") as step:
            self.drain(DEADLINE_SECONDS)
            found = ledger(self.clients.s3, self.stacks.output("ingestion", "DataBucket"), without=before)
            records = {name: sum_of(found[name]) for name in RECORDS}
            step.update("accepted {accepted} = {clean} clean + {dropped} dropped + {failed} failed".format(**records))
            if not records["clean"]:
                raise self.nothing_clean(found)
            return records

    def nothing_clean(self, found: Document) -> ExpectedError:
        """The error when no record became a row: the reasons, or what the transform raised."""
        function = self.stacks.output("ingestion", "TransformName")
        raised = functions.last_error(self.clients, function, self.began)
        if raised:
            hint = self.clients.command("local", "logs", "transform")
            return ExpectedError(f"the transform failed: {raised}", where=function, hint=hint, code=RUN_FAILED)
        reasons = [each for name in ("dropped", "failed") for each in found[name].items()]
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
        return ExpectedError(
            f"no record is clean: {listed}",
            where=f"s3://{self.stacks.output('ingestion', 'DataBucket')}/{FAILED}",
            hint=self.clients.command("local", "failed"),
            code=RUN_FAILED,
        )

    def retrain(self, earlier: set[str], keys: set[str]) -> Document:
        """Wait for the state machine that the new objects start, or start it by hand, and follow the pipeline run."""
        with self.progress.step("retrain") as step:
            if self.parameters:
                by_hand = {retraining.start(self.stacks, self.parameters)}
            else:
                step.update("waiting for the event of the new objects")

            def machines() -> set[str]:
                # Each object is an event; more executions may start while the first one runs.
                return by_hand if self.parameters else retraining.executions(self.stacks, keys, earlier)

            self.wait_for(machines, "the state machine's start")
            arn = self.wait_for(lambda: self.pipeline_run(machines()), "the pipeline run's start")
            step.update(arn.rpartition(":")[2])
        with self.progress.step("train") as step:
            execution = executions.wait(self.clients, arn, step.update, STEPS_POLL_SECONDS)
            self.wait_for(lambda: all(map(self.ended, machines())), "the state machine's end")
            return execution

    def ended(self, machine_execution: str) -> bool:
        """Whether a state machine execution has ended."""
        return retraining.final_status(self.clients, machine_execution) is not None

    def pipeline_run(self, machines: set[str]) -> str | None:
        """The pipeline run that one of these state machine executions has started; None while there is none."""
        for arn in machines:
            run = retraining.pipeline_run(self.clients, arn)
            if run:
                return run
        ended = {arn: retraining.final_status(self.clients, arn) for arn in machines}
        for arn, outcome in ended.items():
            # One of several executions skips where another one has started the run.
            if outcome and (outcome[0] != "SUCCEEDED" or all(ended.values())):
                raise retraining.not_started(self.stacks, arn, *outcome)
        return None

    def objects(self) -> set[str]:
        """The keys in the data bucket."""
        bucket = self.stacks.output("ingestion", "DataBucket")
        return {s3.split(address)[1] for address in s3.objects(self.clients, f"s3://{bucket}/")}

    def wait_for(self, poll: Callable[[], T | None], what: str) -> T:
        """Poll until the result is true; raises ExpectedError after DEADLINE_SECONDS or when the endpoint is gone."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = poll()
            if found:
                return found
            time.sleep(POLL_SECONDS)
        raise ExpectedError(
            f"{what} did not come within {DEADLINE_SECONDS} s",
            where=str(self.endpoint.workspace.log),
            hint=self.clients.command("local", "logs"),
            code=RUN_FAILED,
        )


def sum_of(counts: int | dict[str, int]) -> int:
    """A count, or the sum of counts by reason."""
    return counts if isinstance(counts, int) else sum(counts.values())


def sentence(result: Document) -> str:
    """The result of a run in a sentence."""
    metrics, package = result["metrics"], result["model_package"]
    return (
        f"MAE {metrics['mae']:.1f} against {metrics['baseline_mae']:.1f} for the median: "
        f"registered version {package['version']}, waiting for approval"
    )
