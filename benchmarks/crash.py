"""Kills without end: `python -m benchmarks.crash --kills 200`.

A small pipeline is started, its endpoint is killed (SIGKILL) at a named point or at a random moment, a restarted
endpoint resumes it, and is killed again, until it has ended. Then what it made must equal, hash for hash, what an
undisturbed run made; no finished step may have been run again, no package lost or registered twice, no process left.
Prints a table of the kills by where they struck; exit code 1 on the first thing that is wrong.
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

from benchmarks.support.crash import POINTS, Victim, build, made, resume, wait_for_no_orphans
from benchmarks.support.definitions import Execution, Project
from localaws.workspace import Workspace
from pipelines.cli.errors import ExpectedError

# A run takes about this long; random kills strike within it.
RUN_SECONDS = 1.5
KILLS_PER_RUN = 4


def main() -> int:
    """Kill as often as asked, and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="how many (40)")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the moments (0)")
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
                    raise AssertionError("the resumed run made something else than the undisturbed one")
                runs += 1
        finally:
            victim.down()
    for name, count in sorted(struck.items()):
        print(f"{name:<24} {count:>5}")
    print(f"{struck.total()} kills in {runs} runs, {time.monotonic() - began:.0f} s: nothing lost, nothing done twice")
    return 0


def moments(chance: random.Random) -> Iterator[str]:
    """Where to kill: every named point in turn, and as often at random."""
    while True:
        for point in chance.sample(POINTS, len(POINTS)):
            yield point
            yield "random"


def whole_run(victim: Victim) -> dict[str, str]:
    """What an undisturbed run makes."""
    project = Project(victim.up().clients)
    build(project)
    result = made(project, project.start().wait())
    victim.down()
    return result


def run_with_kills(victim: Victim, where: Iterator[str], struck: "collections.Counter[str]") -> dict[str, str]:
    """What a run makes that is killed some times before its end."""
    project = Project(victim.up().clients)
    build(project)
    victim.down()
    token, arn = random.randbytes(16).hex(), ""
    for _ in range(KILLS_PER_RUN):
        point = next(where)
        try:
            victim.up("" if point == "random" else point)
        except ExpectedError:
            # What an earlier kill left undone is made good at the start, which passes points too.
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


def until_it_ends(victim: Victim, arn: str) -> None:
    """Follow the run, resuming it first when it was interrupted."""
    run = Execution(victim.clients, arn)
    if run.status == "Failed":
        resume(victim, run)
    run.wait()


if __name__ == "__main__":
    sys.exit(main())
