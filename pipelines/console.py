"""The console of this project: SageMaker's pipelines, models and endpoints, and pages about the beers' records.

    python -m pipelines.console --local        the local endpoint of the workspace, started if it is down
    python -m pipelines.console --env dev      an environment of the account; read-only without --allow-changes

It prints its address on 127.0.0.1 and serves until Ctrl-C.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator

from localaws.arguments import Arguments
from localaws.errors import ENVIRONMENT, ExpectedError, exit_code
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import (
    ENVIRONMENT as DEFAULT_ENVIRONMENT,
)
from pipelines.cli.arguments import add_account_flags, add_workspace_flag, command_line, target_flags


def arguments() -> Arguments:
    """The command's flags."""
    from console.__main__ import add_flags

    parser = Arguments(
        prog="python -m pipelines.console", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--local", action="store_true", help="show the local endpoint; its pages may change things")
    add_workspace_flag(parser)
    add_account_flags(parser)
    add_flags(parser)
    return parser


@contextlib.contextmanager
def clients_of(given: argparse.Namespace) -> Iterator[tuple[Clients, str]]:
    """The clients to read with, and what to call the place they read from."""
    if not given.local:
        clients = Clients(region=given.region)
        clients.flags = target_flags(given)
        yield clients, f"environment {given.env or DEFAULT_ENVIRONMENT} in {clients.region}"
        return
    from localaws.workspace import Workspace
    from pipelines.local.endpoint import running

    with running(Workspace(given.workspace), keep=False) as endpoint:
        clients = Clients(endpoint)
        clients.flags = target_flags(given)
        yield clients, f"local endpoint {endpoint.url}"


def main(argv: list[str] | None = None) -> int:
    """Serve the console."""
    given = arguments().parse_args(argv)
    try:
        from console.__main__ import serve
        from pipelines.records.console import BeerPages
    except ImportError as error:
        raise ExpectedError(
            f"the console is not installed: {error}",
            where="the Python environment",
            hint="pip install -e '.[console]'",
            code=ENVIRONMENT,
        ) from error
    with clients_of(given) as (clients, where):
        pages = BeerPages(Stacks(clients, environment(given.env or DEFAULT_ENVIRONMENT)))
        try:
            serve(
                lambda service: clients[service],
                pages,
                port=given.port,
                changes=given.local or given.allow_changes,
                where=where,
            )
        except OSError as error:
            raise ExpectedError(
                f"port {given.port} on 127.0.0.1 cannot be used: {error.strerror}",
                where="--port",
                hint=command_line("console", "--port", "0", flags=target_flags(given)),
                code=ENVIRONMENT,
            ) from error
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
