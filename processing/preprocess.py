"""The processing step: rows of the cleaned table -> train, validation and test beers, and what was done to them.

Run as: `python preprocess.py --input DIR --train DIR --validation DIR --test DIR --quality DIR`.

Each side is one `beers.csv` with a header: the table's nine columns and `family` (the hash of the recipe, see
split.py), one row per beer, ordered by id, empty where a value is missing. The quality folder holds

- quality.json: how many rows were read, were duplicates, and were dropped, repaired, emptied or flagged, by reason;
- manifest.json: what came out: rows, beers and families per side, SHA-256 of the files, of the input's content and of
  the split, and the parameters.

The input is a snapshot, named by --input-uri: an address whose content stays as it is. Without that argument it may
be the live table's own folders. The latest row of a beer counts. Neither the order of equal rows nor their number
changes the output, except for `read` and `duplicates` in quality.json.

Exit codes: 0 done, 1 the input cannot make a model, 2 wrong usage.
"""

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rows import COLUMNS, Row, UnreadableInput, is_live, read_rows
from rules import FEATURES, Beer, Verdict, identity, judge, parse
from split import family, side

SIDES = ("train", "validation", "test")


class Unusable(Exception):
    """The input cannot make a model: what is wrong, where, and what to try."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"Error: {what}\nWhere: {where}\nTry: {remedy}")


class Latest(NamedTuple):
    """The latest row per beer, ordered by id, and the counts of what was read."""

    rows: list[Row]
    read: int
    duplicates: int
    unidentified: Counter[str]


def latest_rows(rows: Iterable[Row]) -> Latest:
    """Keeps the last row of every id; `rows` come oldest first."""
    latest: dict[int, Row] = {}
    read = 0
    unidentified: Counter[str] = Counter()
    for row in rows:
        read += 1
        key = identity(row)
        if key is None:
            unidentified["id_not_a_number" if row else "malformed_row"] += 1
        else:
            latest[key] = row
    duplicates = read - len(latest) - unidentified.total()
    return Latest([latest[key] for key in sorted(latest)], read, duplicates, unidentified)


def quality(latest: Latest, verdicts: list[Verdict]) -> dict[str, object]:
    """The counts behind quality.json; repairs and flags are counted for kept beers only."""
    kept = [verdict for verdict in verdicts if not verdict.dropped]
    dropped = latest.unidentified + Counter(verdict.dropped for verdict in verdicts if verdict.dropped)
    return {
        "read": latest.read,
        "duplicates": latest.duplicates,
        "beers": len(verdicts),
        "kept": len(kept),
        "dropped": _ordered(dropped),
        "repaired": _ordered(Counter(reason for verdict in kept for reason in verdict.repaired)),
        "emptied": _ordered(Counter(reason for verdict in kept for reason in verdict.emptied)),
        "flagged": _ordered(Counter(reason for verdict in kept for reason in verdict.flagged)),
        "missing": {name: sum(getattr(verdict.beer, name) is None for verdict in kept) for name in FEATURES},
    }


def check_usable(beers: list[Beer], least: int, where: str) -> None:
    """Raises Unusable when the beers are too few, all equally bitter, or all without some feature."""
    if len(beers) < least:
        raise Unusable(f"too few beers ({len(beers)} < {least})", where, "collect more beers, or lower --min-beers")
    if len({beer.ibu for beer in beers}) == 1:
        what = f"every beer has the same bitterness ({beers[0].ibu:g} IBU)"
        raise Unusable(what, where, "look at the column ibu of the cleaned table")
    for name in FEATURES:
        if all(getattr(beer, name) is None for beer in beers):
            raise Unusable(f"no beer has a value for {name}", where, f"look at the column {name} of the cleaned table")


def check_still(folder: Path, uri: str) -> None:
    """Raises Unusable when what lies at `uri` is the cleaned table itself.

    It grows under the same address, so a model that names the address would not say what it has learnt from, and a
    cached step would go on answering with yesterday's beers. Without an address nothing refers to it: a folder of
    the live table may be read by hand.
    """
    if uri and is_live(folder, uri):
        what = "InputData is the cleaned table itself, which grows under the same address"
        raise Unusable(what, uri, "take a snapshot (python -m pipelines.run --start does) and give its address")


def divide(beers: list[Beer], test_share: float, validation_share: float) -> dict[str, list[tuple[Beer, str]]]:
    """The beers of each side with their families, in the given order. Raises Unusable when a side is empty."""
    sides: dict[str, list[tuple[Beer, str]]] = {name: [] for name in SIDES}
    for beer in beers:
        name = family(beer)
        sides[side(name, test_share, validation_share)].append((beer, name))
    shares = {"train": 1 - test_share - validation_share, "validation": validation_share, "test": test_share}
    for name, share in shares.items():
        if share > 0 and not sides[name]:
            what = f"no beer fell on the {name} side"
            raise Unusable(what, f"{len(beers)} beers", f"collect more beers, or raise the share of {name}")
    return sides


def to_csv(beers: list[tuple[Beer, str]]) -> bytes:
    """The side as it is written: a header, then one line per beer; whole numbers without a decimal point."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "family"])
    for beer, name in beers:
        writer.writerow([*map(_cell, beer), name])
    return text.getvalue().encode()


