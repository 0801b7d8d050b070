"""What the monitoring of the served model has found: the newest drift check and the drift alarm."""

from localaws.errors import NOT_FOUND, ExpectedError
from pipelines.account import s3
from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

RESULT, REPORT = "drift.json", "drift.html"


def latest(stacks: Stacks) -> Document | None:
    """The newest drift check with the `report`'s address; None before the first one. See evaluation/monitor.py."""
    home = stacks.output("deployment", "MonitoringUri")
    checks = [each for each in s3.objects(stacks.clients, home + "/") if each.endswith(f"/{RESULT}")]
    if not checks:
        return None
    # A check's folder begins with its time.
    newest = max(checks)
    return {**s3.read_json(stacks.clients, newest), "report": newest.removesuffix(RESULT) + REPORT}


def drift(stacks: Stacks) -> Document:
    """The newest drift check beside the `alarm`'s {"name", "state", "reason"}; raises ExpectedError without one."""
    found = latest(stacks)
    if found is None:
        raise ExpectedError(
            "no drift check has been made yet",
            where=stacks.output("deployment", "MonitoringUri"),
            hint=stacks.clients.command("registry", "drift", "--check"),
            code=NOT_FOUND,
        )
    return {**found, "alarm": alarm(stacks)}


def alarm(stacks: Stacks) -> Document:
    """The drift alarm's name, state and reason."""
    name = stacks.output("deployment", "DriftAlarm")
    with aws_errors(f"reading the alarm {name}"):
        (found,) = stacks.clients.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return {"name": name, "state": found["StateValue"], "reason": found.get("StateReason", "")}


def columns(found: Document) -> list[Document]:
    """One row per column and source of a check: {column, source, value, chance, drifted}."""
    rows = []
    for source, each in found["sources"].items():
        measured = each["columns"] | ({"error": each["error"]} if each["error"] else {})
        for name, figures in measured.items():
            shown = {key: figures[key] for key in ("value", "chance", "drifted")}
            rows.append({"column": name, "source": source, **shown})
    return rows
