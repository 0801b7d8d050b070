"""The pipeline's command.

    python -m pipelines.run                        create or update the pipeline and the state machine in the account
    python -m pipelines.run --dry-run              what that would change
    python -m pipelines.run --print                the pipeline definition, from the files alone
    python -m pipelines.run --print-workflow retrain
    python -m pipelines.run --graph pipeline.svg   the pipeline's steps as a picture
    python -m pipelines.run --start --wait         train by hand, on new data or not, and follow the run
    python -m pipelines.run --local                the whole chain on this machine, without AWS and Docker

AWS_ENDPOINT_URL points the account's commands at another endpoint, such as the local one.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.arguments import Arguments
from localaws.errors import CONFLICT, WRONG_USAGE, ExpectedError, exit_code
from pipelines.authoring import committed
from pipelines.authoring.parameters import PARAMETERS
from pipelines.cli.arguments import (
    ENVIRONMENT,
    WORKSPACE,
    add_account_flags,
    add_workspace_flag,
    command_line,
    local_flags,
    target_flags,
    workspace_flags,
)

if TYPE_CHECKING:
    from pipelines.account.stacks import Stacks

WORKFLOWS = sorted(path.name.removesuffix(".asl.json") for path in committed.FOLDER.glob("*.asl.json"))
# What to do -> the flags that have an effect with it, by their names in the parsed arguments.
RUN_PARAMETERS = tuple(each.name for each in PARAMETERS)
EFFECTIVE = {
    "print_definition": (),
    "print_workflow": (),
    "graph": (),
    "dry_run": ("env", "region"),
    "start": ("env", "region", "wait", *RUN_PARAMETERS),
    "local": ("workspace", "catalog", "port", "keep", *RUN_PARAMETERS),
    "upsert": ("env", "region"),
}


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
    what.add_argument("--print-workflow", metavar="NAME", help=f"print a state machine's ASL: {', '.join(WORKFLOWS)}")
    what.add_argument("--graph", type=Path, metavar="FILE.svg", help="draw the pipeline's steps as a picture")
    what.add_argument("--dry-run", action="store_true", help="show what an upsert would change, and change nothing")
    what.add_argument("--start", action="store_true", help="start a run of the deployed pipeline by hand")
    what.add_argument("--local", action="store_true", help="run the whole chain on this machine")
    add_account_flags(parser.add_argument_group("in an account"))
    local = parser.add_argument_group("with --local")
    add_workspace_flag(local, default=None)
    local.add_argument("--catalog", type=Path, help="beers to serve: a JSON list in the Punk API's shape")
    local.add_argument("--port", type=int, help="the endpoint's port (default: a free one)")
    local.add_argument("--keep", action="store_true", help="leave the endpoint up")
    run = parser.add_argument_group("with --start or --local")
    run.add_argument("--wait", action="store_true", help="with --start: follow the run to its end")
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
    refuse_ignored(given)
    if given.print_definition:
        from pipelines.authoring.settings import Settings

        sys.stdout.write(committed.definition(Settings()))
        return 0
    if given.print_workflow:
        return print_workflow(given.print_workflow)
    if given.graph:
        return draw(given.graph)
    if given.local:
        return run_local(given)
    if given.start:
        return start(given)
    return upsert(given)


def refuse_ignored(given: argparse.Namespace) -> None:
    """Raise ExpectedError for flags that have no effect with what is to be done."""
    mode = next((name for name in EFFECTIVE if getattr(given, name, None)), "upsert")
    flags = {each.name: each.flag for each in PARAMETERS}
    known = dict.fromkeys(name for names in EFFECTIVE.values() for name in names)
    # Not `in (None, False)`: a zero equals False.
    typed = {name for name in known if getattr(given, name) is not None and getattr(given, name) is not False}
    ignored = [name for name in known if name in typed - {*EFFECTIVE[mode]}]
    if not ignored:
        return
    shown = {name: f"--{name.replace('_', '-')}" for name in EFFECTIVE}
    shown |= {"upsert": "an upsert", "print_definition": "--print"}
    owners = [shown[owner] for owner, names in EFFECTIVE.items() if ignored[0] in names]
    named = [flags.get(name, f"--{name}") for name in ignored]
    raise ExpectedError(
        f"{', '.join(named)} would have no effect with {shown[mode]} ({named[0]} belongs to {', '.join(owners)})",
        where="the arguments of python -m pipelines.run",
        hint=command_line("run", "--help"),
        code=WRONG_USAGE,
    )


def draw(path: Path) -> int:
    """Draw the definition's steps as an SVG file."""
    from console import definition, graph
    from pipelines.authoring import committed
    from pipelines.authoring.settings import Settings

    steps = definition.steps(json.loads(committed.definition(Settings())))
    try:
        path.write_text(graph.svg(steps, standalone=True) + "\n")
    except OSError as error:
        raise ExpectedError(
            f"the picture cannot be written: {error.strerror}",
            where=str(path),
            hint="python -m pipelines.run --graph pipeline.svg",
            code=WRONG_USAGE,
        ) from error
    return 0


