"""Create or update the SageMaker Pipeline, and compare the deployed definition with the new one."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from localaws.sagemaker import graph
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.stacks import Stacks, upload
from pipelines.authoring import archives
from pipelines.authoring.settings import SOURCES, Settings, assets

# An account's descriptions lag behind what was written.
CONFIRM_SECONDS = 1.0


def settings(clients: Clients, stacks: Stacks) -> Settings:
    """Where the pipeline of an environment lives, from its stacks' outputs."""
    return Settings(
        region=clients.region,
        pipeline_name=stacks.output("pipelines", "PipelineName"),
        artifact_bucket=stacks.output("artifacts", "ArtifactBucket"),
        pipeline_role_arn=stacks.output("pipelines", "PipelineRoleArn"),
        job_role_arn=stacks.output("pipelines", "ExecutionRoleArn"),
        model_package_group_name=stacks.output("pipelines", "ModelPackageGroupName"),
        git_commit=git_commit(),
        kms_key_arn=stacks.outputs("artifacts").get("KmsKeyArn", ""),
    )


def git_commit() -> str:
    """The last commit of the shipped code, with `-dirty` when it was changed since; "unknown" outside a checkout."""
    commands = (["log", "-1", "--format=%H", "--", *SOURCES], ["status", "--porcelain", "--", *SOURCES])
    outputs = []
    for command in commands:
        try:
            done = subprocess.run(
                ["git", "-C", str(archives.ROOT), *command],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
        except (OSError, subprocess.SubprocessError):
            return "unknown"
        outputs.append(done.stdout.strip())
    commit, changes = outputs
    return (commit or "unknown") + ("-dirty" if changes else "")


def deployed(clients: Clients, name: str) -> dict[str, Any] | None:
    """The deployed definition of a pipeline; None when there is no such pipeline."""
    import botocore.exceptions

    with aws_errors(f"reading the pipeline {name}"):
        try:
            described = clients.sagemaker.describe_pipeline(PipelineName=name)
        except botocore.exceptions.ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
    found: dict[str, Any] = json.loads(described["PipelineDefinition"])
    return found


def upsert(clients: Clients, settings: Settings, text: str, tags: dict[str, str]) -> str:
    """Upload the code and create or update the pipeline; returns "created", "updated" or "unchanged".

    text: the definition of exactly these settings.
    """
    after = json.loads(text)
    before = deployed(clients, settings.pipeline_name)
    if before == after and not clients.consistent:
        # The description may be the one from before somebody's update of a moment ago.
        time.sleep(CONFIRM_SECONDS)
        before = deployed(clients, settings.pipeline_name)
    if before == after:
        return "unchanged"
    with ThreadPoolExecutor(8) as pool:
        uploads = [pool.submit(upload, clients, settings.artifact_bucket, asset) for asset in assets(settings)]
    for each in uploads:
        each.result()
    request = {
        "PipelineName": settings.pipeline_name,
        "PipelineDescription": "From beers to a model of their bitterness (IBU) that waits for approval",
        "RoleArn": settings.pipeline_role_arn,
        # The API accepts 1 MB; the indented text is for people.
        "PipelineDefinition": graph.canonical(after),
    }
    with aws_errors(f"writing the pipeline {settings.pipeline_name}"):
        if before is None and _create(clients, request, tags):
            return "created"
        clients.sagemaker.update_pipeline(**request)
        return "updated"


def _create(clients: Clients, request: dict[str, str], tags: dict[str, str]) -> bool:
    """Create the pipeline; False when it exists although DescribePipeline did not find it."""
    import botocore.exceptions

    token = archives.digest({"create": request["PipelineDefinition"].encode()}).ljust(32, "0")
    labels = [{"Key": key, "Value": value} for key, value in tags.items()]
    try:
        clients.sagemaker.create_pipeline(**request, ClientRequestToken=token, Tags=labels)
    except botocore.exceptions.ClientError as error:
        if "already exists" not in error.response["Error"]["Message"]:
            raise
        return False
    return True


def changes(before: dict[str, Any] | None, after: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(kind, name, what) of each change that an upsert makes; kind is "added", "removed" or "changed"."""
    old = before or {"Parameters": [], "Steps": []}
    for noun, old_items, new_items in (
        ("parameter", _parameters(old), _parameters(after)),
        ("step", _steps(old), _steps(after)),
    ):
        for name in [*old_items, *(each for each in new_items if each not in old_items)]:
            if name not in new_items:
                yield "removed", f"{noun} {name}", ""
            elif name not in old_items:
                yield "added", f"{noun} {name}", ""
            else:
                for address, was, becomes in differences(old_items[name], new_items[name]):
                    yield "changed", f"{noun} {name}", f"{address}: {was} -> {becomes}"


def _parameters(definition: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each for each in definition.get("Parameters", [])}


def _steps(definition: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: graph.without_branches(each) for each in graph.steps(definition)}


def differences(old: Any, new: Any, address: str = "") -> Iterator[tuple[str, str, str]]:
    """(address, old, new) of every difference between two JSON values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(each for each in new if each not in old)]:
            yield from differences(old.get(key), new.get(key), f"{address}.{key}" if address else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{address}[{index}]")
    elif old != new:
        yield address, short(old), short(new)


def short(value: Any) -> str:
    """A JSON value on one line, cut to 80 characters."""
    text = "nothing" if value is None else graph.canonical(value)
    return text if len(text) <= 80 else text[:77] + "..."
