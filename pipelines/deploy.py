"""An environment in an account: create or update it, or delete it.

    python -m pipelines.deploy --env dev                    stacks in order, then the SageMaker Pipeline
    python -m pipelines.deploy --env dev --verify           pass or fail of records, a run, an approval
    python -m pipelines.deploy --env dev --delete           pipeline and stacks; buckets and models stay
    python -m pipelines.deploy --env dev --delete --data    the buckets with all they hold and the models too

A protected environment (prod) is deleted or verified, which approves a model, only with --unprotect.
AWS_ENDPOINT_URL points at another endpoint.
"""

import argparse
import datetime
import functools
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from localaws.arguments import Arguments
from localaws.errors import CONFLICT, RUN_FAILED, ExpectedError, exit_code
from pipelines.account import endpoints, upsert
from pipelines.account.change_sets import pauses
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.executions import UNFINISHED
from pipelines.account.model_packages import Registry
from pipelines.account.serving import NONE, Serving
from pipelines.account.stacks import STACKS, Stacks, environment
from pipelines.cli.arguments import ENVIRONMENT, add_account_flags, add_json_flag, command_line, target_flags

# Called with the name of a stack or resource and what happened to it.
Show = Callable[[str, str], None]


def arguments() -> Arguments:
    """The command's flags."""
    parser = Arguments(
        prog="python -m pipelines.deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_account_flags(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--delete", action="store_true", help="delete the environment instead")
    what.add_argument("--verify", action="store_true", help="verify the deployed environment from end to end")
    parser.add_argument("--data", action="store_true", help="with --delete: buckets and models too; nothing is left")
    parser.add_argument("--unprotect", action="store_true", help="with --delete, --verify: a protected environment too")
    add_json_flag(parser)
    return parser


def deploy(stacks: Stacks, show: Show) -> dict[str, str]:
    """Create or update everything; returns name -> "created", "updated" or "unchanged"."""
    from pipelines.authoring import committed

    refuse_orphaned_group(stacks)
    outcomes = stacks.deploy(show)
    settings = upsert.settings(stacks.clients, stacks)
    text = committed.definition(settings)
    outcomes["pipeline"] = upsert.upsert(stacks.clients, settings, text, stacks.environment.tags)
    show("pipeline", outcomes["pipeline"])
    serving = Serving(stacks)
    if outcomes["deployment"] == "updated" and serving.kind() != NONE:
        serving.start()
    return outcomes


def refuse_orphaned_group(stacks: Stacks) -> None:
    """Delete an empty model package group of a deleted stack, which fails the new stack; refuse one with models."""
    name = orphaned_group(stacks)
    if name is None:
        return
    if Registry(stacks.clients, name).summaries():
        raise ExpectedError(
            f"the model package group {name} exists, with the models of a deleted environment",
            where=f"cloudformation/parameters/{stacks.environment.name}.json, ModelPackageGroupName",
            hint=command_line("deploy", "--delete", "--data", flags=stacks.clients.flags),
            code=CONFLICT,
        )
    with aws_errors(f"deleting the model package group {name}"):
        stacks.clients.sagemaker.delete_model_package_group(ModelPackageGroupName=name)


def orphaned_group(stacks: Stacks) -> str | None:
    """The environment's model package group where it exists without its stack; None otherwise."""
    import botocore.exceptions

    name = stacks.environment.parameters["pipelines"].get("ModelPackageGroupName")
    if not name or stacks.exists("pipelines"):
        return None
    with aws_errors("reading the model package group"):
        try:
            stacks.clients.sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        except botocore.exceptions.ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
    return name


def refuse_protected(stacks: Stacks, *, verify: bool, unprotect: bool) -> None:
    """Raise ExpectedError for a protected environment unless `unprotect`. verify: else it is to be deleted."""
    if stacks.environment.protected and not unprotect:
        raise ExpectedError(
            f"{stacks.environment.name} is protected",
            where=f"cloudformation/parameters/{stacks.environment.name}.json",
            hint=command_line(
                "deploy", "--verify" if verify else "--delete", "--unprotect", flags=stacks.clients.flags
            ),
            code=CONFLICT,
        )


def verify(stacks: Stacks, given: argparse.Namespace) -> int:
    """Verify the environment; prints each check as pass or fail, with the next command. Returns the exit code."""
    from pipelines.account.verification import Verification
    from pipelines.cli.progress import Progress
    from pipelines.records import commands

    refuse_protected(stacks, verify=True, unprotect=given.unprotect)
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    checks = Verification(
        stacks,
        Progress(),
        ledger=lambda: commands.account(stacks, day),
        deploy=lambda: deploy(stacks, lambda name, outcome: None),
    ).checks()
    if given.json:
        print(json.dumps({"checks": [check._asdict() for check in checks]}))
    for check in checks:
        print(f"{'pass' if check.passed else 'fail'}  {check.name:<18} {check.detail}", file=sys.stderr)
        if check.next:
            print(f"      next: {check.next}", file=sys.stderr)
    return 0 if all(check.passed for check in checks) else RUN_FAILED


