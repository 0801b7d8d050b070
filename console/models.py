"""The pages of the model registry: groups, versions with their metrics, one version, comparison, report, decisions."""

import base64
import hashlib
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from console import charts, steps
from console.account import NotFound, Refused
from console.context import Console

Document = dict[str, Any]
# Members of a model package that name it rather than describe it: two versions always differ in them.
IDENTITY = ("ModelPackageArn", "ModelPackageVersion", "CreationTime", "LastModifiedTime", "evaluation")
STATUSES = {"approve": "Approved", "reject": "Rejected"}
STYLE = re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)


def groups(console: Console, request: Request) -> Response:
    """Every model package group."""
    return console.render(request, "groups.html", title="Models", groups=console.account.groups())


def versions(console: Console, request: Request) -> Response:
    """A group's versions, their statuses and metrics, and one metric over the versions as a chart."""
    group = request.path_params["group"]
    packages = console.account.packages(group)
    table = {each["ModelPackageVersion"]: metrics(each["evaluation"]) for each in packages}
    names = list(dict.fromkeys(name for found in table.values() for name in found))
    chosen = request.query_params.get("metric") or next(iter(names), "")
    points = [
        charts.Point(
            str(each["ModelPackageVersion"]), *table[each["ModelPackageVersion"]][chosen], each["ModelApprovalStatus"]
        )
        for each in reversed(packages)
        if chosen in table[each["ModelPackageVersion"]]
    ]
    champion = next(
        (each["ModelPackageVersion"] for each in packages if each["ModelApprovalStatus"] == "Approved"), None
    )
    return console.render(
        request, "versions.html", title=f"Models of {group}", group=group, packages=packages, metrics=table,
        names=names, chosen=chosen, champion=champion, chart=charts.over_versions(points, chosen),
    )  # fmt: skip


def metrics(evaluation: Document) -> dict[str, tuple[float, float, float]]:
    """Metric -> (value, low, high) of statistics in SageMaker's form: {"regression_metrics": {"mae": {"value": ...}}}.

    Without an interval of its own a metric spans a standard deviation to each side.
    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
    """
    found: dict[str, tuple[float, float, float]] = {}
    intervals = evaluation.get("candidate") if isinstance(evaluation.get("candidate"), dict) else {}
    for group, listed in evaluation.items():
        if not group.endswith("_metrics") or not isinstance(listed, dict):
            continue
        for name, each in listed.items():
            if isinstance(each, dict) and isinstance(each.get("value"), int | float):
                value, spread = float(each["value"]), each.get("standard_deviation")
                spread = float(spread) if isinstance(spread, int | float) else 0.0
                bounds = {**each, **((intervals or {}).get(name) or {})}
                found[name] = (
                    value,
                    float(bounds.get("low", value - spread)),
                    float(bounds.get("high", value + spread)),
                )
    return found


def version(console: Console, request: Request) -> Response:
    """One version: figures, origin, model card, the decision about it, and what approving it does."""
    group, number = request.path_params["group"], request.path_params["version"]
    package = console.account.version(group, number)
    return console.render(
        request, "version.html", title=f"{group} version {number}", group=group, package=package,
        metrics=metrics(package["evaluation"]), report=console.plugin.report(package), card=card(package),
        release=steps.contents(console, console.plugin.release(package)), run=origin(package),
        containers=package.get("InferenceSpecification", {}).get("Containers", []),
    )  # fmt: skip


def origin(package: Document) -> str:
    """The path of the run that made a model package, or "".

    SageMaker Pipelines puts the execution's ARN into MetadataProperties.
    """
    made_by = str(package.get("MetadataProperties", {}).get("GeneratedBy", ""))
    found = re.search(r":pipeline/([^/]+)/execution/([^/]+)$", made_by)
    return f"/pipelines/{found[1]}/runs/{found[2]}" if found else ""


def card(package: Document) -> str:
    """The model card's content as JSON text, or ""."""
    return str(package.get("ModelCard", {}).get("ModelCardContent", ""))


def compare(console: Console, request: Request) -> Response:
    """Two versions side by side: what differs, or all with ?all=1."""
    group, query = request.path_params["group"], request.query_params
    given = [query.get(side, "") for side in ("a", "b")]
    sides = [flat(console.account.version(group, int(each))) if each.isdigit() else {} for each in given]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    table = [(each, sides[0].get(each, ""), sides[1].get(each, "")) for each in names]
    shown = table if query.get("all") else [row for row in table if row[1] != row[2]]
    choices = [str(each["ModelPackageVersion"]) for each in console.account.packages(group)]
    line = console.plugin.command("compare_models", group=group, arn=given[0], version=given[0], other=given[1])
    return console.render(
        request, "compare.html", title=f"Compare versions of {group}", name=group, kind="version", rows=shown,
        same=len(table) - len(shown), choices=choices, back=f"/models/{group}", line=line,
    )  # fmt: skip


def flat(package: Document) -> dict[str, str]:
    """A package as names and texts: its metrics, then every member by its path."""
    found = {
        name: f"{value:.4g} ({low:.4g} to {high:.4g})"
        for name, (value, low, high) in metrics(package["evaluation"]).items()
    }

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}[{index}]")
        else:
            found[path] = str(value)

    walk({key: value for key, value in package.items() if key not in IDENTITY}, "")
    return found


def report(console: Console, request: Request) -> Response:
    """A version's evaluation report as it is, in a sandbox of its own: no script, no form, only its own styles."""
    package = console.account.version(request.path_params["group"], request.path_params["version"])
    uri = console.plugin.report(package)
    if not uri:
        raise NotFound("this version names no report")
    content = console.account.object(uri)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'" for style in STYLE.findall(content)
    )
    policy = f"sandbox; default-src 'none'; img-src data:; style-src {hashes or chr(39) + 'none' + chr(39)}"
    return Response(content, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


def approve(console: Console, path: dict[str, str], form: dict[str, str]) -> str:
    """Approve a version."""
    return decide(console, path, form, "approve")


def reject(console: Console, path: dict[str, str], form: dict[str, str]) -> str:
    """Reject a version."""
    return decide(console, path, form, "reject")


def decide(console: Console, path: dict[str, str], form: dict[str, str], decision: str) -> str:
    """Set a version's approval status, with the note as its description."""
    group, number = path["group"], int(path["version"])
    package, note = console.account.version(group, number), form.get("note", "").strip()[:1024]
    objection = console.plugin.objection(package, STATUSES[decision], note)
    if objection:
        raise Refused(objection)
    console.account.sagemaker.update_model_package(
        ModelPackageArn=package["ModelPackageArn"],
        ModelApprovalStatus=STATUSES[decision],
        ApprovalDescription=note,
    )
    return f"/models/{group}/{number}"
