"""The runs of the pipeline: every execution, rejected and failed ones included.

    python -m pipelines.runs list                  the newest runs and what became of them
    python -m pipelines.runs show RUN              its steps, parameters, metrics, and why it failed or was rejected
    python -m pipelines.runs logs RUN [STEP]       a step's log (default: the step that failed)
    python -m pipelines.runs compare RUN OTHER     what differs between two runs
    python -m pipelines.runs stop RUN              stop it, and wait until it has stopped
    python -m pipelines.runs retry RUN             resume a failed or stopped run, and follow it

RUN is an id as `list` prints it, a unique beginning of one, an ARN, or `latest`. --local reads the local endpoint,
which is started for the command if it is down; otherwise the account is read (or AWS_ENDPOINT_URL).
"""

import argparse
import json
import sys
from collections.abc import Callable

from localaws.arguments import Arguments
from localaws.errors import exit_code
from pipelines.account.runs import LATEST, Runs
from pipelines.cli.arguments import add_target_flags
from pipelines.cli.output import Document, difference_text, differing, groups, table
from pipelines.cli.progress import Progress
from pipelines.local.connection import connected

# Two runs always differ in these.
IDENTITY = ("run.id", "run.arn", "run.started")
RUN_HELP = f"id, unique beginning of an id, ARN, or {LATEST}"


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.runs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = Arguments(add_help=False)
    add_target_flags(every)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    for name, run in COMMANDS.items():
        summary = (run.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, parents=[every], help=summary, description=summary)
        command.set_defaults(run_command=run)
        if name == "list":
            command.add_argument("--limit", type=positive, default=20, help="how many runs (20)")
            continue
        command.add_argument("run", metavar="RUN", help=RUN_HELP)
        if name == "logs":
            command.add_argument("step", metavar="STEP", nargs="?", help="default: the failed step, or the last one")
        if name == "compare":
            command.add_argument("other", metavar="OTHER", help=RUN_HELP)
    return parser


def positive(text: str) -> int:
    """An integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def list_(runs: Runs, given: argparse.Namespace) -> Document:
    """The newest runs and what became of them."""
    rows, more = runs.newest(given.limit)
    return {"pipeline": runs.pipeline, "runs": rows, "more": more}


def show(runs: Runs, given: argparse.Namespace) -> Document:
    """One run: steps, parameters, metrics, and why it failed or was rejected."""
    return runs.describe(runs.find(given.run))


def logs(runs: Runs, given: argparse.Namespace) -> Document:
    """A step's log; without STEP that of the step that failed."""
    arn = runs.find(given.run)
    step, lines = runs.log(arn, given.step)
    return {"run": arn.rpartition("/")[2], "step": step, "lines": list(lines)}


def compare(runs: Runs, given: argparse.Namespace) -> Document:
    """What differs between two runs: parameters, steps, metrics, results."""
    found = [runs.describe(runs.find(text)) for text in (given.run, given.other)]
    one, other = ({**each, "steps": {step["name"]: step["status"] for step in each["steps"]}} for each in found)
    return {
        "runs": [each["run"]["id"] for each in found],
        "differences": differing(one, other, IDENTITY),
    }


def stop(runs: Runs, given: argparse.Namespace) -> Document:
    """Stop a run, and wait until it has stopped."""
    return runs.stop(runs.find(given.run))


def retry(runs: Runs, given: argparse.Namespace) -> Document:
    """Resume a failed or stopped run at the steps that did not succeed, and follow it to its end."""
    arn = runs.find(given.run)
    with Progress().step("retry") as step:
        execution = runs.retry(arn, step.update)
    return {"run": arn.rpartition("/")[2], **execution}


COMMANDS: dict[str, Callable[[Runs, argparse.Namespace], Document]] = {
    "list": list_,
    "show": show,
    "logs": logs,
    "compare": compare,
    "stop": stop,
    "retry": retry,
}


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "list":
        rows = table(result["runs"]) if result["runs"] else f"no runs of {result['pipeline']} yet"
        return rows + (f"\nonly the newest {len(result['runs'])}; more with --limit" if result["more"] else "")
    if command == "logs":
        return "\n".join(result["lines"]) or f"the log of {result['step']} is empty"
    if command == "compare":
        one, other = result["runs"]
        return difference_text(result["differences"], (one, other))
    if command == "show":
        return show_text(result)
    return f"run {result['run']}: {result.get('before', 'retried')} -> {result['status']}"


def show_text(result: Document) -> str:
    """A described run: its groups, and its steps as a table."""
    steps = table(result["steps"]).splitlines() if result["steps"] else ["none has begun"]
    others = {name: values for name, values in result.items() if values and name not in ("run", "steps")}
    return "\n".join([groups({"run": result["run"]}), "steps", *(f"  {line}" for line in steps), groups(others)])


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    with connected(given, "runs") as stacks:
        runs = Runs(stacks.clients, stacks.output("pipelines", "PipelineName"))
        result = given.run_command(runs, given)
    print(json.dumps(result) if given.json else text(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
