"""The training step's metrics, and the lines that SageMaker reads them from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from crossval import OutOfFold
from explain import calibrated
from inference import bitterness

# SageMaker's metric definitions: name and regular expression of a printed line. cv_families is the cross-validation by
# recipe family, the error to expect of new recipes; train is the fit to the training beers.
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
        "cv_families:ece",
    )
}
BINS = 10


def regression_metrics(label: np.ndarray, predicted: np.ndarray, classes: list[Any]) -> dict[str, float]:
    """Errors in IBU and the share of beers whose bitterness class is right."""
    error = np.abs(predicted - label)
    right = [bitterness(a, classes) == bitterness(b, classes) for a, b in zip(label, predicted, strict=True)]
    return {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "median_absolute_error": float(np.median(error)),
        "accuracy": float(np.mean(right)),
    }


def cross_validation_metrics(label: np.ndarray, result: OutOfFold, families: int, classes: list[Any]) -> dict[str, Any]:
    """The metrics of the cross-validation, with the median of the labels as the baseline.

    seed_range: the least and the largest MAE of fifths of the forest, each with trees of other seeds.
    """
    covered = (result.low <= label) & (label <= result.high)
    parts = np.abs(result.parts - label[:, None]).mean(axis=0)
    metrics: dict[str, Any] = {**regression_metrics(label, result.predicted, classes)}
    return metrics | {
        "baseline_mae": float(np.abs(result.baseline - label).mean()),
        "coverage": float(covered.mean()),
        "mean_width": float((result.high - result.low).mean()),
        "seed_range": [float(parts.min()), float(parts.max())],
        "n": len(label),
        "groups": families,
        "folds": int(result.fold.max()) + 1,
    }


def calibrate(label: np.ndarray, result: OutOfFold, bounds: list[float]) -> dict[str, Any]:
    """How far the votes of the trees are drawn towards the classes' shares: {weight, shares, metrics}.

    The weight is the one of the least log loss out of fold. metrics: the expected calibration error of the votes and of
    the probabilities, the latter with each fold's weight chosen on the other folds.
    """
    truth = np.searchsorted(bounds, label, side="right")
    shares = np.bincount(truth, minlength=len(bounds) + 1) / len(truth)
    table = np.empty_like(result.votes)
    for number in np.unique(result.fold):
        inside = result.fold == number
        weight = _best_weight(result.votes[~inside], truth[~inside], shares)
        table[inside] = calibrated(result.votes[inside], {"weight": weight, "shares": shares})
    found = {"weight": _best_weight(result.votes, truth, shares), "shares": shares.round(6).tolist()}
    errors = {"raw_ece": calibration_error(result.votes, truth), "ece": calibration_error(table, truth)}
    return found | {"metrics": errors | {"n": len(truth)}}


def _best_weight(votes: np.ndarray, truth: np.ndarray, shares: np.ndarray) -> float:
    """The weight in steps of 0.05 with the least mean log loss."""
    rows = np.arange(len(truth))
    weights = np.arange(1, 21) / 20  # Not 0: a class without a vote would have no probability at all.
    losses = [
        -np.log(np.maximum(calibrated(votes, {"weight": each, "shares": shares})[rows, truth], 1e-9)).mean()
        for each in weights
    ]
    return float(weights[int(np.argmin(losses))])


def calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The expected calibration error of (n, classes) probabilities for the (n,) true positions, in BINS parts."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    part = np.minimum((confidence * BINS).astype(int), BINS - 1)
    error = np.zeros(len(truth))
    for number in np.unique(part):
        rows = part == number
        error[rows] = abs(confidence[rows].mean() - right[rows].mean())
    return float(error.mean())


def lines(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The lines that METRICS matches, in IBU or as shares."""
    pairs = [(metric, *metric.split(":")) for metric in METRICS]
    return [f"{metric}={metrics[part][name]:.4f}" for metric, part, name in pairs if part in metrics]
