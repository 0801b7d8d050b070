"""The pages of a pipeline: graph, executions, one execution, one step with its log; starting, stopping, retrying."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from console import charts, definition, graph
from console.account import UNDER_WAY, short_id
from console.context import Console

Document = dict[str, Any]
PER_PAGE = 25
SORTS = {
    "started": lambda each: str(each.get("StartTime", "")),
    "status": lambda each: each["PipelineExecutionStatus"],
    "name": lambda each: str(each.get("PipelineExecutionDisplayName", "")),
}


def pipeline(console: Console, request: Request) -> Response:
    """A pipeline's graph, coloured by its last run, its parameters and its newest runs."""
    name = request.path_params["pipeline"]
    found = console.account.pipeline(name)
    executions = console.account.executions(name).value
    last = console.account.described_execution(executions[0]["PipelineExecutionArn"]) if executions else None
    return console.render(
        request,
        "pipeline.html",
        title=name,
        pipeline=found,
        drawing=drawing(console, found, last),
        parameters=definition.parameters(found["definition"]),
        last=last,
        rows=rows(console, executions[:5]),
        total=len(executions),
    )


def drawing(console: Console, pipeline: Document, execution: Document | None) -> str:
    """The graph as SVG, with an execution's statuses, durations and links where there is one."""
    steps = definition.steps(pipeline["definition"])
    if execution is None:
        return graph.svg(steps)
    base = f"/pipelines/{pipeline['PipelineName']}/runs/{short_id(execution['PipelineExecutionArn'])}/steps/"
    known = {each["StepName"]: each for each in execution["steps"]}
    marks = {step.name: mark(known.get(step.name), base + step.name) for step in steps}
    return graph.svg(steps, marks, console.plugin.edge_labels(execution))


def mark(step: Document | None, link: str) -> graph.Mark:
    """A step's status, duration and link on the graph."""
    if step is None:
        return graph.Mark("NotStarted", "not started")
    text = step["StepStatus"] + (f" {duration(step):.1f} s" if duration(step) is not None else "")
    if step.get("CacheHitResult", {}).get("SourcePipelineExecutionArn"):
        text = "Succeeded from cache"
    return graph.Mark(step["StepStatus"], text, link)


def duration(step: Document) -> float | None:
    """Seconds from a step's start to its end, or until now; None before its start."""
    if not step.get("StartTime"):
        return None
    end: datetime = step.get("EndTime") or datetime.now(UTC)
    return max(float((end - step["StartTime"]).total_seconds()), 0.0)


def listing(console: Console, request: Request) -> Response:
    """Every execution: filtered, sorted and paged here, without an upper limit."""
    name, query = request.path_params["pipeline"], request.query_params
    cached = console.account.executions(name)
    executions, statuses = cached.value, sorted({each["PipelineExecutionStatus"] for each in cached.value})
    if query.get("status"):
        executions = [each for each in executions if each["PipelineExecutionStatus"] == query["status"]]
    if query.get("q"):
        words = query["q"].lower()
        executions = [each for each in executions if words in searched(each)]
    order = query.get("order", "descending")
    key = SORTS.get(query.get("sort", "started"), SORTS["started"])
    executions = sorted(executions, key=key, reverse=order != "ascending")
    page = max(int(query.get("page", "1")) if query.get("page", "1").isdigit() else 1, 1)
    return console.render(
        request,
        "runs.html",
        title=f"Runs of {name}",
        name=name,
        rows=rows(console, executions[(page - 1) * PER_PAGE : page * PER_PAGE]),
        total=len(executions),
        page=page,
        pages=max((len(executions) + PER_PAGE - 1) // PER_PAGE, 1),
        statuses=statuses,
        age=cached.age,
    )


def searched(execution: Document) -> str:
    """The text that a run list's search matches."""
    members = ("PipelineExecutionArn", "PipelineExecutionDisplayName", "PipelineExecutionDescription")
    return " ".join(str(execution.get(member, "")) for member in members).lower()


def rows(console: Console, executions: list[Document]) -> list[Document]:
    """The rows of a run list: summary, parameters, seconds, and what started it."""

    def row(summary: Document) -> Document:
        arn, account = summary["PipelineExecutionArn"], console.account
        ended = summary["PipelineExecutionStatus"] not in UNDER_WAY
        described = account.cache.get(
            ("described", arn, summary["PipelineExecutionStatus"]),
            lambda: account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn),
            float("inf") if ended else 1.0,
        ).value
        end = described["LastModifiedTime"] if ended else datetime.now(UTC)
        return {
            **summary,
            "parameters": account.parameters(arn),
            "seconds": (end - summary["StartTime"]).total_seconds(),
            "started_by": console.plugin.started_by(described),
        }

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(row, executions))


