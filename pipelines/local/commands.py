"""The sub-commands of `python -m pipelines.local`: each takes its flags and a workspace and returns its result."""

import argparse
import contextlib
import shlex
import time
from collections.abc import Iterator

from localaws import endpoint as endpoints
from localaws.endpoint import Endpoint
from localaws.errors import CONFLICT, NOT_FOUND, WRONG_USAGE, ExpectedError
from localaws.workspace import Workspace
from pipelines.account import collector
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import command_line, local_flags, workspace_flags
from pipelines.cli.output import Document
from pipelines.local import endpoint as local_endpoint
from pipelines.records import commands as records
from pipelines.records import functions

ENVIRONMENT = "dev"
# What `logs` reads, and the output of the ingestion stack that names it.
FUNCTIONS = {"collector": "CollectorName", "transform": "TransformName"}
DELIVERY_SECONDS = 300
POLL_SECONDS = 0.1


def up(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Start the endpoint, unless it is up, and leave it up."""
    from pipelines.local.punk_api import load_catalogue

    if given.catalog:
        load_catalogue(given.catalog)
    endpoint = endpoints.find(workspace) if workspace.root.exists() else None
    if endpoint is None or not endpoint.detached:
        endpoint = local_endpoint.start(workspace, given.port)
    elif given.port and not endpoint.url.endswith(f":{given.port}"):
        raise ExpectedError(
            f"the endpoint is up at another port: {endpoint.url}",
            where="--port",
            hint=_command(workspace, "down"),
            code=CONFLICT,
        )
    if given.catalog:
        endpoint.control("catalogue", path=str(given.catalog.absolute()))
    return {
        "url": endpoint.url,
        "beers_url": endpoint.addresses["punk_api"],
        "pid": endpoint.pid,
        "environment": endpoint.variables(),
    }


def down(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Stop the endpoint; with --delete remove the workspace."""
    return _stop(workspace, delete=given.delete)


def reset(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Stop the endpoint and delete everything in the workspace, so that the next run starts from nothing."""
    return _stop(workspace, delete=True)


def _stop(workspace: Workspace, *, delete: bool) -> Document:
    delete = delete and (workspace.root.exists() or workspace.root.is_symlink())
    if delete:
        # Before anything is changed: the folder may be somebody's.
        workspace.refuse_foreign()
    stopped = endpoints.stop(workspace)
    if delete:
        endpoints.remove(workspace)
    return {"stopped": stopped, "deleted": delete}


def status(given: argparse.Namespace, workspace: Workspace) -> Document:
    """What runs, what waits for delivery, the latest execution and the registered models."""
    endpoint = endpoints.find(workspace) if workspace.marker.exists() else None
    if endpoint is None:
        return {"running": False, "workspace": str(workspace.root)}
    clients = Clients(endpoint)
    with aws_errors("reading the state of the local endpoint"):
        stacks = clients.cloudformation.describe_stacks()["Stacks"]
        pages = clients.sagemaker.get_paginator("list_pipelines").paginate()
        pipelines = [each for page in pages for each in page["PipelineSummaries"]]
        return {
            "running": True,
            "workspace": str(workspace.root),
            "url": endpoint.url,
            "pid": endpoint.pid,
            "beers": endpoint.control("catalogue")["beers"],
            **{name: value for name, value in endpoint.control("status").items() if name != "extensions"},
            "stacks": [{"name": each["StackName"], "status": each["StackStatus"]} for each in stacks],
            "pipelines": [_latest_execution(clients, each["PipelineName"]) for each in pipelines],
            "models": _models(clients),
        }


def _latest_execution(clients: Clients, name: str) -> Document:
    pages = clients.sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=name, PaginationConfig={"MaxItems": 1}
    )
    found = [each for page in pages for each in page["PipelineExecutionSummaries"]]
    latest = {"arn": found[0]["PipelineExecutionArn"], "status": found[0]["PipelineExecutionStatus"]} if found else None
    return {"name": name, "latest_run": latest}


def _models(clients: Clients) -> list[Document]:
    """The versions of all model package groups, the newest first."""
    found = clients.sagemaker.get_paginator("list_model_package_groups").paginate()
    groups = [group for page in found for group in page["ModelPackageGroupSummaryList"]]
    return [
        {
            "group": group["ModelPackageGroupName"],
            "version": package["ModelPackageVersion"],
            "approval_status": package["ModelApprovalStatus"],
        }
        for group in groups
        for page in clients.sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group["ModelPackageGroupName"], SortBy="CreationTime", SortOrder="Descending"
        )
        for package in page["ModelPackageSummaryList"]
    ]


def collect(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Invoke the collector Lambda for the whole catalogue or --random N beers, or load --file DUMP."""
    if given.file is not None:
        with opened(workspace) as (_, stacks):
            return records.load(stacks, given.file)
    event: Document = {"mode": "catalogue"} if given.random is None else {"mode": "random", "count": given.random}
    with opened(workspace) as (endpoint, stacks):
        report = collector.collect(stacks, event)
        if not endpoint.detached:
            # An endpoint that was started for this command stops with it.
            _delivered(endpoint)
        return report


def _delivered(endpoint: Endpoint) -> None:
    deadline = time.monotonic() + DELIVERY_SECONDS
    while any(sum(stages.values()) for stages in endpoint.control("status")["waiting"].values()):
        if time.monotonic() > deadline:
            return
        time.sleep(POLL_SECONDS)


def logs(given: argparse.Namespace, workspace: Workspace) -> Document:
    """The log of a Lambda (collector, transform), of a log group, or without NAME of the endpoint itself."""
    if given.name is None:
        if not workspace.log.exists():
            raise _no_workspace(workspace)
        lines = workspace.log.read_text(errors="replace").splitlines()
        return {"log": str(workspace.log), "lines": lines[-given.lines :]}
    with opened(workspace) as (_, stacks), aws_errors(f"reading the log of {given.name}"):
        group = _log_group(stacks, given.name)
        found = [line for message in functions.messages(stacks.clients.logs, group) for line in message.splitlines()]
        return {"log": group, "lines": found[-given.lines :]}


def _log_group(stacks: Stacks, name: str) -> str:
    """The log group of a function, or the only one whose name holds the text."""
    if name in FUNCTIONS:
        return functions.log_group(stacks.clients, stacks.output("ingestion", FUNCTIONS[name]))
    pages = stacks.clients.logs.get_paginator("describe_log_groups").paginate()
    groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    matching = [each for each in groups if name.lower() in each.lower()]
    if len(matching) != 1:
        raise ExpectedError(
            f"{name!r} names {len(matching)} log groups of {', '.join(groups) or 'none'}",
            where="the arguments of python -m pipelines.local logs",
            hint=f"give one of: {', '.join([*FUNCTIONS, *(matching or groups)])}",
            code=NOT_FOUND if not matching else WRONG_USAGE,
        )
    return str(matching[0])


def ledger(given: argparse.Namespace, workspace: Workspace) -> Document:
    """The outcome of every record."""
    return _records("ledger", given, workspace)


def failed(given: argparse.Namespace, workspace: Workspace) -> Document:
    """The failed records."""
    return _records("failed", given, workspace)


def replay(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Deliver failed records again."""
    return _records("replay", given, workspace)


def load(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Load the files under landing/."""
    return _records("load", given, workspace)


def backfill(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Put every page of the API on the stream."""
    with opened(workspace) as (endpoint, stacks):
        result = records.run("backfill", stacks, given)
        if not endpoint.detached:
            _delivered(endpoint)
        return result


def _records(name: str, given: argparse.Namespace, workspace: Workspace) -> Document:
    with opened(workspace) as (_, stacks):
        return records.run(name, stacks, given)


@contextlib.contextmanager
def opened(workspace: Workspace) -> Iterator[tuple[Endpoint, Stacks]]:
    """The workspace's endpoint and stacks. An endpoint that is down is started until the context ends."""
    if not workspace.marker.exists():
        raise _no_workspace(workspace)
    with local_endpoint.running(workspace, keep=False) as endpoint:
        clients = Clients(endpoint)
        clients.flags = shlex.join(local_flags(workspace.root))
        yield endpoint, Stacks(clients, environment(ENVIRONMENT))


def _no_workspace(workspace: Workspace) -> ExpectedError:
    return ExpectedError(
        "there is no local workspace yet",
        where=str(workspace.root),
        hint=command_line("run", "--local", *workspace_flags(workspace.root)),
        code=NOT_FOUND,
    )


def _command(workspace: Workspace, *words: str) -> str:
    return command_line("local", *words, *workspace_flags(workspace.root))
