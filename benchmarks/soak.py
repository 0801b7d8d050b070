"""How a workspace ages: `python -m benchmarks.soak [--runs 300] [--executions 500] [--objects 5000] [--small]`.

First the whole chain runs again and again on one workspace; after runs 1, 2, 30, 100 and 300 a line shows the seconds
of the run, the memory of the endpoint and the size of its databases. With --small a run is the state machine `retrain`
and a pipeline without jobs. Then as many executions of `retrain` as asked run over a table of that many objects, while
`status` is polled. Limits: the last run takes 1.3 times as long as run 2, the databases 50 MB, `status` a second; exit
code 1 when one is exceeded.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.support.accounts import GOOD, Account
from benchmarks.support.usage import repeated
from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

SHOWN = (1, 2, 30, 100, 300)
SLOWER_LIMIT, STATE_LIMIT, STATUS_LIMIT = 1.3, 50e6, 1.0
# Runs at the beginning and at the end whose median is compared: one run alone varies by a third.
COMPARED = 5
DATABASES = "*.db*"


def main() -> int:
    """Measure, print, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="of the chain, one after another (300)")
    parser.add_argument("--executions", type=int, default=500, help="of retrain over the objects (500)")
    parser.add_argument("--objects", type=int, default=5000, help="in the table (5000)")
    parser.add_argument("--small", action="store_true", help="runs without jobs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        endpoint, _ = endpoints.start(workspace, detached=True, extensions=["pipelines.local.punk_api:PunkApi"])
        try:
            aged = age(endpoint, given.runs, small=given.small)
            crowded = crowd(endpoint, given.executions, given.objects)
        finally:
            endpoints.stop(workspace)
    return int(not (aged and crowded))


def age(endpoint: endpoints.Endpoint, runs: int, *, small: bool) -> bool:
    """Run the chain so often; whether the last runs and the state stay within the limits."""
    account = small_account(endpoint) if small else None
    seconds: list[float] = []
    print(f"{'run':>5} {'seconds':>8} {'memory':>8} {'state':>8}")
    for number in range(1, runs + 1):
        began = time.monotonic()
        if account is None:
            whole_run(endpoint.workspace)
        else:
            account.deliver(20 * number, 20, stamp(number))
            assert account.run(force=True)[0] == "SUCCEEDED"
        seconds.append(time.monotonic() - began)
        if number in SHOWN or number == runs:
            print(
                f"{number:>5} {seconds[-1]:>6.1f} s {memory(endpoint.pid) / 1e6:>5.0f} MB"
                f" {state(endpoint.workspace) / 1e6:>5.1f} MB",
                flush=True,
            )
    slower = statistics.median(seconds[-COMPARED:]) / statistics.median(seconds[1 : COMPARED + 1] or seconds)
    print(f"the last {COMPARED} runs take {slower:.2f} times as long as runs 2 to {COMPARED + 1}")
    return slower <= SLOWER_LIMIT and state(endpoint.workspace) <= STATE_LIMIT


def crowd(endpoint: endpoints.Endpoint, executions: int, objects: int) -> bool:
    """Start the executions at once over a table of so many objects; whether `status` answers in time."""
    account = small_account(endpoint)
    for number in range(objects):
        account.deliver(number, 1, stamp(number))
    began = time.monotonic()
    with polled_status(endpoint) as answers:
        for _ in range(executions):
            account.start()
        account.settle()
    took = time.monotonic() - began
    pages = account.clients.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=account.machine)
    statuses = [each["status"] for page in pages for each in page["executions"]]
    print(f"{executions} executions over {objects} objects: {took:.0f} s, {statuses.count('SUCCEEDED')} succeeded")
    print(f"`status` answers in {statistics.median(answers):.3f} s, at most in {max(answers):.3f} s")
    return max(answers) <= STATUS_LIMIT and statuses.count("SUCCEEDED") == executions


def small_account(endpoint: endpoints.Endpoint) -> Account:
    """An environment whose pipeline has no jobs."""
    account = Account(Clients(endpoint), MinNewBeers="20", MinMinutesBetweenRuns="0")
    account.upsert(GOOD)
    return account


def whole_run(workspace: Workspace) -> None:
    """One run of the chain on the endpoint that is up."""
    command = [sys.executable, "-m", "pipelines.run", "--local", "--keep", "--json", "--workspace", str(workspace.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["execution"]["status"] == "Succeeded"


def stamp(number: int) -> str:
    """A delivery time, five minutes after the one before."""
    return f"2026-11-{1 + number // 288 % 28:02d}-{number // 12 % 24:02d}-{5 * (number % 12):02d}-00"


def memory(pid: int) -> float:
    """Resident memory of a process in bytes."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return 1024 * float(line.split()[1])


def state(workspace: Workspace) -> int:
    """Bytes of the databases."""
    return sum(path.stat().st_size for path in workspace.root.glob(DATABASES))


@contextmanager
def polled_status(endpoint: endpoints.Endpoint) -> Iterator[list[float]]:
    """The seconds that `status` took each time while the body ran."""
    answers: list[float] = []

    def poll() -> None:
        began = time.monotonic()
        endpoint.control("status")
        answers.append(time.monotonic() - began)

    with repeated(poll, every_seconds=0.2):
        yield answers


if __name__ == "__main__":
    sys.exit(main())
