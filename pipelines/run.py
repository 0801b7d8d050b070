"""The pipeline's command.

    python -m pipelines.run                        create or update the pipeline and the state machine in the account
    python -m pipelines.run --dry-run              what that would change
    python -m pipelines.run --print                the pipeline definition, from the files alone
    python -m pipelines.run --print-workflow retrain
    python -m pipelines.run --start --wait         start a run on the table as it is now, and follow it
    python -m pipelines.run --local                the whole chain on this machine, without AWS and Docker

AWS_ENDPOINT_URL points the account's commands at another endpoint, such as the local one.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pipelines.authoring.parameters import PARAMETERS
from pipelines.cli.arguments import Arguments, add_workspace_flag, python_command
from pipelines.cli.errors import WRONG_USAGE, ExpectedError, exit_code


def arguments() -> Arguments:
    """The command's flags; those of a run are made from the pipeline's parameters."""
    parser = Arguments(
        prog="python -m pipelines.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on standard output")
    what = parser.add_argument_group("what to do (nothing: upsert)").add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", dest="print_definition", help="print the pipeline definition")
    what.add_argument("--print-workflow", metavar="NAME", help="print a state machine's ASL: retrain")
    what.add_argument("--dry-run", action="store_true", help="show what an upsert would change, and change nothing")
    what.add_argument("--start", action="store_true", help="start a run of the deployed pipeline")
    what.add_argument("--local", action="store_true", help="run the whole chain on this machine")
    account = parser.add_argument_group("in an account")
    account.add_argument("--env", default="dev", help="dev, staging or prod: which stacks (default: dev)")
    account.add_argument("--region", help="AWS region (default: the configured one)")
    local = parser.add_argument_group("with --local")
    add_workspace_flag(local)
    local.add_argument("--catalog", type=Path, help="beers to serve: a JSON list in the Punk API's shape")
    local.add_argument("--port", type=int, default=0, help="the endpoint's port (default: a free one)")
    local.add_argument("--keep", action="store_true", help="leave the endpoint up")
    run = parser.add_argument_group("with --start")
    run.add_argument("--wait", action="store_true", help="follow the run to its end")
    for parameter in PARAMETERS:
        run.add_argument(
            parameter.flag,
            type=parameter.python_type,
            metavar="VALUE",
            dest=parameter.name,
            help=parameter.description,
        )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = arguments().parse_args(argv)
    check(given)
    if given.print_definition:
        from pipelines.authoring import committed
        from pipelines.authoring.settings import Settings

        sys.stdout.write(committed.definition(Settings()))
        return 0
    if given.print_workflow:
        return print_workflow(given.print_workflow)
    if given.local:
        return run_local(given)
    if given.start:
        return start(given)
    return upsert(given)


def check(given: argparse.Namespace) -> None:
    """Refuse flags that would be ignored."""
    belongs = {
        "start": ["wait", *(parameter.name for parameter in PARAMETERS)],
        "local": ["catalog", "keep", "port"],
    }
    flags = {parameter.name: parameter.flag for parameter in PARAMETERS}
    for owner, names in belongs.items():
        ignored = [flags.get(name, f"--{name}") for name in names if getattr(given, name) not in (None, False, 0)]
        if ignored and not getattr(given, owner):
            raise ExpectedError(
                f"{', '.join(ignored)} can be given with --{owner} only",
                where="the arguments of python -m pipelines.run",
                hint=f"python -m pipelines.run --{owner} {' '.join(ignored)} ...",
                code=WRONG_USAGE,
            )


def print_workflow(name: str) -> int:
    """Print a state machine's definition."""
    from pipelines.authoring import committed, workflows

    if name not in workflows.WORKFLOWS:
        raise ExpectedError(
            f"no state machine {name!r} (have: {', '.join(workflows.WORKFLOWS)})",
            where="--print-workflow",
            hint=f"python -m pipelines.run --print-workflow {workflows.WORKFLOWS[0]}",
            code=WRONG_USAGE,
        )
    sys.stdout.write(committed.machine(name))
    return 0


def run_local(given: argparse.Namespace) -> int:
    """The chain on this machine."""
    try:
        from localaws.workspace import Workspace
        from pipelines.local import chain
    except ImportError as error:
        raise ExpectedError(
            f"the local endpoint is not installed: {error}",
            where="the Python environment",
            hint="pip install -e '.[local]'",
            code=5,
        ) from error
    from pipelines.cli.progress import Progress

    progress = Progress()
    workspace = Workspace(given.workspace)
    result = chain.run(workspace, catalogue=given.catalog, keep=given.keep, port=given.port, progress=progress)
    where = "" if given.workspace == Path(".local") else f" --workspace {given.workspace}"
    version = result["model_package"]["version"]
    progress.line()
    progress.line(chain.verdict(result) + f" ({result['seconds']:.1f} s)")
    progress.line(f"Next: {python_command()} -m pipelines.registry show {version} --local{where}")
    report(given, result)
    return 0


def start(given: argparse.Namespace) -> int:
    """Start a run of the deployed pipeline, with the parameters given, and follow it when asked."""
    from pipelines.account import executions
    from pipelines.account import start as starting
    from pipelines.account.clients import Clients
    from pipelines.account.stacks import Stacks, environment
    from pipelines.cli.progress import Progress

    clients = Clients(region=given.region)
    values = {each.name: str(getattr(given, each.name)) for each in PARAMETERS if getattr(given, each.name) is not None}
    progress = Progress()
    arn = starting.start(clients, Stacks(clients, environment(given.env)), values)
    progress.line(f"started {arn}")
    if not given.wait:
        report(given, {"execution": {"arn": arn, "status": "Executing", "steps": []}})
        return 0
    with progress.step("train") as step:
        execution = executions.wait(clients, arn, step.update, every_seconds=1.0)
    if execution["status"] != "Succeeded":
        raise executions.failure(clients, arn)
    package = executions.registered_package(clients, arn)
    report(given, {"execution": execution, "model_package": package and package["ModelPackageArn"]})
    return 0


def upsert(given: argparse.Namespace) -> int:
    """Create or update the pipeline and the state machine; with --dry-run only say what would change."""
    from pipelines.account import upsert as upserting
    from pipelines.account.clients import Clients
    from pipelines.account.stacks import Stacks, environment
    from pipelines.authoring import committed
    from pipelines.cli.progress import Progress

    progress = Progress()
    clients = Clients(region=given.region)
    stacks = Stacks(clients, environment(given.env))
    settings = upserting.settings(clients, stacks)
    text = committed.definition(settings)
    if given.dry_run:
        found = list(upserting.changes(upserting.deployed(clients, settings.pipeline_name), json.loads(text)))
        for kind, name, what in found:
            progress.line(f"{kind:<8} {name}  {what}".rstrip())
        progress.line(f"{len(found)} changes to {settings.pipeline_name}" if found else "nothing would change")
        report(given, {"changes": [{"kind": kind, "name": name, "what": what} for kind, name, what in found]})
        return 0
    outcomes = {
        "pipeline": upserting.upsert(clients, settings, text, stacks.environment.tags),
        "retrain": stacks.deploy_one("pipelines"),
    }
    for name, outcome in outcomes.items():
        progress.line(f"{name:<10} {outcome}")
    report(given, {"pipeline_name": settings.pipeline_name, **outcomes})
    return 0


def report(given: argparse.Namespace, result: dict[str, Any]) -> None:
    """The JSON object on standard output, when asked for."""
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(exit_code(main))
