"""The training step: fits the model on the training beers and writes a folder that can be served as it is.

Run as: `python train.py --train DIR --validation DIR --model-dir DIR`, or by the SageMaker scikit-learn container.

The model folder gets model.npz (the forest's arrays), model.json (everything else, with the SHA-256 of every file),
oof.csv (every training beer as predicted by a fold that has not seen its recipe), neighbours.csv (training beers that
an explanation shows) and code/ (the modules that serve it). Nothing is pickled, and equal input makes equal bytes. The
output folder gets metrics.json. The forest is fitted on the training beers alone; validation beers are for people and
tuners.

Exit codes: 0 done, 1 no model can be trained from the data, 2 wrong usage.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from crossval import LEVEL, OutOfFold, Settings, conformal_offset, fit_forest, out_of_fold
from explain import to_csv
from features import FEATURES, INPUTS, RANGES, column_medians, feature_matrix, fill
from forest import predict_trees, to_bytes
from inference import quartiles_of
from metrics import calibrate, cross_validation_metrics, lines, regression_metrics
from model import ARRAYS, FORMAT, signed

CLASSES: list[dict[str, Any]] = [
    {"name": "low", "below": 20},
    {"name": "moderate", "below": 40},
    {"name": "high", "below": 70},
    {"name": "very_high", "below": None},
]
BOUNDS = [float(each["below"]) for each in CLASSES[:-1]]
SERVED = (
    *("inference.py", "instances.py", "response.py", "capture.py", "model.py"),
    *("columns.py", "features.py", "forest.py", "explain.py"),
)
MOST_NEIGHBOURS = 10_000  # Of the training beers shown beside a prediction; a sample where there are more.


class Unusable(Exception):
    """No model can be trained from the data. The message has three lines: Error, Where, Try."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"Error: {what}\nWhere: {where}\nTry: {remedy}")


def read_beers(folder: Path) -> pd.DataFrame:
    """The beers of every CSV file in the folder, ordered by id; empty when there is none. Raises Unusable."""
    wanted = ["id", "ibu", "family", *INPUTS]
    parts = []
    for path in sorted(folder.glob("*.csv")):
        # Only what is empty is missing: a beer may well be called NA.
        part = pd.read_csv(path, dtype={"name": str, "family": str}, keep_default_na=False, na_values=[""])
        missing = [column for column in wanted if column not in part]
        if missing:
            raise Unusable(f"no column {', '.join(missing)}", str(path), "run the processing step again")
        parts.append(part[wanted])
    beers = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=wanted)
    return beers.sort_values("id", kind="stable", ignore_index=True)


def columns_of(beers: pd.DataFrame) -> dict[str, list[Any]]:
    """The model's inputs as inference gets them: numbers or NaN, text or None."""
    names = [name if isinstance(name, str) else None for name in beers["name"]]
    return {"name": names} | {name: beers[name].astype(float).tolist() for name in RANGES}


def profile(beers: pd.DataFrame) -> dict[str, Any]:
    """The distribution of the training values, per number, for drift and warnings.

    `edges` are the distinct inner deciles; `shares`, of the beers between them, has one entry more; `missing` is the
    share without a value; `low` and `high` are the least and the largest value.
    """
    spread = {}
    for name in ("ibu", *RANGES):
        values = beers[name].astype(float).to_numpy()
        known = values[~np.isnan(values)]
        edges = np.unique(np.quantile(known, np.arange(1, 10) / 10))
        counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
        shares = (counts / len(values)).round(6).tolist()
        spread[name] = {
            "edges": edges.tolist(),
            "shares": shares,
            "missing": round(1 - len(known) / len(values), 6),
            "low": float(known.min()),
            "high": float(known.max()),
        }
    return spread


def out_of_fold_table(beers: pd.DataFrame, result: OutOfFold) -> str:
    """oof.csv: id, family, fold, and the label, estimate, interval and baseline in IBU."""
    table = beers[["id", "family"]].assign(fold=result.fold, ibu=beers["ibu"])
    for name in ("predicted", "low", "high", "baseline"):
        table[name] = getattr(result, name).round(4)
    return str(table.to_csv(index=False, lineterminator="\n"))


