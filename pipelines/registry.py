"""The model registry's command: what is registered, how good it is, and a person's decision about it.

    python -m pipelines.registry list              every version with its figures and status
    python -m pipelines.registry show 3            one version: figures, data, code, decision
    python -m pipelines.registry compare 2 3       what differs between two versions
    python -m pipelines.registry report 3          its evaluation report, as a file
    python -m pipelines.registry approve 3 --note "better on pale ales"    follows the deployment
    python -m pipelines.registry reject 3          where it serves, the version before it comes back
    python -m pipelines.registry rollback          reject the version that serves
    python -m pipelines.registry status            what serves: version, since when, healthy, canary
    python -m pipelines.registry predict --abv 6.7 --target-og 1060
    python -m pipelines.registry predict --file beers.csv
    python -m pipelines.registry predict --table   every beer of the table, into the table `predictions`
    python -m pipelines.registry drift             requests and arrivals beside what the model was trained on
    python -m pipelines.registry release 3 --out DIR    everything about an approved version, as files
    python -m pipelines.registry promote 3 --to prod    register it in another environment, pending approval

--local reads the local endpoint, otherwise the account (or AWS_ENDPOINT_URL).
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from localaws.arguments import Arguments
from localaws.errors import RUN_FAILED, WRONG_USAGE, ExpectedError, exit_code
from pipelines.account import decisions, model_packages, monitoring, predictions, releases, s3, scoring
from pipelines.account.model_packages import Registry
from pipelines.account.package_summary import summary
from pipelines.account.predictions import FEATURES
from pipelines.account.registry_text import STATUS, text
from pipelines.account.serving import Serving
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import add_target_flags
from pipelines.cli.output import Document, differing
from pipelines.cli.progress import Progress
from pipelines.local.connection import connected

# Two versions always differ in these.
IDENTITY = ("model_package.arn", "model_package.version")
# Not in version control.
REPORTS = Path(".cache/reports")


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.registry",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = Arguments(add_help=False)
    add_target_flags(every)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    for name, run in {**COMMANDS, **SERVING}.items():
        summary = (run.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, parents=[every], help=summary, description=summary)
        add_flags(name, command)
    return parser


def add_flags(name: str, command: argparse.ArgumentParser) -> None:
    """The flags of a sub-command, beside those of all."""
    if name == "compare":
        command.add_argument("version", type=int, help="the version to compare")
        command.add_argument("other", type=int, help="the version to compare it with")
    elif name not in ("list", "rollback", "status", "predict", "drift"):
        command.add_argument("version", type=int, help="the version's number")
    if name in (*STATUS, "rollback"):
        command.add_argument("--note", default="", help="why; stored with the model package")
    if name == "report":
        command.add_argument("--output", type=Path, help="file to write (default: in .cache/reports)")
    if name == "release":
        command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    if name == "promote":
        command.add_argument("--to", required=True, metavar="ENV", help="environment to register it in")
    if name == "drift":
        command.add_argument("--check", action="store_true", help="check now; otherwise show the newest check")
    if name == "predict":
        command.add_argument("--file", type=Path, help="CSV of beers, with a header or in the table's order")
        command.add_argument("--table", action="store_true", help="every beer of the table, into the table predictions")
        for column in FEATURES:
            kind = str if column.kind == "text" else float
            flag = "--" + column.name.replace("_", "-")
            help_ = f"{column.description}" + (f" ({column.unit.replace('%', '%%')})" if column.unit else "")
            command.add_argument(flag, type=kind, metavar="VALUE", dest=column.name, help=help_)


def list_(registry: Registry, given: argparse.Namespace) -> Document:
    """Every version with its figures and status."""
    versions = []
    for each in registry.summaries():
        package = registry.describe(each["ModelPackageArn"])
        evaluated = model_packages.has_evaluation(package)
        metrics = model_packages.metrics(registry.evaluation(package)) if evaluated else {}
        versions.append(
            {
                "version": package["ModelPackageVersion"],
                "approval_status": package["ModelApprovalStatus"],
                "deployment": model_packages.deployment(package).get("status"),
                "created": package["CreationTime"].strftime("%Y-%m-%d %H:%M:%S"),
                **{name: round(metrics[name], 4) if metrics else None for name in model_packages.METRICS},
            }
        )
    return {"group": registry.group, "versions": versions}


def show(registry: Registry, given: argparse.Namespace) -> Document:
    """One version: figures, data, code, decision."""
    package = registry.package(given.version)
    return summary(package, registry.evaluation(package))


def compare(registry: Registry, given: argparse.Namespace) -> Document:
    """What differs between two versions; equal things are left out."""
    packages = registry.packages(given.version, given.other)
    one, other = (summary(package, registry.evaluation(package)) for package in packages)
    return {"versions": [given.version, given.other], "differences": differing(one, other, IDENTITY)}


def report(registry: Registry, given: argparse.Namespace) -> Document:
    """Write a version's evaluation report, an HTML file that needs nothing else."""
    package = registry.package(given.version)
    uri = registry.evaluation_uri(package).rpartition("/")[0] + "/report.html"
    content = s3.read(registry.clients, uri)
    path = given.output or REPORTS / f"{registry.group}-{given.version}.html"
    try:
        if not given.output:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ExpectedError(
            f"the report cannot be written: {error.strerror}",
            where=str(path),
            hint=registry.clients.command("registry", "report", str(given.version), "--output", "/tmp/report.html"),
            code=5,
        ) from error
    return {"report": str(path), "bytes": len(content)}