def run(console: Console, request: Request) -> Response:
    """One execution: graph, steps, timeline, parameters, and what can be done with it."""
    name = request.path_params["pipeline"]
    execution = console.account.execution(name, request.path_params["run"])
    shown = [
        {**each, "seconds": duration(each), "reused": each.get("CacheHitResult", {}).get("SourcePipelineExecutionArn")}
        for each in execution["steps"]
    ]
    bars = [
        charts.Bar(each["StepName"], each["StepStatus"], each.get("StartTime"), each.get("EndTime"))
        for each in execution["steps"]
    ]
    failed = [each for each in execution["steps"] if each["StepStatus"] == "Failed"]
    return console.render(
        request,
        "run.html",
        title=f"Run {request.path_params['run']}",
        name=name,
        run=request.path_params["run"],
        execution=execution,
        steps=shown,
        failed=failed[0] if failed else None,
        under_way=execution["PipelineExecutionStatus"] in UNDER_WAY,
        started_by=console.plugin.started_by(execution),
        drawing=drawing(console, console.account.pipeline(name), execution),
        timeline=charts.timeline(bars, datetime.now(UTC)),
    )


def compare(console: Console, request: Request) -> Response:
    """Two executions side by side: what differs, or all with ?all=1."""
    name, query = request.path_params["pipeline"], request.query_params
    sides = [flat(console.account.execution(name, query[side])) if query.get(side) else {} for side in ("a", "b")]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    table = [(each, sides[0].get(each, ""), sides[1].get(each, "")) for each in names]
    shown = table if query.get("all") else [row for row in table if row[1] != row[2]]
    runs = [short_id(each["PipelineExecutionArn"]) for each in console.account.executions(name).value[:200]]
    return console.render(
        request, "compare.html", title=f"Compare runs of {name}", name=name, kind="run", rows=shown,
        same=len(table) - len(shown), choices=runs, back=f"/pipelines/{name}/runs",
        line=console.plugin.command("compare_runs", pipeline=name, arn=query.get("a", ""), other=query.get("b", "")),
    )  # fmt: skip


def flat(execution: Document) -> dict[str, str]:
    """An execution as names and texts."""
    found = {"status": str(execution["PipelineExecutionStatus"]), "failure": str(execution.get("FailureReason", ""))}
    found |= {f"parameter {name}": value for name, value in execution["parameters"].items()}
    for each in execution["steps"]:
        found[f"step {each['StepName']}"] = each["StepStatus"] + (" (cache)" if each.get("CacheHitResult") else "")
        if duration(each) is not None:
            found[f"step {each['StepName']}, seconds"] = f"{duration(each):.1f}"
    return found


def start_form(console: Console, request: Request) -> Response:
    """The form that starts an execution, made from the definition's parameters."""
    name = request.path_params["pipeline"]
    declared = definition.parameters(console.account.pipeline(name)["definition"])
    return console.render(request, "start.html", title=f"Start {name}", name=name, parameters=declared)


def start(console: Console, path: dict[str, str], form: dict[str, str]) -> str:
    """Start an execution with the parameters that were filled in."""
    name = path["pipeline"]
    values = {key: value for key, value in form.items() if value != ""}
    arn = console.plugin.start(name, values)
    if arn is None:
        arn = console.account.sagemaker.start_pipeline_execution(
            PipelineName=name,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in values.items()],
            ClientRequestToken=uuid.uuid4().hex,
        )["PipelineExecutionArn"]
    return f"/pipelines/{name}/runs/{short_id(arn)}"


def stop(console: Console, path: dict[str, str], form: dict[str, str]) -> str:
    """Stop an execution."""
    arn = console.account.execution(path["pipeline"], path["run"])["PipelineExecutionArn"]
    console.account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=uuid.uuid4().hex)
    return f"/pipelines/{path['pipeline']}/runs/{path['run']}"


def retry(console: Console, path: dict[str, str], form: dict[str, str]) -> str:
    """Retry an execution that failed or was stopped: its finished steps are not run again."""
    arn = console.account.execution(path["pipeline"], path["run"])["PipelineExecutionArn"]
    console.account.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=uuid.uuid4().hex)
    return f"/pipelines/{path['pipeline']}/runs/{path['run']}"
