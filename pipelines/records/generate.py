"""Generated records: beers as JSON lines, repeated ones and defective ones among them, in any number."""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

from localaws.errors import ExpectedError
from pipelines.cli.output import Document
from pipelines.records.beers import beer
from pipelines.records.defects import DEFECTS, encode


class Plan(NamedTuple):
    """What is generated: `total` records of the beers of the ids `first`, `first` + 1, ...; shares of the records.

    repeats: records that deliver an earlier beer again, so that there are fewer beers than records. defects: defective
    records by reason.
    """

    total: int
    seed: int = 0
    first: int = 1
    repeats: float = 0.0
    defects: Mapping[str, float] = {}


class Record(NamedTuple):
    """The bytes of a record, without a line break, and its defect, or None."""

    content: bytes
    defect: str | None


def evenly(rate: float) -> dict[str, float]:
    """Every defect with the same share, `rate` in all."""
    return dict.fromkeys(DEFECTS, rate / len(DEFECTS))


def records(plan: Plan) -> Iterator[Record]:
    """The records of a plan, one by one; equal for equal plans."""
    chance = random.Random(f"{plan.seed} {plan.first}")
    reasons, shares = list(plan.defects), list(plan.defects.values())
    defective = sum(shares)
    following = plan.first
    for _ in range(plan.total):
        if plan.repeats and following > plan.first and chance.random() < plan.repeats:
            number = chance.randrange(plan.first, following)
        else:
            number, following = following, following + 1
        sound = beer(plan.seed, number)
        if defective and chance.random() < defective:
            reason = chance.choices(reasons, shares)[0]
            yield Record(chance.choice(DEFECTS[reason])(sound), reason)
        else:
            yield Record(encode(sound).encode(), None)


def add_flags(command: argparse.ArgumentParser) -> None:
    """The flags of `python -m pipelines.records generate`."""
    command.add_argument("--count", type=_whole, default=1000, metavar="N", help="records (1000)")
    command.add_argument("--seed", type=_whole, default=0, metavar="N", help="equal seeds give equal records (0)")
    command.add_argument("--first", type=_whole, default=1, metavar="ID", help="the first beer's id (1)")
    command.add_argument(
        "--repeats", type=_share, default=0.0, metavar="RATE", help="share of records that repeat a beer (0)"
    )
    command.add_argument(
        "--defects", type=_share, default=0.0, metavar="RATE", help="share of defective records, of all reasons (0)"
    )
    command.add_argument(
        "--defect",
        type=_defect,
        action="append",
        default=[],
        metavar="REASON=RATE",
        help="share with this defect, such as ph_out_of_range=0.01; may be given several times",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="file for the JSON lines (default: standard output)")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return int(text)


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return float(text)


def _defect(text: str) -> tuple[str, float]:
    reason, _, rate = text.partition("=")
    if reason not in DEFECTS:
        raise argparse.ArgumentTypeError(f"{reason} is none of {', '.join(DEFECTS)}")
    return reason, _share(rate)


def run(given: argparse.Namespace) -> Document:
    """Write the records; {"records", "bytes", "sound", "defects": {reason: count}}. Raises ExpectedError."""
    shares = Counter(evenly(given.defects) if given.defects else {})
    for reason, share in given.defect:
        shares[reason] += share
    plan = Plan(given.count, given.seed, given.first, given.repeats, shares)
    try:
        with given.out.open("wb") if given.out else nullcontext(sys.stdout.buffer) as file:
            size, counts = _write(plan, file)
    except BrokenPipeError:  # The reader of standard output has ended.
        raise
    except OSError as error:
        hint = "give a file that can be written with --out"
        raise ExpectedError(f"cannot write: {error}", where=str(given.out or "stdout"), hint=hint) from error
    sound = counts.pop(None, 0)
    return {"records": plan.total, "bytes": size, "sound": sound, "defects": dict(counts.most_common())}


def _write(plan: Plan, file: BinaryIO) -> tuple[int, Counter[str | None]]:
    """Writes the lines; returns the bytes and the records by defect."""
    counts: Counter[str | None] = Counter()
    size = 0
    for each in records(plan):
        size += file.write(each.content + b"\n")
        counts[each.defect] += 1
    return size, counts


def text(result: Document) -> str:
    """A result for people."""
    lines = [f"{result['records']:,} records, {result['bytes']:,} bytes: {result['sound']:,} sound"]
    return "\n".join([*lines, *(f"  {count:>9,} {reason}" for reason, count in result["defects"].items())])
