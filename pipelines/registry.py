"""The model registry's command: what is registered, how good it is, and a person's decision about it.

    python -m pipelines.registry list              every version with its figures and status
    python -m pipelines.registry show 3            one version: figures, data, code, decision
    python -m pipelines.registry compare 2 3       what differs between two versions
    python -m pipelines.registry report 3          its evaluation report, as a file
    python -m pipelines.registry approve 3 --note "better on pale ales"
    python -m pipelines.registry reject 3

--local asks the local endpoint, otherwise the account (or AWS_ENDPOINT_URL).
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.account import model_packages, s3
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.model_packages import Registry
from pipelines.account.package_summary import flatten, summary
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import Arguments
from pipelines.cli.errors import CONFLICT, ExpectedError, exit_code
from pipelines.cli.output import Document, table

# Two versions always differ in these.
NAMES = ("model_package.arn", "model_package.version")
NARROW = 44  # Widest value, in characters, that is printed in a column.
STATUS = {"approve": "Approved", "reject": "Rejected"}


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.registry",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = Arguments(add_help=False)
    every.add_argument("--local", action="store_true", help="ask the local endpoint")
    every.add_argument("--workspace", type=Path, default=Path(".local"), help="the local endpoint's workspace (.local)")
    every.add_argument("--env", default="dev", help="dev, staging or prod (default: dev)")
    every.add_argument("--region", help="AWS region (default: the configured one)")
    every.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    for name, run in COMMANDS.items():
        summary = (run.__doc__ or "").splitlines()[0]
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
            command.add_argument("--output", type=Path, help="where to write it (default: report-<version>.html)")
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
    sides = [flatten(summary(package, registry.evaluation(package))) for package in packages]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    differing = [name for name in names if name not in NAMES and sides[0].get(name) != sides[1].get(name)]
    return {
        "versions": [given.version, given.other],
        "differences": [{"name": name, "a": sides[0].get(name), "b": sides[1].get(name)} for name in differing],
    }


def report(registry: Registry, given: argparse.Namespace) -> Document:
    """Write a version's evaluation report, an HTML file that needs nothing else."""
    package = registry.package(given.version)
    uri = model_packages.evaluation_uri(package).rpartition("/")[0] + "/report.html"
    content = s3.read(registry.clients, uri)
    path = given.output or Path(f"report-{given.version}.html")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ExpectedError(
            f"the report cannot be written: {error.strerror}",
            where=str(path),
            hint="give another file with --output",
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
    package = registry.package(given.version)
    before, after = package["ModelApprovalStatus"], STATUS[given.command]
    if before == after:
        raise ExpectedError(
            f"version {given.version} is {before} already",
            where=package["ModelPackageArn"],
            hint=f"python -m pipelines.registry show {given.version}",
            code=CONFLICT,
        )
    with aws_errors(f"deciding about version {given.version}"):
        registry.clients.sagemaker.update_model_package(
            ModelPackageArn=package["ModelPackageArn"],
            ModelApprovalStatus=after,
            ApprovalDescription=given.note,
        )
    return {"version": given.version, "before": before, "approval_status": after, "note": given.note}


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
        return differences(result) or "no difference"
    if command in STATUS:
        return f"version {result['version']}: {result['before']} -> {result['approval_status']}"
    if command == "report":
        return str(result["report"])
    lines = []
    for group, values in result.items():
        lines += [group, *(f"  {name:<21} {value}" for name, value in values.items())]
    return "\n".join(lines)


def differences(result: Document) -> str:
    """Short values side by side, then long ones below each other."""
    a, b = result["versions"]
    narrow, wide = [], []
    for each in result["differences"]:
        row = {"": each["name"], f"version {a}": each["a"], f"version {b}": each["b"]}
        if max(len(str(each[side])) for side in "ab") <= NARROW:
            narrow.append(row)
        else:
            wide.append("\n  ".join([each["name"], f"{a}: {each['a']}", f"{b}: {each['b']}"]))
    return "\n".join(([table(narrow)] if narrow else []) + wide)


@contextlib.contextmanager
def clients_of(given: argparse.Namespace) -> Iterator[Clients]:
    """The local endpoint's clients with --local, otherwise the account's.

    A workspace that was used before is asked even when its endpoint is down: it is started for the moment.
    """
    if not given.local:
        yield Clients(region=given.region)
        return
    from localaws import endpoint
    from localaws.workspace import Workspace
    from pipelines.local.endpoint import running

    workspace = Workspace(given.workspace)
    if endpoint.find(workspace) or not workspace.marker.exists():
        yield Clients(endpoint.require(workspace))
        return
    with running(workspace, keep=False) as started:
        yield Clients(started)


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    with clients_of(given) as clients:
        group = Stacks(clients, environment(given.env)).output("pipelines", "ModelPackageGroupName")
        result = given.run(Registry(clients, group), given)
    print(json.dumps(result) if given.json else text(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
