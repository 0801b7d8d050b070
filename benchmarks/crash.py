"""Kill the endpoint again and again: `python -m benchmarks.crash --kills 200 --stacks 20`.

A small pipeline runs, its endpoint is killed (SIGKILL) at a crash point or at a random moment, a restarted endpoint
resumes it, and is killed again, until the run has ended. Its artifacts must equal those of an undisturbed run, hash for
hash; no finished step may run again, no package may be lost or registered twice, no process may be left. Then the
endpoint is killed while an environment's stacks are made; after each kill the deployment is repeated and must succeed,
and so must a run of `retrain`. Prints the kills by crash point; exit code 1 on the first fault.
"""

import argparse
import collections
import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import botocore.exceptions

from benchmarks.support.accounts import GOOD, Account
from benchmarks.support.crash import POINTS, Victim, build, made, resume, wait_for_no_orphans
from benchmarks.support.definitions import Execution, Project
from localaws.errors import ExpectedError
from localaws.workspace import Workspace

# A run takes about this long; random kills strike within it.
RUN_SECONDS = 1.5
KILLS_PER_RUN = 4
# An environment's stacks take about this long.
DEPLOY_SECONDS = 3.0


def main() -> int:
    """Kill as often as asked, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="how many (40)")
    parser.add_argument("--stacks", type=int, default=10, help="how many more while stacks are made (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the crash points' order and of the moments (0)")
    given = parser.parse_args()
    struck: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        victim = Victim(Workspace(Path(folder) / "workspace"))
        try:
            undisturbed = whole_run(victim)
            where = moments(random.Random(given.seed))
            runs = 0
            while struck.total() < given.kills:
                if run_with_kills(victim, where, struck) != undisturbed:
                    raise AssertionError("the artifacts of the resumed run differ from those of the undisturbed run")
                runs += 1
            moment = random.Random(given.seed)
            for number in range(given.stacks):
                kill_a_deployment(victim, f"kill{number}", moment.uniform(0.0, DEPLOY_SECONDS))
                struck["stacks"] += 1
        finally:
            victim.down()
    for name, count in sorted(struck.items()):
        print(f"{name:<24} {count:>5}")
    print(f"{struck.total()} kills in {runs} runs, {time.monotonic() - began:.0f} s: nothing lost, nothing repeated")
    return 0


def moments(chance: random.Random) -> Iterator[str]:
    """Where to kill: every crash point in turn, and as often at random."""
    while True:
        for point in chance.sample(POINTS, len(POINTS)):
            yield point
            yield "random"


def whole_run(victim: Victim) -> dict[str, str]:
    """The artifacts of an undisturbed run."""
    project = Project(victim.up().clients)
    build(project)
    result = made(project, project.start().wait())
    victim.down()
    return result


def run_with_kills(victim: Victim, where: Iterator[str], struck: "collections.Counter[str]") -> dict[str, str]:
    """The artifacts of a run that is killed several times before its end."""
    project = Project(victim.up().clients)
    build(project)
    victim.down()
    token, arn = random.randbytes(16).hex(), ""
    for _ in range(KILLS_PER_RUN):
        point = next(where)
        try:
            victim.up("" if point == "random" else point)
        except ExpectedError:
            # The start finishes what an earlier kill left, and passes crash points meanwhile.
            if point == "random":
                raise
            struck[point] += 1
            continue
        project.clients = victim.clients
        timer = threading.Timer(random.uniform(0.0, RUN_SECONDS), victim.kill) if point == "random" else None
        if timer:
            timer.start()
        with contextlib.suppress(botocore.exceptions.BotoCoreError):
            arn = arn or project.start(ClientRequestToken=token).arn
            until_it_ends(victim, arn)
        if timer:
            timer.join()
        if victim.down() == -signal.SIGKILL:
            struck[point] += 1
        wait_for_no_orphans(victim.workspace.jobs)
    victim.up()
    project.clients = victim.clients
    run = Execution(victim.clients, arn or project.start(ClientRequestToken=token).arn).wait()
    resume(victim, run)
    result = made(project, run)
    assert len(project.packages()) == 1, "a package was lost or registered twice"
    victim.down()
    return result


def kill_a_deployment(victim: Victim, name: str, seconds: float) -> None:
    """Kill the endpoint so many seconds after an environment's deployment began, then repeat the deployment."""
    victim.up()
    timer = threading.Timer(seconds, victim.kill)
    timer.start()
    with contextlib.suppress(botocore.exceptions.BotoCoreError, ExpectedError):
        Account(victim.clients, name).stacks.deploy()
    timer.join()
    victim.up()
    account = Account(victim.clients, name)
    account.stacks.deploy()
    account.upsert(GOOD)
    account.deliver(0, 60)
    status, outcome = account.run(force=True)
    assert status == "SUCCEEDED", outcome
    account.remove()
    victim.down()


def until_it_ends(victim: Victim, arn: str) -> None:
    """Wait for the run's end, after resuming it if it was interrupted."""
    run = Execution(victim.clients, arn)
    if run.status == "Failed":
        resume(victim, run)
    run.wait()


if __name__ == "__main__":
    sys.exit(main())
