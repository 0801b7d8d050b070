"""The model registry's command: what is registered, how good it is, and a person's decision about it.

    python -m pipelines.registry list              every version with its figures and status
    python -m pipelines.registry show 3            one version: figures, data, code, decision
    python -m pipelines.registry compare 2 3       what differs between two versions
    python -m pipelines.registry report 3          its evaluation report, as a file
    python -m pipelines.registry approve 3 --note "better on pale ales"
    python -m pipelines.registry reject 3

--local reads the local endpoint, otherwise the account (or AWS_ENDPOINT_URL).
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines.account import model_packages, s3
from pipelines.account.model_packages import Registry
from pipelines.account.package_summary import summary
from pipelines.cli.arguments import Arguments, add_target_flags
from pipelines.cli.errors import ExpectedError, exit_code
from pipelines.cli.output import Document, difference_text, differing, groups, table
from pipelines.local.connection import connected

# Two versions always differ in these.
IDENTITY = ("model_package.arn", "model_package.version")
# Not in version control.
REPORTS = Path(".cache/reports")
STATUS = {"approve": model_packages.APPROVED, "reject": model_packages.REJECTED}


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
    for name, run in COMMANDS.items():
        summary = (run.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, parents=[every], help=summary, description=summary)
        command.set_defaults(run=run)
        if name == "compare":
            command.add_argument("version", type=int, help="the version to compare")
            command.add_argument("other", type=int, help="the version to compare it with")
        elif name != "list":
            command.add_argument("version", type=int, help="the version's number")
        if name in STATUS:
            command.add_argument("--note", default="", help="why; stored with the model package")
        if name == "report":
            command.add_argument("--output", type=Path, help="file to write (default: in .cache/reports)")
    return parser


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


def approve(registry: Registry, given: argparse.Namespace) -> Document:
    """Approve a version: it becomes the champion that later models are measured against."""
    return decide(registry, given)


def reject(registry: Registry, given: argparse.Namespace) -> Document:
    """Reject a version."""
    return decide(registry, given)


def decide(registry: Registry, given: argparse.Namespace) -> Document:
    """Give a version another approval status; raises ExpectedError when it has it already."""
    before = registry.decide(given.version, STATUS[given.command], given.note)
    return {
        "version": given.version,
        "before": before,
        "approval_status": STATUS[given.command],
        "note": given.note,
    }


COMMANDS: dict[str, Callable[[Registry, argparse.Namespace], Document]] = {
    "list": list_,
    "show": show,
    "compare": compare,
    "report": report,
    "approve": approve,
    "reject": reject,
}


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "list":
        if not result["versions"]:
            return f"no models in {result['group']} yet"
        return table(result["versions"])
    if command == "compare":
        one, other = result["versions"]
        return difference_text(result["differences"], (f"version {one}", f"version {other}"))
    if command in STATUS:
        return f"version {result['version']}: {result['before']} -> {result['approval_status']}"
    if command == "report":
        return str(result["report"])
    return groups(result)


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    with connected(given, "registry") as stacks:
        registry = Registry(stacks.clients, stacks.output("pipelines", "ModelPackageGroupName"))
        result = given.run(registry, given)
    print(json.dumps(result) if given.json else text(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