def approve(serving: Serving, given: argparse.Namespace) -> Document:
    """Approve a version: it is deployed, and later models are compared with it."""
    return decided(lambda show: decisions.decide(serving, given.version, model_packages.APPROVED, given.note, show))


def reject(serving: Serving, given: argparse.Namespace) -> Document:
    """Reject a version; where it serves, the newest approved one before it comes back."""
    return decided(lambda show: decisions.decide(serving, given.version, model_packages.REJECTED, given.note, show))


def rollback(serving: Serving, given: argparse.Namespace) -> Document:
    """Reject the version that serves: the newest other approved one comes back."""
    return decided(lambda show: decisions.rollback(serving, given.note, show))


def decided(decision: Callable[[Callable[[str], None]], Document]) -> Document:
    """Run a decision and show its deployment on standard error."""
    with Progress().step("deployment") as step:
        return decision(step.update)


def status(serving: Serving, given: argparse.Namespace) -> Document:
    """What serves: version, since when, healthy, canary."""
    return serving.status()


def predict(serving: Serving, given: argparse.Namespace) -> Document:
    """Predict the bitterness of one beer, of the beers in a CSV file, or of every beer of the table."""
    one = {column.name: getattr(given, column.name) for column in FEATURES if getattr(given, column.name) is not None}
    if bool(one) + bool(given.file) + given.table != 1:
        raise ExpectedError(
            "give either a file, or --table, or the values of one beer",
            where="the arguments of python -m pipelines.registry predict",
            hint=serving.clients.command("registry", "predict", "--abv", "6.7", "--target-og", "1060"),
            code=WRONG_USAGE,
        )
    if given.table:
        with Progress().step("score") as step:
            return scoring.score(serving.stacks, step.update)
    if not given.file:
        return predictions.predict(serving, [list(one), [str(value) for value in one.values()]])
    lines = predictions.read(given.file, serving.clients)
    with Progress().step("predict") as step:
        return predictions.predict(serving, lines, step.update)


def drift(serving: Serving, given: argparse.Namespace) -> Document:
    """How requests and arrivals differ from what the newest approved model was trained on."""
    if given.check:
        with Progress().step("drift") as step:
            scoring.score(serving.stacks, step.update)
    return monitoring.drift(serving.stacks)


def release(serving: Serving, given: argparse.Namespace) -> Document:
    """Copy everything about an approved version into a folder: approval, report, card, lineage, hashes, model."""
    bucket = serving.stacks.output("artifacts", "ArtifactBucket")
    return releases.release(serving.registry, given.version, bucket, given.out)


def promote(serving: Serving, given: argparse.Namespace) -> Document:
    """Register an approved version in another environment, where its approval is pending."""
    target = Stacks(serving.clients, environment(given.to))
    return releases.promote(serving.registry, given.version, target)


COMMANDS: dict[str, Callable[[Registry, argparse.Namespace], Document]] = {
    "list": list_,
    "show": show,
    "compare": compare,
    "report": report,
}
SERVING: dict[str, Callable[[Serving, argparse.Namespace], Document]] = {
    each.__name__: each for each in (approve, reject, rollback, status, predict, drift, release, promote)
}


def run(stacks: Stacks, given: argparse.Namespace) -> Document:
    """The result of a sub-command."""
    if given.command in SERVING:
        return SERVING[given.command](Serving(stacks), given)
    registry = Registry(stacks.clients, stacks.output("pipelines", "ModelPackageGroupName"))
    return COMMANDS[given.command](registry, given)


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    with connected(given, "registry") as stacks:
        result = run(stacks, given)
    print(json.dumps(result) if given.json else text(given.command, result))
    return RUN_FAILED if all("error" in each for each in result.get("predictions", [{}])) else 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
