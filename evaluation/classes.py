"""How well the probabilities of the bitterness classes are calibrated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from analysis import class_index
from artifact import BrokenArtifact, Served
from beers import Beers

BINS = 10


def probability_calibration(model: Served, beers: Beers, classes: Sequence[Any]) -> dict[str, Any]:
    """{out_of_fold: {ece, raw_ece, ...} of training, test: {ece, n}}; empty for a model without probabilities."""
    known = model.card.get("probabilities")
    if not known:
        return {}
    try:
        answers = model.ask(beers.instances, explain=True)
        names = [str(each["name"]) for each in classes]
        table = np.array([[each["probabilities"][name] for name in names] for each in answers], dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenArtifact(f"an explained answer without probabilities: {error!r}") from None
    truth = class_index(beers.label, classes)
    return {"out_of_fold": known["metrics"], "test": {"ece": calibration_error(table, truth), "n": len(truth)}}


def calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The expected calibration error of (n, classes) probabilities for the (n,) true positions.

    The mean distance between the likeliest class's probability and the share of beers that are of it, in BINS parts.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    part = np.minimum((confidence * BINS).astype(int), BINS - 1)
    error = np.zeros(len(truth))
    for number in np.unique(part):
        rows = part == number
        error[rows] = abs(confidence[rows].mean() - right[rows].mean())
    return float(error.mean())
