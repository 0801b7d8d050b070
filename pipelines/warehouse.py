"""The gold tables: runs the dbt project `warehouse/` on an environment's Athena.

    python -m pipelines.warehouse --local                     on this machine; collects beers first if there are none
    python -m pipelines.warehouse --env dev                   in an account (or at AWS_ENDPOINT_URL)
    python -m pipelines.warehouse --local -- show --select bitterness_by_style
                                                              any other command of dbt's, with its arguments

Without a command of dbt's: how fresh the source is, then all models and their tests, the row counts of the ledger
among them. `make dbt` installs dbt into an environment of its own.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from localaws import environment as environments
from localaws.arguments import Arguments
from localaws.errors import RUN_FAILED, WRONG_USAGE, ExpectedError, exit_code
from localaws.workspace import Workspace
from pipelines.account import warehouse
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import WORKSPACE, add_target_flags, refuse_contradictions, target_flags
from pipelines.cli.output import Document, table
from pipelines.cli.progress import Progress
from pipelines.records import commands
from pipelines.records.ledger import ledger

# dbt's lines do not mix with the result.
STDERR = 2
# What a dbt process inherits, and the folder for its results.
Place = tuple[Stacks, Mapping[str, str], Path]


def arguments() -> Arguments:
    """The command's flags."""
    parser = Arguments(
        prog="python -m pipelines.warehouse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target_flags(parser)
    parser.add_argument("--since", type=commands.day, metavar="YYYY-MM-DD", help="the ledger from that day on (UTC)")
    parser.add_argument("--no-ledger", action="store_true", help="do not count the records that were accepted")
    parser.add_argument("dbt", nargs="*", metavar="COMMAND", help="a command of dbt's with its arguments, after --")
    return parser


@contextlib.contextmanager
def opened(given: argparse.Namespace) -> Iterator[Place]:
    """The environment that the flags name. A local one is made, with beers, where there is none."""
    if not given.local:
        clients = Clients(region=given.region)
        clients.flags = target_flags(given)
        yield Stacks(clients, environment(given.env or "dev")), os.environ, warehouse.RESULTS / (given.env or "dev")
        return
    from pipelines.local import chain
    from pipelines.local.commands import opened as opened_locally

    workspace = Workspace(given.workspace or WORKSPACE)
    if not workspace.marker.exists():
        chain.run(workspace, catalogue=None, keep=False, port=0, progress=Progress())
    with opened_locally(workspace) as (endpoint, stacks):
        if not stacks.exists("warehouse"):
            stacks.deploy_one("warehouse")
        results = workspace.root / "warehouse"
        results.mkdir(exist_ok=True)
        yield stacks, {**environments.clean(results), **endpoint.variables()}, results


def variables(stacks: Stacks, given: argparse.Namespace) -> list[str]:
    """--vars of dbt: whether there are predictions, and how many rows the ledger counts as clean."""
    found: Document = {"predictions": warehouse.has_predictions(stacks)}
    if not given.no_ledger:
        with aws_errors("reading the delivered records"):
            bucket = stacks.output("ingestion", "DataBucket")
            found |= {
                "ledger_rows": ledger(stacks.clients.s3, bucket, given.since)["clean"],
                "ledger_since": given.since,
            }
    return ["--vars", json.dumps(found)]


def build(place: Place, given: argparse.Namespace) -> Document:
    """Freshness, models and tests. Where dbt could not even begin, its own lines have the reason."""
    stacks, inherited, folder = place
    options = variables(stacks, given)
    warehouse.forget(folder)
    fresh = warehouse.run(["source", "freshness", *options], inherited, folder, stdout=STDERR)
    built = warehouse.run(["build", *options], inherited, folder, stdout=STDERR)
    database, workgroup = (stacks.output("warehouse", name) for name in ("GoldDatabase", "GoldWorkgroup"))
    found = {"fresh": fresh == 0, "built": built == 0, "database": database, "workgroup": workgroup}
    return {**warehouse.results(folder), **found}


def text(result: Document, stacks: Stacks) -> str:
    """The result for people, and where to query what was made."""
    tests = ", ".join(f"{count} {status}" for status, count in sorted(result["tests"].items()))
    return "\n".join(
        [
            table(result["models"]) if result["models"] else "no model was made",
            f"tests: {tests or 'none ran'}; source {'fresh' if result['fresh'] else 'stale'} ({result['seconds']} s)",
            f"Tables in {result['database']}, to be queried in the workgroup {result['workgroup']}",
            f"Show one: {stacks.clients.command('warehouse')} -- show --select bitterness_by_style",
        ]
    )


def failure(result: Document, stacks: Stacks, folder: Path) -> ExpectedError:
    """What failed, and how to run only that again."""
    what = ", ".join(result["failed"]) or ("its build" if not result["built"] else "the source is stale")
    again = f"build --select {' '.join(result['failed'])}" if result["failed"] else "source freshness"
    return ExpectedError(
        f"dbt failed: {what}",
        where=str(folder / "logs" / "dbt.log"),
        hint=f"{stacks.clients.command('warehouse')} -- {again}",
        code=RUN_FAILED,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = arguments().parse_args(argv)
    refuse_contradictions(given, "warehouse")
    with opened(given) as (stacks, inherited, folder):
        with aws_errors("reading the stacks"):
            inherited = {**inherited, **warehouse.names(stacks)}
        if given.dbt:
            return {0: 0, 2: WRONG_USAGE}.get(warehouse.run(given.dbt, inherited, folder), RUN_FAILED)
        result = build((stacks, inherited, folder), given)
        print(json.dumps(result) if given.json else text(result, stacks))
        if not (result["fresh"] and result["built"]):
            raise failure(result, stacks, folder)
        return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
