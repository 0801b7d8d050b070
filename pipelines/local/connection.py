"""The stacks that a command's flags name: of the account, or with --local those of a workspace."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from localaws import endpoint as endpoints
from localaws.errors import NOT_FOUND, ExpectedError
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import (
    ENVIRONMENT,
    WORKSPACE,
    command_line,
    local_flags,
    refuse_contradictions,
    target_flags,
)
from pipelines.local.endpoint import running


@contextlib.contextmanager
def connected(given: argparse.Namespace, module: str) -> Iterator[Stacks]:
    """The stacks that --local, --workspace, --env and --region name (pipelines.cli.arguments.add_target_flags).

    module: the command's, such as "runs"; given.command names its sub-command.
    """
    refuse_contradictions(given, module)
    named = environment(given.env or ENVIRONMENT)
    if not given.local:
        clients = Clients(region=given.region)
        clients.flags = target_flags(given)
        yield Stacks(clients, named)
        return
    with local_clients(given.workspace or WORKSPACE) as clients:
        clients.flags = target_flags(given)
        yield Stacks(clients, named)


@contextlib.contextmanager
def local_clients(folder: Path) -> Iterator[Clients]:
    """Clients of a workspace's endpoint. One that is down is started until the context ends.

    Raises ExpectedError for a folder that has never been a workspace.
    """
    workspace = Workspace(folder)
    found = endpoints.find(workspace) if workspace.marker.exists() else None
    if found:
        yield Clients(found)
        return
    if not workspace.marker.exists():
        raise ExpectedError(
            "there is no local workspace yet",
            where=str(workspace.root),
            hint=command_line("run", *local_flags(folder)),
            code=NOT_FOUND,
        )
    with running(workspace, keep=False) as started:
        yield Clients(started)
