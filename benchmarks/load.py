"""The load run: `python -m benchmarks.load [--records 100000] [--seeds 1]`.

The same records go through the stream, both delivery streams and the real transform twice: once with nothing going
wrong, and once with PutRecords throttled, Lambdas that die, and objects delivered twice. 5 % of the records have a
defect, of every class that the record contract knows. Then the ledger must balance to the record, raw/ must hold every
record, no good record may be lost with a bad neighbour, and after a replay the de-duplicated table must be the same,
byte for byte, as without faults. Exit code 1 when any of that is not so.
"""

import argparse
import base64
import hashlib
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.support.faults import StreamFaults
from benchmarks.support.streams import Streams, transformed_by
from ingestion import record
from ingestion.api import Record
from ingestion.retry import Deadline
from ingestion.stream import Stream
from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.records.generate import Plan, evenly
from pipelines.records.generate import records as generated
from pipelines.records.ledger import ledger, render
from pipelines.records.replay import replay

ROOT = Path(__file__).parent.parent
CLEAN = {f"ingestion/{name}.py": (ROOT / f"ingestion/{name}.py").read_text() for name in ("clean", "record", "metrics")}
CLEAN["ingestion/__init__.py"] = ""

REPEATED, DEFECTIVE = 0.6, 0.05
THROTTLED, DELIVERED_TWICE, BATCHES_CRASHED = 0.25, 0.05, 0.01
BATCH_BYTES = 1024 * 1024

# Dies, as a Lambda out of memory does, whenever one of some records is in its batch.
MORTAL = """
import os
from ingestion import clean

POISON = set(os.environ["POISON"].split())

def handler(event, context):
    if any(each["data"] in POISON for each in event["records"]):
        os._exit(1)
    return clean.handler(event, context)
"""


class Load(NamedTuple):
    """Records in the order they are put, and how many of them are good."""

    records: list[bytes]
    good: int


class Result(NamedTuple):
    """What a run gave. table: SHA-256 of the sorted distinct rows. seconds: from the first put to the last object."""

    table: str
    seconds: float
    throttlings: int


def main() -> int:
    """Run every seed and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=1, help="how often, each time with other records and faults")
    given = parser.parse_args()
    for seed in range(1, given.seeds + 1):
        load = made(given.records, seed)
        calm = run(load, seed, faults=False)
        rough = run(load, seed, faults=True)
        _check(calm.table == rough.table, "the table is the same with and without faults")
        for name, outcome in (("without faults", calm), ("with faults", rough)):
            rate = len(load.records) / outcome.seconds
            print(f"seed {seed} {name:<15} {outcome.seconds:7.1f} s {rate:9,.0f} records/s  {outcome.table[:16]}")
    return 0


def made(count: int, seed: int) -> Load:
    """Generated beers, each delivered several times, and records with every defect among them."""
    plan = Plan(count, seed, repeats=REPEATED, defects=evenly(DEFECTIVE))
    records = [each.content for each in generated(plan)]
    return Load(records, sum(isinstance(record.to_row(each), record.Clean) for each in records))


def run(load: Load, seed: int, *, faults: bool) -> Result:
    """Put everything, deliver it, check it, and with faults replay it and check again."""
    chance = random.Random(seed)
    with _streams() as streams:
        healthy = streams.packaged(CLEAN, "ingestion.clean.handler")
        function = _mortal(streams, load, chance) if faults else healthy
        delimited = {"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]}
        streams.deliver("raw/", seconds=300, CompressionFormat="GZIP", ProcessingConfiguration=delimited)
        streams.deliver("cleaned/", seconds=300, ProcessingConfiguration=transformed_by(function, seconds="60"))
        trouble = StreamFaults(throttled=THROTTLED if faults else 0.0, seed=seed)
        trouble.install(streams.kinesis.meta.events)
        started = time.monotonic()
        Stream(streams.name, Deadline(3600), streams.kinesis).put(Record("key", each) for each in load.records)
        streams.drain()
        seconds = time.monotonic() - started
        if faults:
            _deliver_again(streams, chance)
            _check_ledger(streams, load, replayed=False)
            replay(streams.s3, streams.lambdas, streams.name, healthy)
        _check_raw(streams, load)
        _check_ledger(streams, load, replayed=True)
        return Result(_table(streams), seconds, trouble.throttlings)


@contextmanager
def _streams() -> Iterator[Streams]:
    with tempfile.TemporaryDirectory() as folder, endpoints.running(Workspace(Path(folder)), keep=False) as running:
        yield Streams(running)


def _mortal(streams: Streams, load: Load, chance: random.Random) -> str:
    """A transform that one batch in a hundred kills, by a record that no other batch holds."""
    batches = math.ceil(sum(map(len, load.records)) / BATCH_BYTES)
    unique = [each for each, times in Counter(load.records).items() if times == 1]
    poison = chance.sample(unique, max(1, round(batches * BATCHES_CRASHED)))
    listed = " ".join(base64.b64encode(each).decode() for each in poison)
    return streams.packaged({**CLEAN, "mortal.py": MORTAL}, "mortal.handler", POISON=listed)


def _deliver_again(streams: Streams, chance: random.Random) -> None:
    """A share of the rows and error lines once more in another object, which is what a retry of Firehose leaves."""
    for prefix in ("cleaned/", "errors/"):
        lines = [line for body in streams.bodies(prefix) for line in body.splitlines(keepends=True)]
        again = chance.sample(lines, math.ceil(len(lines) * DELIVERED_TWICE))
        key = next(iter(streams.objects(prefix)))
        streams.s3.put_object(Bucket=streams.name, Key=f"{key}-again", Body=b"".join(again))


def _check_raw(streams: Streams, load: Load) -> None:
    lines = Counter(line for body in streams.bodies("raw/") for line in body.split(b"\n")[:-1])
    _check(lines == Counter(load.records), "raw/ holds every record, each once")


def _check_ledger(streams: Streams, load: Load, *, replayed: bool) -> None:
    account = ledger(streams.s3, streams.name)
    print(render(account), "\n")
    refused = sum(account["dropped"].values()) + sum(account["failed"].values())
    _check(account["accepted"] == len(load.records), "everything put was accepted")
    _check(account["difference"] == account["unexplained"] == 0, "the ledger balances")
    _check(account["accepted"] == account["clean"] + refused, "accepted = clean + dropped + failed")
    if replayed:
        _check(account["clean"] == load.good, "every good record is in the table, also beside bad ones")


def _table(streams: Streams) -> str:
    """The digest of the distinct rows."""
    rows = {line for body in streams.bodies("cleaned/") for line in body.splitlines(keepends=True)}
    return hashlib.sha256(b"".join(sorted(rows))).hexdigest()


def _check(so: bool, claim: str) -> None:
    if not so:
        raise SystemExit(f"not so: {claim}")


if __name__ == "__main__":
    sys.exit(main())