def delete(stacks: Stacks, *, data: bool, unprotect: bool, show: Show) -> dict[str, str]:
    """Delete the pipeline and the stacks, last one first; returns name -> "deleted", "retained" or "not there"."""
    refuse_protected(stacks, verify=False, unprotect=unprotect)
    outcomes: dict[str, str] = {}

    def done(name: str, outcome: str) -> None:
        outcomes[name] = outcome
        show(name, outcome)

    retained = dict(_retained(stacks))
    if stacks.exists("deployment"):
        done("endpoint", endpoints.delete(stacks.clients, stacks.output("deployment", "EndpointName")))
    done("pipeline", delete_pipeline(stacks))
    for short in reversed(STACKS):
        done(short, stacks.delete(short))
    for name, remove in retained.items():
        if data:
            remove()
        done(name, "deleted" if data else "retained")
    return outcomes


def delete_pipeline(stacks: Stacks) -> str:
    """Delete the SageMaker Pipeline of an environment."""
    if not stacks.exists("pipelines"):
        return "not there"
    name = stacks.output("pipelines", "PipelineName")
    if upsert.deployed(stacks.clients, name) is None:
        return "not there"
    with aws_errors(f"deleting the pipeline {name}"):
        stop_runs(stacks.clients, name)
        stacks.clients.sagemaker.delete_pipeline(PipelineName=name)
    return "deleted"


def stop_runs(clients: Clients, name: str) -> None:
    """Stop a pipeline's runs and wait until they have ended: a pipeline with running executions cannot be deleted."""
    pages = clients.sagemaker.get_paginator("list_pipeline_executions")
    for pause in pauses():
        listed = [each for page in pages.paginate(PipelineName=name) for each in page["PipelineExecutionSummaries"]]
        for run in listed:
            if run["PipelineExecutionStatus"] == "Executing":
                clients.sagemaker.stop_pipeline_execution(
                    PipelineExecutionArn=run["PipelineExecutionArn"], ClientRequestToken=uuid.uuid4().hex
                )
        if all(run["PipelineExecutionStatus"] not in UNFINISHED for run in listed):
            return
        time.sleep(pause)


def _retained(stacks: Stacks) -> Iterator[tuple[str, Callable[[], None]]]:
    """What a deletion of the stacks retains, each with a function that deletes it; read before the outputs are gone."""
    clients = stacks.clients
    exists = stacks.exists("pipelines")
    group = stacks.output("pipelines", "ModelPackageGroupName") if exists else orphaned_group(stacks)
    if group:
        yield f"models of {group}", lambda: empty_group(clients, group)
    if stacks.exists("deployment"):
        for name in endpoints.log_groups(clients, stacks.output("deployment", "EndpointName")):
            yield f"log {name}", functools.partial(clients.logs.delete_log_group, logGroupName=name)
    if stacks.exists("artifacts") and "KmsKeyArn" in stacks.outputs("artifacts"):
        key = stacks.output("artifacts", "KmsKeyArn")
        if key:
            yield f"key {key}", lambda: end_key(clients, key)
    for short, output in (("ingestion", "DataBucket"), ("artifacts", "ArtifactBucket")):
        if stacks.exists(short):
            bucket = stacks.output(short, output)
            yield f"bucket {bucket}", functools.partial(empty_bucket, clients, bucket)


def empty_group(clients: Clients, group: str) -> None:
    """Delete a model package group and its packages."""
    with aws_errors(f"deleting the models of {group}"):
        pages = clients.sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        for package in [each for page in pages for each in page["ModelPackageSummaryList"]]:
            clients.sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
        clients.sagemaker.delete_model_package_group(ModelPackageGroupName=group)


def end_key(clients: Clients, key: str) -> None:
    """Schedule a key's deletion in 30 days, within which it can be cancelled."""
    with aws_errors(f"deleting the key {key}"):
        clients.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=30)


def empty_bucket(clients: Clients, bucket: str) -> None:
    """Delete every version of every object in a bucket, then the bucket."""
    with aws_errors(f"deleting the bucket {bucket}"):
        for page in clients.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]
            if objects:
                clients.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        clients.s3.delete_bucket(Bucket=bucket)


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    given = arguments().parse_args(argv)
    if given.data and not given.delete:
        arguments().error("--data belongs to --delete")
    if given.unprotect and not (given.delete or given.verify):
        arguments().error("--unprotect belongs to --delete and --verify")
    clients = Clients(region=given.region)
    clients.flags = target_flags(given)
    stacks = Stacks(clients, environment(given.env or ENVIRONMENT))

    def show(name: str, outcome: str) -> None:
        print(f"{name:<12} {outcome}", file=sys.stderr)

    if given.verify:
        return verify(stacks, given)
    outcomes: dict[str, Any]
    if given.delete:
        outcomes = delete(stacks, data=given.data, unprotect=given.unprotect, show=show)
    else:
        outcomes = deploy(stacks, show)
    if given.json:
        print(json.dumps(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