def neighbours_table(beers: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns of neighbours.csv; of more than MOST_NEIGHBOURS beers those with the smallest hashes of their ids."""
    order = sorted(range(len(beers)), key=lambda row: hashlib.sha256(str(beers["id"][row]).encode()).hexdigest())
    chosen = beers.iloc[sorted(order[:MOST_NEIGHBOURS])]
    numbers = {name: ["" if value != value else value for value in chosen[name].tolist()] for name in ("ibu", *RANGES)}
    return {"id": chosen["id"].tolist(), "name": chosen["name"].fillna("").tolist(), **numbers}


def train(arguments: argparse.Namespace) -> None:
    """Reads, cross-validates, fits, writes the model folder and prints the metrics. Raises Unusable."""
    beers, validation = read_beers(arguments.train), read_beers(arguments.validation)
    check_usable(beers, arguments.folds, str(arguments.train))
    settings = Settings(**{name: getattr(arguments, name) for name in Settings._fields})
    matrix, label = feature_matrix(columns_of(beers)), beers["ibu"].to_numpy(dtype=float)
    result = out_of_fold(matrix, label, beers["family"].tolist(), arguments.folds, settings, BOUNDS)
    medians = column_medians(matrix)
    forest = fit_forest(fill(matrix, medians), label, settings)

    def measured(members: pd.DataFrame) -> dict[str, float]:
        trees = predict_trees(forest, fill(feature_matrix(columns_of(members)), medians))
        return regression_metrics(members["ibu"].to_numpy(dtype=float), quartiles_of(trees)[:, 1], CLASSES)

    probabilities = calibrate(label, result, BOUNDS)
    families = beers["family"].nunique()
    figures = cross_validation_metrics(label, result, families, CLASSES)
    metrics: dict[str, Any] = {"cv_families": figures | {"ece": probabilities["metrics"]["ece"]}}
    metrics |= {name: measured(side) for name, side in (("train", beers), ("validation", validation)) if len(side)}
    card = describe(beers, medians, conformal_offset(result.scores)) | {
        "probabilities": probabilities,
        "hyperparameters": settings._asdict() | {"folds": arguments.folds},
        "beers": {"train": len(beers), "validation": len(validation), "families": families},
        "metrics": metrics,
    }
    data = {"neighbours.csv": to_csv(neighbours_table(beers)), "oof.csv": out_of_fold_table(beers, result)}
    write_model(arguments.model_dir, card, {ARRAYS: to_bytes(forest)} | {k: v.encode() for k, v in data.items()})
    arguments.output_data_dir.mkdir(parents=True, exist_ok=True)
    (arguments.output_data_dir / "metrics.json").write_text(_json(metrics))
    print("\n".join(lines(metrics)))


def describe(beers: pd.DataFrame, medians: np.ndarray, offset: float) -> dict[str, Any]:
    """The members of model.json that serving and comparison need besides the forest."""
    return {
        "format": FORMAT,
        "features": list(FEATURES),
        "medians": dict(zip(FEATURES, medians.tolist(), strict=True)),
        "target": "log(1 + ibu)",
        "aggregate": "median of the trees",
        "classes": CLASSES,
        "interval": {"level": LEVEL, "offset": offset},
        "profile": profile(beers),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def check_usable(beers: pd.DataFrame, folds: int, where: str) -> None:
    """Raises Unusable when there are too few families to divide, no label, or a feature without any value."""
    families = beers["family"].nunique()
    if families < folds:
        raise Unusable(f"too few families ({families} < {folds} folds)", where, "deliver beers of more recipes")
    if beers["ibu"].isna().any() or beers["ibu"].nunique() < 2:
        raise Unusable("the label ibu is missing or constant", where, "run the processing step again")
    empty = [name for name in RANGES if beers[name].isna().all()]
    if empty:
        raise Unusable(f"no beer has a value for {', '.join(empty)}", where, "run the processing step again")


def write_model(folder: Path, card: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Writes the model folder; model.json holds the SHA-256 of every other file and of itself."""
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "model.json").write_text(_json(signed(card, files)))
    for name in SERVED:
        shutil.copyfile(Path(__file__).with_name(name), code / name)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    folders = (
        ("--train", "SM_CHANNEL_TRAIN", "/opt/ml/input/data/train", "folder of training beers"),
        (
            "--validation",
            "SM_CHANNEL_VALIDATION",
            "/opt/ml/input/data/validation",
            "folder of validation beers, if any",
        ),
        ("--model-dir", "SM_MODEL_DIR", "/opt/ml/model", "folder for the model"),
        ("--output-data-dir", "SM_OUTPUT_DATA_DIR", "/opt/ml/output/data", "folder for metrics.json"),
    )
    for flag, variable, usual, text in folders:
        parser.add_argument(flag, type=Path, default=Path(os.environ.get(variable, usual)), help=text)
    parser.add_argument("--n-estimators", type=_whole(1), default=1000, help="trees")
    parser.add_argument("--max-features", type=_share, default=0.6, help="share of the features tried at each split")
    parser.add_argument("--min-samples-leaf", type=_whole(1), default=1, help="beers in a leaf at least")
    parser.add_argument("--seed", type=_whole(0), default=0, help="of the forest's random numbers")
    parser.add_argument("--folds", type=_whole(2), default=10, help="of the cross-validation")
    return parser.parse_args(values)


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not least <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least}")
        return int(text)

    return whole


def _share(text: str) -> float:
    if not 0 < float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return float(text)


def main(values: list[str] | None = None) -> int:
    """Runs the step and returns its exit code."""
    arguments = parse_arguments(values)
    try:
        train(arguments)
    except Unusable as error:
        print(error, file=sys.stderr)
        write_failure(arguments.output_data_dir.parent / "failure", str(error))
        return 1
    return 0


def write_failure(path: Path, text: str) -> None:
    """Writes the job's failure reason, which SageMaker shows; the folder need not exist.

    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html
    """
    try:
        if path.parent.parent.is_dir():  # Not outside a container.
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"Warning: no failure reason: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
