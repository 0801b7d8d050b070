"""The scoring job: an approved model's answer to every row of a snapshot of the cleaned table.

Run as: `python score.py --model DIR --data DIR --output DIR --sha256 HEX --model-version N --cut-off TIME`.

The artifact's SHA-256 is verified before anything of it is unpacked. predictions.parquet has the snapshot's columns
and, per row, `predicted`, `low`, `high` (IBU) and `class`, `actual` and `actual_class` of the label, `error` where the
row cannot be answered, `model_version`, `cut_off` and `scored_at` (UTC). The output holds the complete file or none.

Exit codes: 0 scored; 1 the model or the data is unusable; 2 wrong usage.
"""

import argparse
import datetime
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from analysis import class_index
from artifact import AT_ONCE, BrokenArtifact, Served, UnsafeArtifact, digest, find_archive, load
from failure import Unusable, exit_code

FILE = "predictions.parquet"
Row = dict[str, Any]


def score(arguments: argparse.Namespace, scratch: Path) -> Counter[str]:
    """Writes predictions.parquet; returns the number of rows by class, "error" for those without an answer.

    Raises Unusable.
    """
    import pyarrow
    import pyarrow.parquet

    model = verified(arguments.model, arguments.sha256, scratch / "model")
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)
    constants = {"model_version": arguments.model_version, "cut_off": arguments.cut_off, "scored_at": now}
    counts: Counter[str] = Counter()
    writer = None
    try:
        for batch in read(arguments.data):
            schema = schema_of(batch.schema)
            rows = [row | constants for row in answered(model, batch.to_pylist())]
            writer = writer or pyarrow.parquet.ParquetWriter(scratch / FILE, schema)
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            counts.update(row["class"] or "error" for row in rows)
    except (BrokenArtifact, pyarrow.ArrowException, OSError) as error:
        raise Unusable(f"the rows cannot be scored: {error}", str(arguments.data), "read the job's log") from None
    if writer is None:
        raise Unusable("the snapshot has no row", str(arguments.data), "collect beers first")
    writer.close()
    arguments.output.mkdir(parents=True, exist_ok=True)
    shutil.move(scratch / FILE, arguments.output / FILE)
    return counts


def verified(folder: Path, sha256: str, scratch: Path) -> Served:
    """The model in the folder, loaded after its artifact's digest is verified. Raises Unusable."""
    archive = find_archive(folder)
    if archive is None:
        raise Unusable("there is no model.tar.gz", str(folder), "name the approved model's artifact as input")
    if digest(archive) != sha256:
        what = f"the artifact is not the one that was evaluated: SHA-256 {digest(archive)} instead of {sha256}"
        raise Unusable(what, str(folder), "approve a version whose artifact is unchanged")
    try:
        return load(archive, scratch)
    except (UnsafeArtifact, BrokenArtifact) as error:
        raise Unusable(f"the model is unusable: {error}", str(folder), "approve another version") from None


def read(folder: Path) -> Iterator[Any]:
    """Record batches of at most AT_ONCE rows of the Parquet files in the folder."""
    import pyarrow.parquet

    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(("_", "."))):
        yield from pyarrow.parquet.ParquetFile(path).iter_batches(AT_ONCE)


def schema_of(snapshot: Any) -> Any:
    """The schema of predictions.parquet for a snapshot's."""
    import pyarrow

    number, text, time = pyarrow.float64(), pyarrow.string(), pyarrow.timestamp("ms")
    added = {
        **dict.fromkeys(("predicted", "low", "high", "actual"), number),
        **dict.fromkeys(("class", "actual_class", "error", "cut_off"), text),
        "model_version": pyarrow.int64(),
        "scored_at": time,
    }
    return pyarrow.schema([*snapshot, *(pyarrow.field(name, kind) for name, kind in added.items())])


def answered(model: Served, rows: list[Row]) -> Iterator[Row]:
    """Each row with the model's answer beside its label."""
    classes = model.card["classes"]
    predictions = model.ask(rows)
    if len(predictions) != len(rows):
        raise BrokenArtifact(f"{len(predictions)} predictions for {len(rows)} rows")
    for row, prediction in zip(rows, predictions, strict=True):
        yield row | {
            "predicted": prediction.get("ibu"),
            "actual": row.get("ibu"),
            "actual_class": class_of(row.get("ibu"), classes),
            **{name: prediction.get(name) for name in ("low", "high", "class", "error")},
        }


def class_of(ibu: float | None, classes: list[Mapping[str, Any]]) -> str | None:
    """The bitterness class of a label; None without one."""
    if ibu is None:
        return None
    return str(classes[int(class_index(np.array([ibu]), classes)[0])]["name"])


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    base = Path("/opt/ml/processing")
    parser.add_argument("--model", type=Path, default=base / "input/model", help="folder of model.tar.gz")
    parser.add_argument("--data", type=Path, default=base / "input/data", help="folder of the snapshot, Parquet")
    parser.add_argument("--output", type=Path, default=base / "output/predictions", help="folder for the predictions")
    parser.add_argument("--sha256", required=True, help="the artifact's recorded digest, verified before use")
    parser.add_argument("--model-version", type=int, required=True, help="version of the model package")
    parser.add_argument("--cut-off", default="", help="newest delivery in the snapshot")
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="file for the failure")
    return parser.parse_args(values)


def scored(arguments: argparse.Namespace, scratch: Path) -> str:
    """Scores the snapshot; returns the number of beers by class in words. Raises Unusable."""
    counts = score(arguments, scratch)
    return f"{counts.total()} beers: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}"


def main(values: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    return exit_code(scored, parse_arguments(values))


if __name__ == "__main__":
    sys.exit(main())