def print_workflow(name: str) -> int:
    """Print a state machine's definition."""
    if name not in WORKFLOWS:
        raise ExpectedError(
            f"no state machine {name!r} (have: {', '.join(WORKFLOWS)})",
            where="--print-workflow",
            hint=command_line("run", "--print-workflow", WORKFLOWS[0]),
            code=WRONG_USAGE,
        )
    sys.stdout.write(committed.machine(name))
    return 0


def run_parameters(given: argparse.Namespace) -> dict[str, str]:
    """The run's parameters that were given, as the API takes them: texts."""
    return {name: str(getattr(given, name)) for name in RUN_PARAMETERS if getattr(given, name) is not None}


def run_local(given: argparse.Namespace) -> int:
    """The chain on this machine."""
    from localaws import endpoint
    from localaws.workspace import Workspace
    from pipelines.cli.progress import Progress
    from pipelines.local import chain

    progress = Progress()
    workspace = Workspace(given.workspace or WORKSPACE)
    running = endpoint.find(workspace) if given.port is not None and workspace.marker.exists() else None
    if running and not running.url.endswith(f":{given.port}"):
        raise ExpectedError(
            f"--port {given.port} would have no effect: the workspace's endpoint is up at {running.url}",
            where=str(workspace.root),
            hint=command_line("local", "down", *workspace_flags(workspace.root)),
            code=CONFLICT,
        )
    result = chain.run(
        workspace,
        catalogue=given.catalog,
        keep=given.keep,
        port=given.port or 0,
        parameters=run_parameters(given),
        progress=progress,
    )
    version = str(result["model_package"]["version"])
    progress.line()
    progress.line(chain.sentence(result) + f" ({result['seconds']:.1f} s)")
    flags = local_flags(workspace.root)
    progress.line(f"Approve and deploy it: {command_line('registry', 'approve', version, *flags)}")
    progress.line(f"Then ask it: {command_line('registry', 'predict', '--abv', '6.7', '--target-og', '1060', *flags)}")
    report(given, result)
    return 0


def start(given: argparse.Namespace) -> int:
    """Start a run of the deployed pipeline, with the parameters given, and follow it when asked."""
    from pipelines.account import executions, retraining
    from pipelines.cli.progress import Progress

    stacks, progress = account_stacks(given), Progress()
    with progress.step("retrain") as step:
        step.update("deciding on the data and the champion")
        arn = retraining.wait_for_run(stacks, retraining.start(stacks, run_parameters(given)))
        step.update(f"started {arn}")
    if not given.wait:
        progress.line(f"Next: {stacks.clients.command('runs', 'show', executions.run_id(arn))}")
        report(given, {"execution": {"arn": arn, "status": "Executing", "steps": []}})
        return 0
    with progress.step("train") as step:
        execution = executions.wait(stacks.clients, arn, step.update, every_seconds=1.0)
    if execution["status"] != "Succeeded":
        raise executions.failure(stacks.clients, arn)
    package = executions.registered_package(stacks.clients, arn)
    report(given, {"execution": execution, "model_package": package and package["ModelPackageArn"]})
    return 0


def account_stacks(given: argparse.Namespace) -> "Stacks":
    """The stacks that --env and --region name."""
    from pipelines.account.clients import Clients
    from pipelines.account.stacks import Stacks, environment

    clients = Clients(region=given.region)
    clients.flags = target_flags(given)
    return Stacks(clients, environment(given.env or ENVIRONMENT))


def upsert(given: argparse.Namespace) -> int:
    """Create or update the pipeline and the state machine; with --dry-run only print what would change."""
    from pipelines.account import upsert as upserting
    from pipelines.cli.progress import Progress

    stacks, progress = account_stacks(given), Progress()
    clients = stacks.clients
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
        "deploy": stacks.deploy_one("deployment"),
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
