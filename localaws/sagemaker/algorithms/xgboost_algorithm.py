"""AWS's XGBoost algorithm as a script: `python3 xgboost_algorithm.py /opt/ml 1.5`.

Reads input/config and the channels train and validation, prints the metrics of every round, and writes
model/xgboost-model: pickled for images before 1.3, in XGBoost's own format from 1.3 on.
https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html
"""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html
INTEGERS = [
    "csv_weights",
    "early_stopping_rounds",
    "max_bin",
    "max_depth",
    "max_leaves",
    "nthread",
    "num_class",
    "num_parallel_tree",
    "num_round",
    "one_drop",
    "refresh_leaf",
    "seed",
    "verbosity",
    "prob_buffer_row",
    "silent",
    "max_delta_step",
]
FLOATS = [
    "alpha",
    "base_score",
    "colsample_bylevel",
    "colsample_bynode",
    "colsample_bytree",
    "eta",
    "gamma",
    "huber_slope",
    "lambda",
    "lambda_bias",
    "min_child_weight",
    "rate_drop",
    "scale_pos_weight",
    "sketch_eps",
    "skip_drop",
    "subsample",
    "tweedie_variance_power",
    "aft_loss_distribution_scale",
]
TEXTS = [
    "booster",
    "eval_metric",
    "grow_policy",
    "interaction_constraints",
    "monotone_constraints",
    "normalize_type",
    "objective",
    "process_type",
    "sample_type",
    "tree_method",
    "updater",
    "predictor",
    "dsplit",
    "aft_loss_distribution",
    "seed_per_iteration",
    "deterministic_histogram",
    "single_precision_histogram",
    "save_model_on_termination",
    "use_dask_gpu_training",
    "_tuning_objective_metric",
]
# XGBoost 3 has them no longer, or has them under another name.
GONE = set(
    [
        "sketch_eps",
        "predictor",
        "dsplit",
        "silent",
        "prob_buffer_row",
        "deterministic_histogram",
        "single_precision_histogram",
        "save_model_on_termination",
        "use_dask_gpu_training",
        "lambda_bias",
    ]
)
RENAMED = {"reg:linear": "reg:squarederror", "gpu_hist": "hist"}
# Hyperparameters of this program, which are not passed on to XGBoost.
OURS = {"num_round", "early_stopping_rounds", "csv_weights", "eval_metric", "_tuning_objective_metric"}
CSV, LIBSVM, PARQUET = ("text/csv", "csv"), ("text/libsvm", "text/x-libsvm", "libsvm"), ("application/x-parquet",)


class UserError(Exception):
    """Wrong data or hyperparameters; the text is the job's failure reason."""


def hyperparameters(given: dict[str, str]) -> dict[str, Any]:
    """The hyperparameters with their types; UserError for one that is unknown, missing or not of its type."""
    found: dict[str, Any] = {}
    for name, text in given.items():
        kind = int if name in INTEGERS else float if name in FLOATS else str if name in TEXTS else None
        if kind is None:
            raise UserError(f"Extraneous hyperparameter found: {name}")
        try:
            found[name] = kind(text)
        except ValueError as error:
            raise UserError(f"Hyperparameter {name}: could not parse value {text!r}") from error
    if found.get("num_round", 0) < 1:
        raise UserError("Missing required hyperparameter: num_round, a whole number of at least 1")
    if str(found.get("objective", "")).startswith("multi:") and "num_class" not in found:
        raise UserError("Require input for parameter 'num_class' for multi-classification")
    return found