def manifest(
    sides: dict[str, list[tuple[Beer, str]]],
    files: dict[str, bytes],
    rows: list[Row],
    arguments: argparse.Namespace,
) -> dict[str, object]:
    """What came out and from what; equal for equal beers, whatever the order, number and format of their rows."""
    placed = sorted((beer.id, name) for name, members in sides.items() for beer, _ in members)
    content = json.dumps([parse(row) for row in rows])
    parameters = ("min_beers", "test_share", "validation_share")
    return {
        "parameters": {name: getattr(arguments, name) for name in parameters},
        "input": {
            "uri": arguments.input_uri,
            "cut_off": arguments.cut_off,
            "beers": len(rows),
            "sha256": _sha256(content.encode()),
        },
        "split": {"sha256": _sha256(json.dumps(placed).encode())},
        "sides": {
            name: {
                "rows": len(members),
                "beers": len({beer.id for beer, _ in members}),
                "families": len({group for _, group in members}),
                "sha256": _sha256(files[name]),
            }
            for name, members in sides.items()
        },
    }


def preprocess(arguments: argparse.Namespace) -> str:
    """Reads, judges, divides and writes; returns one line that says what came out."""
    where = arguments.input_uri or str(arguments.input)
    check_still(arguments.input, arguments.input_uri)
    try:
        latest = latest_rows(read_rows(arguments.input))
    except UnreadableInput as error:
        raise Unusable(str(error), where, "write the snapshot again, or remove the file") from None
    verdicts = [judge(row) for row in latest.rows]
    beers = [verdict.beer for verdict in verdicts if not verdict.dropped]
    check_usable(beers, arguments.min_beers, where)
    sides = divide(beers, arguments.test_share, arguments.validation_share)
    files = {name: to_csv(members) for name, members in sides.items()}
    for name, content in files.items():
        _write(getattr(arguments, name) / "beers.csv", content)
    counts = quality(latest, verdicts)
    _write(arguments.quality / "quality.json", _json(counts))
    _write(arguments.quality / "manifest.json", _json(manifest(sides, files, latest.rows, arguments)))
    sizes = ", ".join(f"{len(sides[name])} {name}" for name in SIDES)
    return f"{latest.read} rows, {len(verdicts)} beers, {len(beers)} kept: {sizes}"


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    output = Path("/opt/ml/processing/output")
    parser.add_argument("--input", type=Path, default=Path("/opt/ml/processing/input/data"), help="folder of rows")
    for name in (*SIDES, "quality"):
        parser.add_argument(f"--{name}", type=Path, default=output / name, help=f"folder for {name}")
    parser.add_argument("--min-beers", type=int, default=50, help="fewer beers than this make no model")
    parser.add_argument("--test-share", type=_share, default=0.2, help="fraction of the families kept for the test")
    parser.add_argument("--validation-share", type=_share, default=0.1, help="fraction for validation")
    parser.add_argument("--cut-off", default="", help="time up to which rows were read; carried into the manifest")
    parser.add_argument("--input-uri", default="", help="address of the input, a snapshot; carried into the manifest")
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="file for the failure")
    arguments = parser.parse_args(values)
    if arguments.test_share + arguments.validation_share >= 1:
        parser.error("--test-share and --validation-share together must be below 1")
    return arguments


def main(values: list[str] | None = None) -> int:
    """Runs the step and returns its exit code."""
    arguments = parse_arguments(values)
    try:
        print(preprocess(arguments))
    except Unusable as error:
        print(error, file=sys.stderr)
        if arguments.message.parent.is_dir():  # Shown by SageMaker as the job's exit message.
            arguments.message.write_text(str(error))
        return 1
    return 0


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


def _cell(value: object) -> object:
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    return "" if value is None else value


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
