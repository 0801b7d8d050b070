"""The local endpoint's command.

python -m pipelines.local up         start it and leave it up; prints its URL
python -m pipelines.local down       stop it; everything it holds stays in the workspace
python -m pipelines.local status     what runs, what waits, what is registered
python -m pipelines.local collect    invoke the collector: the whole catalogue, or some random beers
python -m pipelines.local ledger     what became of every record
python -m pipelines.local replay     deliver failed records again, after what failed them was mended
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import Arguments
from pipelines.cli.errors import exit_code
from pipelines.cli.output import Document
from pipelines.local import endpoint as local_endpoint
from pipelines.records import commands as records


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    every = Arguments(add_help=False)
    every.add_argument("--workspace", type=Path, default=Path(".local"), help="where all its state lies (.local)")
    every.add_argument("--json", action="store_true", help="one JSON object on standard output")
    for name, run in COMMANDS.items():
        summary = (run.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, parents=[every], help=summary, description=summary)
        command.set_defaults(run=run)
        if name == "up":
            command.add_argument("--port", type=int, default=0, help="default: the last one, or a free one")
            command.add_argument("--catalog", type=Path, help="beers to serve: a JSON list in the Punk API's shape")
        if name == "down":
            command.add_argument("--delete", action="store_true", help="delete the workspace too")
        if name == "collect":
            command.add_argument("--random", type=int, metavar="N", help="N random beers instead of the catalogue")
        if name in ("ledger", "replay"):
            command.add_argument("--since", metavar="YYYY-MM-DD", help="only what was delivered from that day on (UTC)")
    return parser


def up(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Start the endpoint and leave it up."""
    from pipelines.local.punk_api import load_catalogue

    if given.catalog:
        load_catalogue(given.catalog)
    endpoint = endpoints.find(workspace) if workspace.root.exists() else None
    if endpoint is None or not endpoint.detached:
        endpoint = local_endpoint.start(workspace, given.port)
    if given.catalog:
        endpoint.control("catalogue", path=str(given.catalog.absolute()))
    return {"url": endpoint.url, "beers_url": endpoint.addresses["punk_api"], "pid": endpoint.pid}


def down(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Stop the endpoint; what it holds stays in the workspace."""
    stopped = endpoints.stop(workspace)
    if given.delete and workspace.root.exists():
        endpoints.remove(workspace)
    return {"stopped": stopped, "deleted": bool(given.delete)}


def status(given: argparse.Namespace, workspace: Workspace) -> Document:
    """What runs, what waits for delivery, and the latest run and model."""
    endpoint = endpoints.find(workspace) if workspace.root.exists() else None
    if endpoint is None:
        return {"running": False, "workspace": str(workspace.root)}
    told = endpoint.control("status")
    clients = Clients(endpoint)
    stacks = [
        {"name": each["StackName"], "status": each["StackStatus"]}
        for each in clients.cloudformation.describe_stacks()["Stacks"]
    ]
    pipelines = clients.sagemaker.list_pipelines()["PipelineSummaries"]
    runs = [_latest_run(clients, each["PipelineName"]) for each in pipelines]
    return {
        "running": True,
        "workspace": str(workspace.root),
        "url": endpoint.url,
        "pid": endpoint.pid,
        "beers": endpoint.control("catalogue")["beers"],
        "waiting": told["waiting"],
        "stacks": stacks,
        "pipelines": runs,
    }


def _latest_run(clients: Clients, name: str) -> Document:
    runs = clients.sagemaker.list_pipeline_executions(PipelineName=name, MaxResults=1)["PipelineExecutionSummaries"]
    latest = {"arn": runs[0]["PipelineExecutionArn"], "status": runs[0]["PipelineExecutionStatus"]} if runs else None
    return {"name": name, "latest_run": latest}


def collect(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Invoke the collector Lambda at the local endpoint."""
    from pipelines.cli.errors import ExpectedError

    clients, stacks = _account(workspace)
    event = {"mode": "random", "count": given.random} if given.random else {"mode": "catalogue"}
    answer = clients["lambda"].invoke(
        FunctionName=stacks.output("ingestion", "CollectorName"), Payload=json.dumps(event).encode()
    )
    payload: Document = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        raise ExpectedError(
            f"the collector failed: {payload.get('errorMessage', payload)}",
            where=stacks.output("ingestion", "CollectorName"),
            hint="look at its log group: aws logs tail /aws/lambda/...",
        )
    return payload


def ledger(given: argparse.Namespace, workspace: Workspace) -> Document:
    """What became of every record: accepted = clean + dropped + failed."""
    return records.account(_account(workspace)[1], given.since)


def replay(given: argparse.Namespace, workspace: Workspace) -> Document:
    """Deliver failed records again, each once, after what failed them was mended."""
    return records.again(_account(workspace)[1], given.since)


def _account(workspace: Workspace) -> tuple[Clients, Stacks]:
    clients = Clients(endpoints.require(workspace))
    return clients, Stacks(clients, environment("dev"))


COMMANDS: dict[str, Callable[[argparse.Namespace, Workspace], Document]] = {
    each.__name__: each for each in (up, down, status, collect, ledger, replay)
}


def show(command: str, result: Document) -> str:
    """A result for people."""
    if command == "up":
        return str(result["url"])
    if command in ("ledger", "replay"):
        return records.text(command, result)
    return "\n".join(_lines(result))


def _lines(result: Document, indent: str = "") -> list[str]:
    lines = []
    for key, value in result.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}" + ("" if value else "  none"))
            lines += [f"{indent}  " + "  ".join(_short(part) for part in each.values()) for each in value]
        else:
            lines.append(f"{indent}{key:<12} {_short(value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(_short(each) for each in value.values()) or "none"
    return {True: "yes", False: "no", None: "none"}.get(value, str(value)) if not isinstance(value, str) else value


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    result = given.run(given, Workspace(given.workspace))
    print(json.dumps(result) if given.json else show(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