def files(folder: Path) -> list[Path]:
    """A channel's data files, hidden ones and markers left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))


def read(folder: Path, content_type: str, weighted: bool) -> Any:
    """A channel as a DMatrix; UserError when it cannot be read."""
    import xgboost

    kind, found = content_type.partition(";")[0].strip().lower(), files(folder)
    if not found:
        raise UserError(f"The channel {folder.name} has no data.")
    if kind in LIBSVM:
        from sklearn.datasets import load_svmlight_files

        loaded = load_svmlight_files([str(path) for path in found], zero_based=True)
        from scipy.sparse import vstack

        return xgboost.DMatrix(vstack(loaded[0::2]).tocsr(), label=np.concatenate(loaded[1::2]))
    if kind in CSV or kind in PARQUET:
        table = np.concatenate([_table(path, kind) for path in found])
        weight = {"weight": table[:, 1]} if weighted else {}
        return xgboost.DMatrix(table[:, 1 + weighted :], label=table[:, 0], **weight)
    known = ", ".join(CSV + LIBSVM + PARQUET)
    raise UserError(f"{content_type} is not an accepted content type of the channel {folder.name} (have: {known})")


def _table(path: Path, kind: str) -> Any:
    import pandas as pd

    try:
        frame = pd.read_parquet(path) if kind in PARQUET else pd.read_csv(path, header=None)
        return frame.to_numpy(dtype=float)
    except ValueError as error:
        raise UserError(
            f"{path.name} of the channel {path.parent.name} is not numbers alone ({error}). text/csv has no header "
            "row, and the label is the first column."
        ) from error


def metric_names(given: dict[str, Any]) -> list[str]:
    """The metrics that are evaluated: those asked for, and the one that a tuning job optimises."""
    asked = given.get("eval_metric", "")
    names = json.loads(asked) if asked.startswith("[") else [each.strip() for each in asked.split(",") if each.strip()]
    target = given.get("_tuning_objective_metric", "").partition(":")[2]
    return [*names, target] if target and target not in names else names


Evaluation = Callable[[Any, Any], list[tuple[str, float]]]


def own_metrics(names: list[str]) -> tuple[list[str], Evaluation | None]:
    """The metrics among `names` that SageMaker adds to XGBoost's, and a function for them unless there are none."""
    from sklearn import metrics

    def average(score: Any, how: str) -> Any:
        return lambda labels, classes: score(labels, classes, average=how, zero_division=0)

    known = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1": average(metrics.f1_score, "macro"),
        "f1_binary": average(metrics.f1_score, "binary"),
        "f1_macro": average(metrics.f1_score, "macro"),
        "precision": average(metrics.precision_score, "binary"),
        "precision_macro": average(metrics.precision_score, "macro"),
        "precision_micro": average(metrics.precision_score, "micro"),
        "recall": average(metrics.recall_score, "binary"),
        "recall_macro": average(metrics.recall_score, "macro"),
        "recall_micro": average(metrics.recall_score, "micro"),
        "mse": metrics.mean_squared_error,
        "r2": metrics.r2_score,
    }
    chosen = [name for name in names if name in known]
    if not chosen:
        return [], None

    def evaluate(predictions: Any, data: Any) -> list[tuple[str, float]]:
        labels, values = data.get_label(), predictions
        classes = values.argmax(axis=1) if values.ndim > 1 else (values > 0.5).astype(int)
        return [(name, float(known[name](labels, values if name in ("mse", "r2") else classes))) for name in chosen]

    return chosen, evaluate


def print_round(_: Any, __: Any, epoch: int, log: dict[str, dict[str, list[float]]]) -> bool:
    """Print a round's metrics as CloudWatch shows them, a tab as #011; False: go on."""
    shown = [f"{data}-{name}:{values[-1]:.5f}" for data, metrics in log.items() for name, values in metrics.items()]
    print("#011".join([f"[{epoch}]", *shown]), flush=True)
    return False


def train(root: Path, version: tuple[int, ...]) -> None:
    """Train as the job's configuration asks for; raises UserError."""
    import xgboost

    config = root / "input/config"
    given = hyperparameters(json.loads((config / "hyperparameters.json").read_text()))
    channels = json.loads((config / "inputdataconfig.json").read_text())
    if "train" not in channels:
        raise UserError(f"The channel train is required (have: {', '.join(channels) or 'none'}).")
    data = {
        name: read(root / "input/data" / name, channels[name].get("ContentType", "text/libsvm"), weighted)
        for name, weighted in (("train", bool(given.get("csv_weights"))), ("validation", False))
        if name in channels
    }
    names = metric_names(given)
    own, custom = own_metrics(names)
    parameters = {name: RENAMED.get(value, value) for name, value in given.items() if name not in OURS | GONE}
    native = [name for name in names if name not in own]
    parameters |= {"eval_metric": native} if native else {"disable_default_eval_metric": 1} if custom else {}
    printing = type("Printing", (xgboost.callback.TrainingCallback,), {"after_iteration": print_round})
    callbacks: list[Any] = [printing()]
    if given.get("early_stopping_rounds"):
        if "validation" not in data:
            raise UserError("early_stopping_rounds needs the channel validation.")
        stop = {"rounds": given["early_stopping_rounds"], "data_name": "validation", "save_best": True}
        callbacks.append(xgboost.callback.EarlyStopping(**stop))
    model = xgboost.train(
        parameters,
        data["train"],
        num_boost_round=given["num_round"],
        evals=[(each, name) for name, each in data.items()],
        custom_metric=custom,
        callbacks=callbacks,
        verbose_eval=False,
    )
    save(model, root / "model/xgboost-model", version)


def save(model: Any, path: Path, version: tuple[int, ...]) -> None:
    """Write the model as the image of that version does."""
    if version and version < (1, 3):
        path.write_bytes(pickle.dumps(model))
    else:
        path.write_bytes(bytes(model.save_raw("ubj")))


def main(arguments: list[str]) -> int:
    """Train; a failure reason goes to output/failure."""
    root = Path(arguments[0])
    try:
        train(root, tuple(map(int, arguments[1].split("."))) if arguments[1] else ())
    except UserError as error:
        (root / "output/failure").write_text(str(error))
        return 1
    except Exception as error:
        # XGBoost's own refusals (an unknown objective, labels out of range) are the user's to read.
        (root / "output/failure").write_text(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
