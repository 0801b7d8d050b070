"""The whole way from generated records to a registered model, by size: `python -m benchmarks.chain [--records N ...]`.

Each size has an empty workspace: records by the generator (49 of 50 repeat a beer, one in 100 is defective) as JSON
lines -> landing/ -> the event -> the state machine `load` -> the ledger, whose difference is 0 -> `retrain` -> the
SageMaker Pipeline -> a registered model. Printed are the seconds of each stage, the most memory of the endpoint with
its Lambdas and jobs, and the exponent with which each stage grows from one size to the next (1: as the records do).
Exit code 1 for a difference, or for a size without a model.
"""

import argparse
import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.support import usage
from localaws.workspace import Workspace
from pipelines.account import executions, retraining, upsert
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.authoring import committed
from pipelines.local import endpoint as local
from pipelines.records import commands, generate

SIZES = [10_000, 100_000]
FULL = [10_000, 100_000, 1_000_000]
REPEATS, DEFECTS = 0.98, 0.01
# A tenth of the trees: the forest's own cost is benchmarks.model's.
PARAMETERS = {"NEstimators": "100"}
ENVIRONMENT = "dev"
POLL_SECONDS = 0.2


class Measured(NamedTuple):
    """seconds: of each stage. gigabytes: of the endpoint's processes."""

    records: int
    seconds: dict[str, float]
    gigabytes: float
    difference: int
    status: str


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chain", description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=SIZES)
    parser.add_argument("--full", action="store_true", help="up to 10^6 records")
    given = parser.parse_args(argv)
    found = [measure(size) for size in (FULL if given.full else given.records)]
    for name in found[0].seconds:
        seconds = "".join(f"{each.seconds[name]:>12.1f}" for each in found)
        print(f"{name:<12}{seconds}   {exponents([each.records for each in found], [e.seconds[name] for e in found])}")
    print("GB          " + "".join(f"{each.gigabytes:>12.2f}" for each in found))
    print("difference  " + "".join(f"{each.difference:>12,}" for each in found))
    print("pipeline    " + "".join(f"{each.status:>12}" for each in found))
    return int(any(each.difference or each.status != "Succeeded" for each in found))


def exponents(sizes: list[int], seconds: list[float]) -> str:
    """The exponent of the time against the records, from each size to the next."""
    pairs = zip(zip(sizes, seconds, strict=True), zip(sizes[1:], seconds[1:], strict=True), strict=False)
    return "  ".join(f"{math.log(after / before) / math.log(more / few):.2f}" for (few, before), (more, after) in pairs)


def measure(size: int) -> Measured:
    """Run the chain once."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "generated.jsonl"
        with timed(seconds, "generate"), dump.open("wb") as file:
            plan = generate.Plan(size, repeats=REPEATS, defects=generate.evenly(DEFECTS))
            file.writelines(record.content + b"\n" for record in generate.records(plan))
        with local.running(Workspace(Path(folder) / "workspace"), keep=False) as endpoint:
            clients = Clients(endpoint)
            names = {"NewDataState": "DISABLED", "MinNewBeers": "0", "MinMinutesBetweenRuns": "0"}
            stacks = Stacks(clients, environment(ENVIRONMENT, {"pipelines": names}))
            with timed(seconds, "deploy"):
                stacks.deploy()
                settings = upsert.settings(clients, stacks)
                upsert.upsert(clients, settings, committed.definition(settings), stacks.environment.tags)
            with usage.tree_peak(endpoint.pid) as peak:
                with timed(seconds, "load"):
                    commands.load(stacks, dump)
                with timed(seconds, "ledger"):
                    difference = commands.account(stacks, None)["difference"]
                status = _train(stacks, seconds)
    print(f"{size:,} records: {sum(seconds.values()):.0f} s", file=sys.stderr)
    return Measured(size, seconds, peak.gigabytes, difference, status)


def _train(stacks: Stacks, seconds: dict[str, float]) -> str:
    """Start `retrain` and wait for the pipeline's end; the snapshot and each step are stages."""
    with timed(seconds, "snapshot"):
        arn = retraining.wait_for_run(stacks, retraining.start(stacks, PARAMETERS))
    done = executions.wait(stacks.clients, arn, lambda text: None, POLL_SECONDS)
    seconds |= {step["name"]: max(step["seconds"], 0.1) for step in done["steps"]}
    return str(done["status"])


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Measure a stage."""
    began = time.monotonic()
    yield
    seconds[name] = time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
