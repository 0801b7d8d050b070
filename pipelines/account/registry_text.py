"""The results of `python -m pipelines.registry` as text."""

from typing import Any

from pipelines.account import monitoring
from pipelines.cli.output import Document, difference_text, groups, table

STATUS = ("approve", "reject")
PREDICTION = ("beer", "ibu", "low", "high", "class", "repaired", "warnings", "error", "field")


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "list":
        if not result["versions"]:
            return f"no models in {result['group']} yet"
        return table(result["versions"])
    if command == "compare":
        one, other = result["versions"]
        return difference_text(result["differences"], (f"version {one}", f"version {other}"))
    if command in (*STATUS, "rollback"):
        return decision_text(result)
    if command == "report":
        return str(result["report"])
    return groups(result) if command == "show" else serving_text(command, result)


def decision_text(result: Document) -> str:
    """A decision and its deployment."""
    line = f"version {result['version']}: {result['before']} -> {result['approval_status']}"
    deployment = result["deployment"]
    if deployment is None:
        return line
    if deployment["version"] is None:
        return f"{line}; no model serves: {deployment['reason'] or 'none is approved'}"
    return f"{line}; version {deployment['version']} serves at {deployment['endpoint']}"


def serving_text(command: str, result: Document) -> str:
    """A result of the commands about serving."""
    if "classes" in result:
        return scores_text(result)
    if command == "predict":
        rows = [{name: each.get(name) for name in PREDICTION} for each in result["predictions"]]
        return f"{table(rounded(rows))}\nversion {result['model_version']}"
    if command == "drift":
        return drift_text(result)
    if command == "release":
        return "\n".join(f"{result['folder']}/{name}" for name in result["files"])
    if command == "promote":
        return f"version {result['version']} is version {result['promoted']} of {result['group']}, pending approval"
    if result["version"] is None:
        return f"no model serves ({result['serving']})"
    alarms = {"alarms": ", ".join(result["alarms"])}
    serving = {name: value for name, value in result.items() if name != "deployment"}
    return groups({"serving": serving | alarms, "deployment": result["deployment"]})


def drift_text(result: Document) -> str:
    """A drift check: a row per column, a sentence per source, the alarm."""
    rows = [{**each, "drifted": "yes" if each["drifted"] else ""} for each in monitoring.columns(result)]
    figures = [
        {name: round(value, 2) if isinstance(value, float) else value for name, value in r.items()} for r in rows
    ]
    lines = [table(figures)] if figures else []
    lines += [f"{source}: {each['sentence']}" for source, each in result["sources"].items()]
    lines.append(f"version {result['model_version']}, measured {result['measured_at']}: {result['sentence']}")
    return "\n".join([*lines, f"alarm {result['alarm']['state']}: {result['alarm']['reason']}", result["report"]])


def scores_text(result: Document) -> str:
    """What the table of the predictions holds."""
    done = {"scored": "scored", "unchanged": "scored before"}[result["decision"]]
    line = f"{result['beers']} beers {done} by version {result['version']} (data up to {result['cut_off']})"
    # A state machine that was deployed by an earlier version measures no drift.
    drift = result.get("drift", {"sentence": "Drift was not checked: upsert the state machines (pipelines.run)."})
    return f"{table(result['classes'])}\n{line}\nAthena: {result['query']}\n{drift['sentence']}"


def rounded(rows: list[Document], places: int = 1) -> list[Document]:
    """Rows with few decimal places and lists as words; columns that are empty in every row are left out."""
    used = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    return [{name: shown(row[name], places) for name in used} for row in rows]


def shown(value: Any, places: int) -> Any:
    """A value of an answer as a table shows it."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return round(value, places) if isinstance(value, float) else value
