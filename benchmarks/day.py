"""A day of deliveries in minutes: `python -m benchmarks.day [--objects 288]`.

Firehose writes an object every five minutes, 288 a day, each with a few beers, some of them seen before. Every object's
event starts the state machine `retrain`, which starts a run after 20 new beers. Prints the number of runs, the largest
number allowed, and the smallest number of new beers in a run. Exit code 1 when there were too many runs, a run had
fewer than 20 new beers, or an execution failed.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.support.accounts import GOOD, Account
from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

MIN_NEW_BEERS = 20


def main() -> int:
    """Run the day and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=288, help="deliveries (288, a day of one every five minutes)")
    objects = parser.parse_args().objects
    with (
        tempfile.TemporaryDirectory() as folder,
        endpoints.running(Workspace(Path(folder)), keep=False) as endpoint,
    ):
        parameters = {"MinNewBeers": str(MIN_NEW_BEERS), "MinMinutesBetweenRuns": "0", "NewDataState": "ENABLED"}
        account = Account(Clients(endpoint), **parameters)
        account.upsert(GOOD)
        return day(account, objects)


def day(account: Account, objects: int) -> int:
    """Deliver the objects, wait until the state machine is idle, and count."""
    dice, fresh, began = random.Random(0), 0, time.monotonic()
    for number in range(objects):
        stamp = f"2026-11-20-{number // 12 % 24:02d}-{5 * (number % 12):02d}-00"
        account.deliver(fresh, dice.randint(1, 4), stamp)
        # The next object begins with some of the same beers.
        fresh += dice.randint(0, 3)
    account.settle()
    pages = account.clients.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=account.machine)
    statuses = [each["status"] for page in pages for each in page["executions"]]
    known = [int(account.parameters(run)["DistinctBeers"]) for run in account.runs()]
    steps = [later - earlier for earlier, later in zip([0, *known], known, strict=False)]
    most = fresh // MIN_NEW_BEERS + 1
    failed = len(statuses) - statuses.count("SUCCEEDED")
    print(f"{objects} objects, {len(statuses)} executions ({failed} failed), {fresh} beers and a few more")
    print(f"{len(known)} runs, at most {most}; fewest new beers of a run: {min(steps)}")
    print(f"{time.monotonic() - began:.0f} s")
    return int(failed > 0 or len(known) > most or min(steps) < MIN_NEW_BEERS or len(statuses) != objects)


if __name__ == "__main__":
    sys.exit(main())
