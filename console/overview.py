"""The overview: what is there, what needs a person, and the next sensible action."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from starlette.requests import Request
from starlette.responses import Response

from console.account import short_id
from console.context import Console
from console.plugin import Card

Document = dict[str, Any]
STATES = {"Succeeded": "good", "Failed": "bad", "Executing": "busy", "Stopping": "busy", "Stopped": "bad"}


def page(console: Console, request: Request) -> Response:
    """Cards of every pipeline's last run, pending and approved models, endpoints and alarms, and the next action."""
    account, errors = console.account, list[Card]()
    known = read(account.pipelines, "Pipelines", errors)
    last = {each["PipelineName"]: (account.executions(each["PipelineName"]).value or [None])[0] for each in known}
    names = [each["ModelPackageGroupName"] for each in read(account.groups, "Models", errors)]
    groups = {name: account.packages(name) for name in names}
    endpoints, alarms = read(account.endpoints, "Endpoints", errors), read(account.alarms, "Alarms", errors)
    cards = [
        *(run_card(name, execution) for name, execution in last.items()),
        *(card for group, packages in groups.items() for card in model_cards(group, packages)),
        *(endpoint_card(each) for each in endpoints),
        alarm_card(alarms),
        *console.plugin.cards(),
        *errors,
    ]
    action = next_action(console, last, groups, endpoints)
    return console.render(request, "overview.html", title="Overview", cards=cards, action=action)


def pipelines(console: Console, request: Request) -> Response:
    """Every pipeline, the last executed first."""
    return console.render(request, "pipelines.html", title="Pipelines", pipelines=console.account.pipelines())


def read(source: Callable[[], list[Document]], title: str, errors: list[Card]) -> list[Document]:
    """A section's documents; a section that AWS refuses becomes a card of its own and leaves the others alone."""
    try:
        return source()
    except ClientError as error:
        errors.append(Card(title, str(error), state="bad"))
        return []


def run_card(name: str, execution: dict[str, Any] | None) -> Card:
    """A pipeline's last run."""
    if execution is None:
        return Card(f"Pipeline {name}", "no run yet", f"/pipelines/{name}")
    status = execution["PipelineExecutionStatus"]
    link = f"/pipelines/{name}/runs/{short_id(execution['PipelineExecutionArn'])}"
    text = f"last run {status}, started {execution['StartTime']:%Y-%m-%d %H:%M:%S}"
    return Card(f"Pipeline {name}", text, link, STATES.get(status, ""))


def model_cards(group: str, packages: list[dict[str, Any]]) -> list[Card]:
    """The approved version, and the newest one that waits for approval."""
    cards = []
    for status, title, state in (
        ("Approved", f"Approved in {group}", "good"),
        ("PendingManualApproval", f"Waits for approval in {group}", "busy"),
    ):
        found = [each for each in packages if each.get("ModelApprovalStatus") == status]
        if found:
            version = found[0]["ModelPackageVersion"]
            text = f"version {version}: {found[0].get('ModelPackageDescription', '')}"
            cards.append(Card(title, text[:220], f"/models/{group}/{version}", state))
    return cards or [Card(f"Models in {group}", "no version waits or is approved", f"/models/{group}")]


def endpoint_card(endpoint: dict[str, Any]) -> Card:
    """What an endpoint serves."""
    status = endpoint["EndpointStatus"]
    models = ", ".join(model["ModelName"] for model in endpoint["models"].values())
    state = "good" if status == "InService" else "bad" if "Fail" in status else "busy"
    return Card(
        f"Endpoint {endpoint['EndpointName']}", f"{status}: {models}", f"/endpoints/{endpoint['EndpointName']}", state
    )


def alarm_card(alarms: list[dict[str, Any]]) -> Card:
    """The alarms that are on."""
    on = [each["AlarmName"] for each in alarms if each["StateValue"] == "ALARM"]
    return Card("Alarms", ", ".join(on) if on else f"none of {len(alarms)} is on", state="bad" if on else "good")


def next_action(
    console: Console, last: dict[str, Any], groups: dict[str, Any], endpoints: list[dict[str, Any]]
) -> dict[str, str]:
    """What a person would do next: text, link and the command that does it."""
    if not last:
        return {"text": "There is no pipeline yet. Make one:", "link": "", "command": console.plugin.first_step()}
    for name, execution in last.items():
        if execution is None:
            command = console.plugin.command("start", pipeline=name)
            return {"text": f"{name} has not run yet.", "link": f"/pipelines/{name}/start", "command": command}
        arn = execution["PipelineExecutionArn"]
        link = f"/pipelines/{name}/runs/{short_id(arn)}"
        if execution["PipelineExecutionStatus"] == "Failed":
            command = console.plugin.command("run", arn=arn, pipeline=name)
            return {"text": f"The last run of {name} failed: see why.", "link": link, "command": command}
    for group, packages in groups.items():
        if packages and packages[0].get("ModelApprovalStatus") == "PendingManualApproval":
            version = packages[0]["ModelPackageVersion"]
            command = console.plugin.command(
                "approve", arn=packages[0]["ModelPackageArn"], version=str(version), group=group
            )
            text = f"Version {version} of {group} waits for a decision."
            return {"text": text, "link": f"/models/{group}/{version}", "command": command}
    if endpoints:
        name = endpoints[0]["EndpointName"]
        command = console.plugin.command("predict", endpoint=name)
        return {"text": f"Ask {name} for a prediction.", "link": f"/endpoints/{name}", "command": command}
    return {"text": "Nothing waits for you.", "link": "", "command": console.plugin.command("overview")}
