"""The processing step: splits the rows of the cleaned table into train, validation and test beers.

Run as: `python preprocess.py --input DIR --train DIR --validation DIR --test DIR --quality DIR`.

Each side is one `beers.csv` with a header: the table's columns and `family` (a hash of the gravities, see split.py),
one row per beer, ordered by id, empty where a value is missing. The quality folder holds

- quality.json: the numbers of rows read, of duplicates, and of rows dropped, repaired, emptied or flagged, by reason;
- manifest.json: rows, beers and families per side, SHA-256 of the files, of the input's content and of the split, and
  the parameters.

The input is a snapshot, named by --input-uri: an address whose content never changes. Without that argument it may
be the folders of the live table. The latest row of a beer is used. Neither the order of equal rows nor their number
changes the output, except for `read` and `duplicates` in quality.json.

Rows are read in chunks; what is held in memory is one row per beer. Beyond --max-beers, where training takes more than
minutes and the model outgrows the memory of an endpoint, a sample is used: half, a quarter, ... of the beers. It is
chosen by a hash of the id, so that the same beers are chosen every time.

Exit codes: 0 done, 1 the input cannot make a model, 2 wrong usage.
"""

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from columns import COLUMNS, LONGEST_NAME, RANGES
from latest import Latest, latest_rows
from rows import Row, UnreadableInput, is_live, read_rows
from rules import FEATURES, Beer, Validated, parse, validate
from split import family, side

SIDES = ("train", "validation", "test")
# Reasons of quality.json as an error names them; one about rows of another width and one about a column are made.
PHRASES = {
    "id_not_a_number": "whose id is not a whole number from 1",
    "name_too_long": f"with a name of more than {LONGEST_NAME} characters",
    "ibu_missing": "without a bitterness",
    "ibu_equals_target_og": "with the original gravity in the place of the bitterness",
    "ibu_out_of_range": "with an implausible bitterness",
}
MORE = "deliver more beers, or start the run with a smaller --min-beers"


class Unusable(Exception):
    """No model can be trained from the input. The message has three lines: Error, Where, Try."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"Error: {what}\nWhere: {where}\nTry: {remedy}")


def quality(latest: Latest, validated: list[Validated]) -> dict[str, Any]:
    """The content of quality.json; repairs and flags are counted for the beers that are used."""
    used = [each for each in validated if not each.dropped]
    dropped = latest.unidentified + Counter(each.dropped for each in validated if each.dropped)
    counts: dict[str, Any] = {
        "read": latest.read,
        "duplicates": latest.duplicates,
        "beers": len(validated),
        "used": len(used),
        "dropped": _ordered(dropped),
        "repaired": _ordered(Counter(reason for each in used for reason in each.repaired)),
        "emptied": _ordered(Counter(reason for each in used for reason in each.emptied)),
        "flagged": _ordered(Counter(reason for each in used for reason in each.flagged)),
        "missing": {name: sum(each.beer.numbers[name] is None for each in used) for name in FEATURES},
    }
    return counts if latest.share == 1 else counts | {"sampled_share": latest.share}


def check_usable(beers: list[Beer], least: int, counts: dict[str, Any], where: str) -> None:
    """Raises Unusable when the beers are too few, all equally bitter, or all without some feature."""
    if len(beers) < least:
        what = f"too few beers ({len(beers)} < {least}){_reasons(', left out: ', 'rows', counts['dropped'])}"
        wrong_width = any("columns_instead_of" in reason for reason in counts["dropped"])
        remedy = f"write the rows with the columns {','.join(COLUMNS)}, or with a header" if wrong_width else MORE
        raise Unusable(what, where, remedy)
    if len({beer.ibu for beer in beers}) == 1:
        what = f"every beer has the same bitterness ({beers[0].ibu:g} IBU)"
        raise Unusable(what, where, "correct the column ibu of the cleaned table")
    for name in FEATURES:
        if all(beer.numbers[name] is None for beer in beers):
            found = {
                reason.removeprefix(f"{name}_"): count
                for reason, count in counts["emptied"].items()
                if reason.startswith(f"{name}_")
            }
            what = f"no beer has a value for {name}{_reasons(', emptied: ', 'values', found)}"
            raise Unusable(what, where, f"correct the column {name}; {_expected(name)}")


def _reasons(lead: str, things: str, counts: dict[str, int]) -> str:
    """`, left out: 60 rows with 10 columns instead of 9, 5 rows without a bitterness`; empty without a reason."""
    texts = []
    for reason, count in counts.items():
        words = reason.replace("_", " ")
        phrase = PHRASES.get(reason, f"with {words}" if "columns_instead_of" in reason else words)
        texts.append(f"{count} {things if count > 1 else things[:-1]} {phrase}")
    return lead + ", ".join(texts) if texts else ""


def _expected(name: str) -> str:
    """Which values a column may hold, with its unit where other units are common."""
    low, high = RANGES[name]
    units = {"abv": ", in percent (5.6, not 0.056)"} | dict.fromkeys(
        ("target_fg", "target_og"), ", as specific gravity x 1000 (1050, not 1.050)"
    )
    return f"it holds {low:g} to {high:g}{units.get(name, '')}"


def check_not_live(folder: Path, uri: str) -> None:
    """Raises Unusable when the data at `uri` is the cleaned table itself.

    The table grows under the same address. A model that names it would not identify its training data, and a cached
    step would reuse the result of an older table. Without an address nothing refers to the data, so folders of the
    live table may be read by hand.
    """
    if uri and is_live(folder, uri):
        what = "InputData is the cleaned table itself, which grows under the same address"
        raise Unusable(what, uri, "take a snapshot (python -m pipelines.run --start does) and give its address")


def divide(beers: list[Beer], test_share: float, validation_share: float) -> dict[str, list[tuple[Beer, str]]]:
    """The beers of each side with their families, in the given order. Raises Unusable without train or test beers."""
    sides: dict[str, list[tuple[Beer, str]]] = {name: [] for name in SIDES}
    for beer in beers:
        name = family(beer)
        sides[side(name, test_share, validation_share)].append((beer, name))
    for name in ("train", "test"):  # Training can do without validation beers.
        if not sides[name]:
            families = len({family(beer) for beer in beers})
            what = f"no beer is on the {name} side: families of equal gravities stay together"
            raise Unusable(what, f"{len(beers)} beers of {families} families", "deliver beers of more recipes")
    return sides


def to_csv(beers: list[tuple[Beer, str]]) -> bytes:
    """The content of a side's file: a header, then one line per beer; whole numbers without a decimal point."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "family"])
    for beer, name in beers:
        values: dict[str, object] = {"id": beer.id, "name": beer.name, **beer.numbers}
        writer.writerow([*(_cell(values[column]) for column in COLUMNS), name])
    return text.getvalue().encode()


