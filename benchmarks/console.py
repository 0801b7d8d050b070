"""How long the console's pages take with 1,000 executions of ten steps: `python -m benchmarks.console`.

The executions are answers of a stand-in for boto3's client, each call of which takes as long as a call of the local
endpoint (5 ms): what is measured is the console. Cold: the first request of each page. Warm: the 95th percentile of the
requests after it, which the cache answers while it reads again in the background. The limit is 50 ms.
"""

import json
import socket
import statistics
import sys
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn

from console.account import Account
from console.context import Console
from console.plugin import Plugin
from console.web import app

Document = dict[str, Any]
EXECUTIONS, STEPS, REQUESTS = 1_000, 10, 60
CALL_SECONDS = 0.005
LIMIT_SECONDS = 0.05
NAME = "many"
BASE = f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/{NAME}"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = [f"Step{index}" for index in range(STEPS)]
DEFINITION = {
    "Parameters": [{"Name": "Seed", "Type": "Integer", "DefaultValue": 0}],
    "Steps": [
        {"Name": name, "Type": "Processing", "Arguments": {}, "DependsOn": NAMES[max(index - 1, 0) : index]}
        for index, name in enumerate(NAMES)
    ],
}
PATHS = (
    f"/pipelines/{NAME}",
    f"/pipelines/{NAME}/runs",
    f"/pipelines/{NAME}/runs?page=30&status=Succeeded&sort=status",
    f"/pipelines/{NAME}/runs/run0500",
    f"/pipelines/{NAME}/compare?a=run0017&b=run0018",
)


class SageMaker:
    """Answers in the shape of boto3's, after the time that a call takes."""

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Document:
            time.sleep(CALL_SECONDS)
            answer: Document = ANSWERS[operation](request)
            return answer

        return call


def summary(number: int) -> Document:
    """One execution as ListPipelineExecutions has it."""
    return {
        "PipelineExecutionArn": f"{BASE}/execution/run{number:04}",
        "StartTime": BEGAN + timedelta(minutes=number),
        "PipelineExecutionStatus": "Failed" if number % 17 == 0 else "Succeeded",
        "PipelineExecutionDisplayName": f"run-{number}",
    }


def executions(request: Document) -> Document:
    """A page of the executions, newest first."""
    begin, size = int(request.get("NextToken", "0")), request["MaxResults"]
    numbers = range(EXECUTIONS - 1, -1, -1)[begin : begin + size]
    more = {"NextToken": str(begin + size)} if begin + size < EXECUTIONS else {}
    return {"PipelineExecutionSummaries": [summary(number) for number in numbers], **more}


def execution(request: Document) -> Document:
    """One execution, described."""
    found = summary(int(request["PipelineExecutionArn"][-4:]))
    end = found["StartTime"] + timedelta(seconds=4 * STEPS)
    return {**found, "CreationTime": found["StartTime"], "LastModifiedTime": end}


def steps(request: Document) -> Document:
    """An execution's steps, four seconds each."""
    start = summary(int(request["PipelineExecutionArn"][-4:]))["StartTime"]
    times = [start + timedelta(seconds=4 * index) for index in range(STEPS + 1)]
    rows = zip(NAMES, times, times[1:], strict=False)
    return {
        "PipelineExecutionSteps": [
            {"StepName": name, "StepStatus": "Succeeded", "StartTime": begin, "EndTime": end}
            for name, begin, end in rows
        ]
    }


ANSWERS: Document = {
    "describe_pipeline": lambda request: {"PipelineName": NAME, "PipelineDefinition": json.dumps(DEFINITION)},
    "list_pipeline_executions": executions,
    "describe_pipeline_execution": execution,
    "list_pipeline_execution_steps": steps,
    "list_pipeline_parameters_for_execution": lambda request: {"PipelineParameters": [{"Name": "Seed", "Value": "0"}]},
}


def serve() -> str:
    """The console on a free port, in a thread; its address."""
    console = Console(Account(lambda service: SageMaker()), Plugin(), changes=False, where="benchmark")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    console.port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app(console), log_level="error", lifespan="off", access_log=False))
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{console.port}"


def timed(url: str) -> float:
    """Seconds of one request."""
    began = time.perf_counter()
    with urllib.request.urlopen(url, timeout=60) as answer:
        answer.read()
    return time.perf_counter() - began


def main() -> int:
    """Measure every page; 1 when a page's 95th percentile is above the limit."""
    url, slow = serve(), False
    print(f"{'page':<62} {'cold':>8} {'median':>8} {'p95':>8}  of {LIMIT_SECONDS * 1000:.0f} ms")
    for path in PATHS:
        cold = timed(url + path) * 1000
        warm = sorted(timed(url + path) * 1000 for _ in range(REQUESTS))
        p95 = warm[int(len(warm) * 0.95)]
        slow = slow or p95 > LIMIT_SECONDS * 1000
        share = p95 / (LIMIT_SECONDS * 1000)
        print(f"{path:<62} {cold:>5.0f} ms {statistics.median(warm):>5.1f} ms {p95:>5.1f} ms  {share:.2f}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
