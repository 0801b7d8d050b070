"""The figures of predictions: as bitterness, as classes and as intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from analysis import class_index
from beers import Beers
from bootstrap import classification, draws, figures, intervals, regression


class Measured(NamedTuple):
    """A model's figures by metric, and the bootstrap replicates of its MAE."""

    figures: dict[str, dict[str, float]]
    mae: np.ndarray


def measure(beers: Beers, answers: Mapping[str, np.ndarray], classes: Sequence[Any]) -> Measured:
    """Figures of (n,) predictions `ibu` as bitterness, as classes and, with `low` and `high`, as intervals."""
    drawn, predicted = draws(beers.families), answers["ibu"]
    errors = regression(beers.label, predicted, drawn)
    truth, guess = class_index(beers.label, classes), class_index(predicted, classes)
    found = errors | classification(truth, guess, len(classes), drawn)
    if "low" in answers:
        found |= intervals(beers.label, answers["low"], answers["high"], drawn)
    return Measured(figures(found), errors["mae"])