def manifest(
    sides: dict[str, list[tuple[Beer, str]]],
    files: dict[str, bytes],
    rows: list[Row],
    arguments: argparse.Namespace,
) -> dict[str, object]:
    """The content of manifest.json; equal for equal beers, whatever the order, number and format of their rows."""
    placed = sorted((beer.id, name) for name, members in sides.items() for beer, _ in members)
    parsed = [parse(row) for row in rows]
    content = json.dumps([[beer.id, beer.name, *beer.numbers.values()] for beer in parsed])
    parameters = ("min_beers", "max_beers", "test_share", "validation_share")
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
    """Reads, validates, splits and writes; returns one line with the counts."""
    where = arguments.input_uri or str(arguments.input)
    check_not_live(arguments.input, arguments.input_uri)
    try:
        latest = latest_rows(read_rows(arguments.input), arguments.max_beers)
    except UnreadableInput as error:
        raise Unusable(str(error), where, "write the snapshot again, or remove the file") from None
    validated = [validate(row) for row in latest.rows]
    beers = [each.beer for each in validated if not each.dropped]
    counts = quality(latest, validated)
    check_usable(beers, arguments.min_beers, counts, where)
    sides = divide(beers, arguments.test_share, arguments.validation_share)
    files = {name: to_csv(members) for name, members in sides.items()}
    for name, content in files.items():
        _write(getattr(arguments, name) / "beers.csv", content)
    _write(arguments.quality / "quality.json", _json(counts))
    _write(arguments.quality / "manifest.json", _json(manifest(sides, files, latest.rows, arguments)))
    sizes = ", ".join(f"{len(sides[name])} {name}" for name in SIDES)
    sampled = "" if latest.share == 1 else f" (a sample of {latest.share:.2%}: more than --max-beers)"
    return f"{latest.read} rows, {len(validated)} beers{sampled}, {len(beers)} used: {sizes}"


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    output = Path("/opt/ml/processing/output")
    parser.add_argument("--input", type=Path, default=Path("/opt/ml/processing/input/data"), help="folder of rows")
    for name in (*SIDES, "quality"):
        parser.add_argument(f"--{name}", type=Path, default=output / name, help=f"folder for {name}")
    parser.add_argument("--min-beers", type=int, default=50, help="fewer beers than this end the step with an error")
    parser.add_argument("--max-beers", type=int, default=10_000, help="more beers than this are sampled")
    parser.add_argument("--test-share", type=_share, default=0.1, help="fraction of the families held out for the test")
    parser.add_argument("--validation-share", type=_share, default=0.1, help="fraction for validation")
    parser.add_argument("--cut-off", default="", help="time up to which rows were read; copied into the manifest")
    parser.add_argument("--input-uri", default="", help="address of the input, a snapshot; copied into the manifest")
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
        write_message(arguments.message, str(error))
        return 1
    return 0


def write_message(path: Path, text: str) -> None:
    """Writes the job's exit message, which SageMaker shows; the folder need not exist.

    https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
    """
    try:
        if path.parent.parent.is_dir():  # Not outside a container.
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"Warning: no exit message: {error}", file=sys.stderr)


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
