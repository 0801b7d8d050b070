"""The page of one step of an execution: its job, what went in and out, and its log from the first error."""

import re
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from console import definition
from console.account import NotFound, short_id
from console.context import Console
from console.runs import duration

Document = dict[str, Any]
# A page shows this much of a log around what matters; the download has all of it.
LOG_LINES = 2_000
ERROR = re.compile(r"Traceback|\b\w*(?:Error|Exception)\b|\bERROR\b|\bFATAL\b|\bCRITICAL\b")


def step(console: Console, request: Request) -> Response:
    """One step of an execution: its job, what went in and out, attempts, cache, and its log from the first error."""
    name, run_id, step_name = (request.path_params[each] for each in ("pipeline", "run", "step"))
    execution = console.account.execution(name, run_id)
    declared = {each.name: each for each in definition.steps(console.account.pipeline(name)["definition"])}
    found = next((each for each in execution["steps"] if each["StepName"] == step_name), None)
    if found is None and step_name not in declared:
        raise NotFound(f"no step {step_name} in the run {run_id}")
    job = console.account.job(found) if found else None
    lines = list(console.account.log(job["log_group"], job["name"])) if job else []
    words = request.query_params.get("q", "")
    return console.render(
        request,
        "step.html",
        title=f"{step_name} of run {run_id}",
        name=name,
        run=run_id,
        step_name=step_name,
        step=found,
        declared=declared.get(step_name),
        seconds=duration(found) if found else None,
        job=job,
        inputs=inputs(job["described"]) if job else [],
        outputs=outputs(job["described"]) if job else [],
        contents=lambda uri: contents(console, uri),
        log=excerpt(lines, words),
        lines=len(lines),
        words=words,
    )


def excerpt(lines: list[str], words: str) -> list[tuple[int, str, bool]]:
    """(number, text, whether it is the first error) of the lines to show: those with the words, or around the error."""
    first = next((number for number, text in enumerate(lines) if ERROR.search(text)), None)
    numbered = [(number + 1, text, number == first) for number, text in enumerate(lines)]
    if words:
        return [each for each in numbered if words.lower() in each[1].lower()][:LOG_LINES]
    begin = max((first or 0) - LOG_LINES // 2, 0) if first is not None else max(len(lines) - LOG_LINES, 0)
    return numbered[begin : begin + LOG_LINES]


def log(console: Console, request: Request) -> Response:
    """All of a step's log as a text file."""
    name, run_id, step_name = (request.path_params[each] for each in ("pipeline", "run", "step"))
    execution = console.account.execution(name, run_id)
    found = next((each for each in execution["steps"] if each["StepName"] == step_name), None)
    job = console.account.job(found) if found else None
    if job is None:
        raise NotFound(f"the step {step_name} of the run {run_id} has no job and no log")
    lines: Iterator[str] = (f"{line}\n" for line in console.account.log(job["log_group"], job["name"]))
    headers = {"Content-Disposition": f'attachment; filename="{job["name"]}.log"'}
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8", headers=headers)


def inputs(described: Document) -> list[tuple[str, str]]:
    """(name, S3 address) of a job's inputs."""
    processing = [
        (each["InputName"], each.get("S3Input", {}).get("S3Uri", "")) for each in described.get("ProcessingInputs", [])
    ]
    channels = [
        (each["ChannelName"], each.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))
        for each in described.get("InputDataConfig", [])
    ]
    transform = described.get("TransformInput", {}).get("DataSource", {}).get("S3DataSource", {}).get("S3Uri")
    return processing + channels + ([("transform", transform)] if transform else [])


def outputs(described: Document) -> list[tuple[str, str]]:
    """(name, S3 address) of a job's outputs."""
    listed = described.get("ProcessingOutputConfig", {}).get("Outputs", [])
    found = [(each["OutputName"], each.get("S3Output", {}).get("S3Uri", "")) for each in listed]
    model = described.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    transformed = described.get("TransformOutput", {}).get("S3OutputPath")
    return found + ([("model", model)] if model else []) + ([("transform", transformed)] if transformed else [])


def contents(console: Console, uri: str, most: int = 20) -> list[Document]:
    """The objects at an S3 address: uri, Size and ETag of at most `most`."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        return []
    listed = console.account.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=most)
    return [
        {
            "uri": f"s3://{bucket}/{each['Key']}",
            "name": each["Key"].removeprefix(prefix).lstrip("/") or short_id(each["Key"]),
            "size": each["Size"],
            "etag": each["ETag"].strip('"'),
        }
        for each in listed.get("Contents", [])
    ]


def stored(console: Console, request: Request) -> Response:
    """An S3 object that a run refers to, as a download that no browser runs."""
    uri = request.query_params.get("uri", "")
    if not uri.startswith("s3://"):
        raise NotFound("an object's address begins with s3://")
    name = re.sub(r"[^\w.-]", "_", short_id(uri))
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"}
    return Response(console.account.object(uri), media_type="application/octet-stream", headers=headers)
