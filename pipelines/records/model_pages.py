"""What the console's pages say of this project's models: what a decision deploys, predictions as a table, drift."""

import json
from typing import Any

from ingestion import record
from localaws.errors import ExpectedError
from pipelines.account import monitoring
from pipelines.account.model_packages import APPROVED, REJECTED, has_evaluation, has_failed
from pipelines.account.serving import NONE, Serving
from pipelines.cli.output import Document

TEXTS = {column.name for column in record.COLUMNS if column.kind == "text"}
NO_DRIFT = "No model has been evaluated yet."


def approval(serving: Serving, package: Document) -> str:
    """What approving or rejecting a package deploys, in words."""
    number = package["ModelPackageVersion"]
    if serving.kind() == NONE:
        return f"Approving version {number} makes it the champion; this environment serves no model."
    current, endpoint, other = serving.version(serving.describe()), serving.endpoint(), serving.fallback(number)
    if current == number:
        then = f"deploys version {other} again" if other is not None else f"deletes the endpoint {endpoint}"
        return f"Version {number} serves at {endpoint}. Rejecting it {then}."
    now = f"which serves version {current} now" if current is not None else "which does not exist yet"
    newest = max(other or number, number)
    if package["ModelApprovalStatus"] == APPROVED:
        if has_failed(package):
            return f"The deployment of version {number} has failed. Rejected and approved again, it is tried once more."
        return f"Version {number} is approved; the newest approved version, {newest}, belongs to {endpoint}, {now}."
    if newest != number:
        return (
            f"Approving version {number} deploys nothing: version {newest} is approved and newer ({endpoint}, {now})."
        )
    return f"Approving version {number} makes it the champion and deploys it to {endpoint}, {now}."


def can_roll_back(serving: Serving, endpoint: str) -> int | None:
    """The version that a rollback of the endpoint brings back; None where there is none or it is another's endpoint."""
    if serving.kind() == NONE or serving.endpoint() != endpoint:
        return None
    try:
        return serving.rollback_target()[1]
    except ExpectedError:
        return None


def roll_back(serving: Serving) -> str:
    """Reject the version that serves; returns the path of the endpoint's page. The deployment is not waited for."""
    version, target = serving.rollback_target()
    serving.registry.decide(version, REJECTED, f"rolled back to version {target}")
    return f"/endpoints/{serving.endpoint()}"


def drift(serving: Serving) -> Document:
    """{"sentence", "columns", "about"} of the newest drift check, or before one of the newest version's evaluation."""
    found = monitoring.latest(serving.stacks) if serving.stacks.exists("deployment") else None
    if found is not None:
        columns = {f"{each['column']} ({each['source']})": each for each in monitoring.columns(found)}
        about = f"Check of version {found['model_version']}, {found['measured_at']}"
        return {"sentence": found["sentence"], "columns": columns, "about": about}
    for each in reversed(serving.registry.summaries()):
        package = serving.registry.describe(each["ModelPackageArn"])
        if has_evaluation(package):
            evaluated = serving.registry.evaluation(package)["drift"]
            return {**evaluated, "about": f"Evaluation of version {package['ModelPackageVersion']}"}
    return {"sentence": NO_DRIFT, "columns": {}, "about": ""}


def predictions(text: str) -> list[Document]:
    """An endpoint's answer as rows: value, interval, class, version and remarks; [] for anything else than such."""
    try:
        answer = json.loads(text)
        return [row(each, answer.get("model_version")) for each in answer["predictions"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def row(each: Document, version: Any) -> Document:
    """One prediction for people."""
    remarks = [*each.get("repaired", []), *each.get("warnings", [])]
    remarks += [f"{each['error']}: {each.get('field', '')}".rstrip(": ")] if "error" in each else []
    interval = f"{each['low']:g} to {each['high']:g}" if "low" in each and "high" in each else ""
    return {
        "Bitterness (IBU)": f"{each['ibu']:g}" if "ibu" in each else "",
        "Interval": interval,
        "Class": each.get("class", ""),
        "Model version": "" if version is None else version,
        "Remarks": ", ".join(remarks),
    }


def predict_words(body: str) -> list[str]:
    """The flags of `pipelines.registry predict` for a request about one beer; those of an example for any other."""
    try:
        (beer,) = json.loads(body)["instances"]
        known = [(name, beer[name]) for name in record.NAMES if name in beer and name not in ("id", "ibu")]
    except (ValueError, KeyError, TypeError):
        known = []
    known = known or [("abv", 6.7), ("target_og", 1060)]
    # One word each, so that a value may begin with a dash.
    return [
        f"--{name.replace('_', '-')}={value if name in TEXTS or isinstance(value, str) else format(value, 'g')}"
        for name, value in known
    ]
