"""Verify a deployed environment from end to end: `python -m pipelines.deploy --verify`.

Stacks, image, records, run, approval, answer and clean-up, each as pass or fail with the command to run next. The model
package that the verification registers is deleted at its end. The beers that it collects are records like all others.
"""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

from localaws.errors import CONFLICT, NOT_FOUND, ExpectedError
from pipelines.account import change_sets, collector, decisions, executions, predictions, retraining, upsert
from pipelines.account.clients import aws_errors
from pipelines.account.model_packages import APPROVED, REJECTED
from pipelines.account.runs import Runs
from pipelines.account.serving import NONE, Serving
from pipelines.account.stacks import STACKS, Stacks
from pipelines.cli.output import Document
from pipelines.cli.progress import Progress

# Firehose's buffer of up to 15 minutes, Lambda's own, and a margin.
DELIVERY_SECONDS = 30 * 60
POLL_SECONDS = 1.0
# StackStatus after a successful operation.
COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
BEER = (("name", "abv", "target_og"), ("verification", "6.7", "1060"))
NOTE = "approved by pipelines.deploy --verify"


class Check(NamedTuple):
    """One check. next: the command to run where it failed, else ""."""

    name: str
    passed: bool
    detail: str
    next: str = ""


class Verification:
    """The checks of one environment.

    ledger: reads the ledger of the data bucket. deploy: deploys again and returns name -> what happened.
    """

    def __init__(
        self,
        stacks: Stacks,
        progress: Progress,
        ledger: Callable[[], Document],
        deploy: Callable[[], dict[str, str]],
    ) -> None:
        self.stacks = stacks
        self.progress = progress
        self.ledger = ledger
        self.deploy = deploy
        self.version = 0

    @functools.cached_property
    def serving(self) -> Serving:
        """The environment's registry and endpoint."""
        return Serving(self.stacks)

    def checks(self) -> list[Check]:
        """Run the checks in order. One that needs an earlier one is not tried when that has failed."""
        done: dict[str, Check] = {}
        for name, (check, needed) in {
            "stacks": (self.stacks_complete, ()),
            "second deployment": (self.unchanged, ("stacks",)),
            "image": (self.image, ("stacks",)),
            "records": (self.records, ("stacks",)),
            "run": (self.run, ("stacks", "records")),
            "approval": (self.approval, ("run",)),
            "answer": (self.answer, ("approval",)),
            "clean-up": (self.clean_up, ("run",)),
        }.items():
            failed = [each for each in needed if not done[each].passed]
            if failed:
                done[name] = Check(name, False, f"not tried: {failed[0]} failed", done[failed[0]].next)
            else:
                done[name] = self.tried(name, check)
        return list(done.values())

    def tried(self, name: str, check: Callable[[], str]) -> Check:
        """Run one check; an expected error is its failure."""
        try:
            with self.progress.step(name) as step:
                detail = check()
                step.update(detail)
        except ExpectedError as error:
            return Check(name, False, f"{error.what} ({error.where})", error.hint)
        return Check(name, True, detail)

    def stacks_complete(self) -> str:
        """Every stack exists, and its last operation succeeded."""
        statuses = {}
        for short in STACKS:
            name = self.stacks.environment.stack(short)
            with aws_errors(f"reading {name}"):
                stack = change_sets.describe(self.stacks.clients.cloudformation, name)
            statuses[name] = stack["StackStatus"] if stack else "does not exist"
        wrong = [f"{name}: {status}" for name, status in statuses.items() if status not in COMPLETE]
        if wrong:
            raise ExpectedError(
                "; ".join(wrong), where="CloudFormation", hint=self.stacks.deploy_command(), code=NOT_FOUND
            )
        return f"{len(statuses)} complete"

    def unchanged(self) -> str:
        """A second deployment changes nothing."""
        changed = [f"{name} {outcome}" for name, outcome in self.deploy().items() if outcome != "unchanged"]
        if changed:
            raise ExpectedError(
                f"the deployed environment was not that of this checkout: {', '.join(changed)}",
                where="pipelines.deploy",
                hint=self.stacks.clients.command("deploy", "--verify"),
            )
        return "unchanged"

    def image(self) -> str:
        """The steps' container image can be pulled."""
        name = self.stacks.output("pipelines", "PipelineName")
        definition = upsert.deployed(self.stacks.clients, name)
        images = {uri for uri in _values(definition, ("ImageUri", "TrainingImage", "Image")) if ".dkr.ecr." in uri}
        for uri in sorted(images):
            registry, _, path = uri.partition("/")
            repository, _, tag = path.partition(":")
            with aws_errors(f"reading the image {uri}"):
                answer = self.stacks.clients.ecr.batch_get_image(
                    registryId=registry.partition(".")[0], repositoryName=repository, imageIds=[{"imageTag": tag}]
                )
            if not answer["images"]:
                reason = "; ".join(each.get("failureReason", "") for each in answer["failures"])
                raise ExpectedError(
                    f"no image {uri}: {reason}",
                    where="Amazon ECR",
                    hint=self.stacks.deploy_command(),
                    code=NOT_FOUND,
                )
        return ", ".join(sorted(images))

    def records(self) -> str:
        """Beers travel from the collector to the table, and the ledger accounts for each."""
        before = self.ledger()
        sent = collector.collect(self.stacks)["sent"]
        deadline = time.monotonic() + DELIVERY_SECONDS
        for pause in change_sets.pauses():
            found = self.ledger()
            arrived = found["accepted"] - before["accepted"]
            if arrived >= sent and found["difference"] == 0:
                return f"{sent} beers collected, every record accounted for"
            if time.monotonic() > deadline:
                break
            time.sleep(pause)
        raise ExpectedError(
            f"of {sent} beers {arrived} were accepted within {DELIVERY_SECONDS // 60} minutes, "
            f"and {found['difference']} records are not accounted for",
            where=self.stacks.output("ingestion", "DataBucket"),
            hint=self.stacks.clients.command("records", "ledger"),
        )

    def run(self) -> str:
        """A run by hand, or the one that the new records have started, registers a model."""
        runs = Runs(self.stacks.clients, self.stacks.output("pipelines", "PipelineName"))
        try:
            arn = retraining.wait_for_run(self.stacks, retraining.start(self.stacks, {}))
        except ExpectedError as error:
            if error.code != CONFLICT:
                raise
            arn = runs.find("latest")
        execution = executions.wait(self.stacks.clients, arn, lambda steps: None, POLL_SECONDS)
        package = executions.registered_package(self.stacks.clients, arn)
        if execution["status"] != "Succeeded" or package is None:
            raise executions.failure(self.stacks.clients, arn)
        self.version = package["ModelPackageVersion"]
        return f"{executions.run_id(arn)} registered version {self.version}"

    def approval(self) -> str:
        """The model can be approved, and is deployed where the environment serves."""
        result = decisions.decide(self.serving, self.version, APPROVED, NOTE, lambda text: None)
        deployment = result["deployment"]
        return f"version {self.version} approved" + (f", {deployment['decision']}" if deployment else "")

    def answer(self) -> str:
        """The endpoint answers from the approved version, where the environment serves."""
        if self.serving.kind() == NONE:
            return "not asked: the environment serves no model (parameter Serving)"
        answer = predictions.predict(self.serving, BEER)
        if str(answer["model_version"]) != str(self.version):
            raise ExpectedError(
                f"version {answer['model_version']} answers instead of {self.version}",
                where=self.serving.endpoint(),
                hint=self.stacks.clients.command("registry", "status"),
            )
        return f"version {self.version}: {answer['predictions'][0]['ibu']:.1f} IBU"

    def clean_up(self) -> str:
        """Take the approval back, so that what served before serves again, and delete the model package."""
        registry = self.serving.registry
        package = registry.package(self.version)
        if package["ModelApprovalStatus"] == APPROVED:
            decisions.decide(self.serving, self.version, REJECTED, NOTE, lambda text: None)
        with aws_errors(f"deleting version {self.version}"):
            registry.clients.sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
        return f"version {self.version} deleted"


def _values(document: object, names: tuple[str, ...]) -> set[str]:
    """The texts of all members with these names, at any depth."""
    if isinstance(document, list):
        return {text for each in document for text in _values(each, names)}
    if not isinstance(document, dict):
        return set()
    found = {value for name, value in document.items() if name in names and isinstance(value, str)}
    return found | {text for value in document.values() for text in _values(value, names)}
