"""The training step: train and validation beers -> a model that can be served as it is.

Run as: `python train.py --train DIR --validation DIR --model-dir DIR`, or by the SageMaker scikit-learn container.

The model folder gets model.npz (the forest's arrays), model.json (all else, with the SHA-256 of model.npz), oof.csv
(every training beer as predicted by a fold that has not seen its recipe) and code/ (what serves it). Nothing is
pickled, and equal input makes equal bytes. The output folder gets metrics.json. The forest is fitted on the training
beers alone; validation beers are for people and tuners to look at.

Exit codes: 0 done, 1 the data cannot make a model, 2 wrong usage.
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
from crossval import LEVEL, OutOfFold, Settings, both_out_of_fold, conformal_offset, fit_forest
from features import FEATURES, INPUTS, RANGES, column_medians, feature_matrix, fill
from forest import to_bytes
from inference import FORMAT, Model, bitterness, estimate

# What train.py prints, as SageMaker's metric definitions: name and regular expression. cv_families is the honest
# cross-validation, by recipe family; cv_beers divides families and flatters; train is the fit to what was learnt.
METRICS = {
    name: rf"{name}=([0-9.]+)"
    for name in (
        "train:mae",
        "validation:mae",
        "validation:rmse",
        "validation:accuracy",
        "cv_families:mae",
        "cv_families:rmse",
        "cv_families:accuracy",
        "cv_families:baseline_mae",
        "cv_families:coverage",
        "cv_families:mean_width",
        "cv_beers:mae",
        "cv_beers:accuracy",
    )
}
CLASSES = (
    {"name": "low", "below": 20},
    {"name": "moderate", "below": 40},
    {"name": "high", "below": 70},
    {"name": "very_high", "below": None},
)
SERVED = ("inference.py", "features.py", "forest.py")


class Unusable(Exception):
    """The data cannot make a model: what is wrong, where, and what to try."""

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


def regression_metrics(label: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Errors in IBU and the share of beers whose bitterness class is right."""
    error = np.abs(predicted - label)
    right = [bitterness(a, CLASSES) == bitterness(b, CLASSES) for a, b in zip(label, predicted, strict=True)]
    return {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "median_absolute_error": float(np.median(error)),
        "accuracy": float(np.mean(right)),
    }


def cross_validation_metrics(label: np.ndarray, result: OutOfFold, groups: int) -> dict[str, float]:
    """The figures of one cross-validation, with the median of the labels as the baseline."""
    covered = (result.low <= label) & (label <= result.high)
    return regression_metrics(label, result.predicted) | {
        "baseline_mae": float(np.abs(result.baseline - label).mean()),
        "coverage": float(covered.mean()),
        "mean_width": float((result.high - result.low).mean()),
        "n": len(label),
        "groups": groups,
        "folds": int(result.fold.max()) + 1,
    }


def profile(beers: pd.DataFrame) -> dict[str, Any]:
    """How the training values are spread, per number: deciles and the share of beers in each part and missing.

    What drift is measured against. `edges` are the distinct inner deciles; `shares` has one entry more than edges.
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
        }
    return spread


def out_of_fold_table(beers: pd.DataFrame, result: OutOfFold) -> str:
    """oof.csv: id, family, fold, and the label, estimate, interval and baseline in IBU."""
    table = beers[["id", "family"]].assign(fold=result.fold, ibu=beers["ibu"])
    for name in ("predicted", "low", "high", "baseline"):
        table[name] = getattr(result, name).round(4)
    return str(table.to_csv(index=False, lineterminator="\n"))


def train(arguments: argparse.Namespace) -> None:
    """Reads, cross-validates, fits, writes the model folder and prints the metrics. Raises Unusable."""
    beers, validation = read_beers(arguments.train), read_beers(arguments.validation)
    check_usable(beers, arguments.folds, str(arguments.train))
    settings = Settings(**{name: getattr(arguments, name) for name in Settings._fields})
    matrix, label = feature_matrix(columns_of(beers)), beers["ibu"].to_numpy(dtype=float)

    # Hashed, so that neighbours in the catalogue do not share a fold by their numbers.
    single = [hashlib.sha256(str(key).encode()).hexdigest() for key in beers["id"]]
    grouped, ungrouped = both_out_of_fold(matrix, label, (beers["family"].tolist(), single), arguments.folds, settings)
    medians = column_medians(matrix)
    forest = fit_forest(fill(matrix, medians), label, settings)

    card = describe(beers, medians, conformal_offset(grouped.scores))
    card["hyperparameters"] = settings._asdict() | {"folds": arguments.folds}
    card["beers"] = {"train": len(beers), "validation": len(validation), "families": beers["family"].nunique()}
    card["metrics"] = {
        "cv_families": cross_validation_metrics(label, grouped, beers["family"].nunique()),
        "cv_beers": cross_validation_metrics(label, ungrouped, len(beers)),
    }
    model = Model(forest, medians, card)
    for side, members in (("train", beers), ("validation", validation)):
        if len(members):
            estimates, _, _ = estimate(columns_of(members), model)
            card["metrics"][side] = regression_metrics(members["ibu"].to_numpy(dtype=float), estimates)
    write_model(arguments.model_dir, model, out_of_fold_table(beers, grouped))
    arguments.output_data_dir.mkdir(parents=True, exist_ok=True)
    (arguments.output_data_dir / "metrics.json").write_text(_json(card["metrics"]))
    report(card["metrics"])


def describe(beers: pd.DataFrame, medians: np.ndarray, offset: float) -> dict[str, Any]:
    """What serving and comparing need to know besides the forest, as model.json holds it."""
    return {
        "format": FORMAT,
        "features": list(FEATURES),
        "medians": dict(zip(FEATURES, medians.tolist(), strict=True)),
        "target": "log(1 + ibu)",
        "aggregate": "median of the trees",
        "classes": list(CLASSES),
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
        raise Unusable(f"too few families ({families} < {folds} folds)", where, "collect more beers, or lower --folds")
    if beers["ibu"].isna().any() or beers["ibu"].nunique() < 2:
        raise Unusable("the label ibu is missing or constant", where, "run the processing step again")
    empty = [name for name in RANGES if beers[name].isna().all()]
    if empty:
        raise Unusable(f"no beer has a value for {', '.join(empty)}", where, "run the processing step again")


def write_model(folder: Path, model: Model, out_of_fold: str) -> None:
    """Writes the model folder; model.json vouches for model.npz with its SHA-256."""
    content = to_bytes(model.forest)
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    (folder / "model.npz").write_bytes(content)
    (folder / "model.json").write_text(_json(model.card | {"sha256": hashlib.sha256(content).hexdigest()}))
    (folder / "oof.csv").write_text(out_of_fold)
    for name in SERVED:
        shutil.copyfile(Path(__file__).with_name(name), code / name)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def report(metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Prints the lines that METRICS matches, in IBU or as shares."""
    for metric in METRICS:
        part, name = metric.split(":")
        if part in metrics:
            print(f"{metric}={metrics[part][name]:.4f}")


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
    parser.add_argument("--n-estimators", type=_whole(1), default=200, help="trees")
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
        output = arguments.output_data_dir.parent
        if output.is_dir():  # SageMaker shows /opt/ml/output/failure as the job's failure reason.
            (output / "failure").write_text(str(error), encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
