"""What a model answers about some beers, and how far off it is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from analysis import class_index
from artifact import BrokenArtifact, Served
from beers import Beers
from bootstrap import classification, draws, figures, intervals, regression

# IBU. No beer is near it; an answer beyond it is a fault, and its square could exceed what a float holds.
ABSURD = 1e6


class Measured(NamedTuple):
    """A predictor on some beers: its figures by metric, and the bootstrap replicates of its MAE."""

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


def ask(model: Served, beers: Beers) -> dict[str, np.ndarray]:
    """The model's answers as (n,) arrays ibu, low and high, in IBU. Raises BrokenArtifact."""
    predictions = model.ask(beers.instances)
    if len(predictions) != len(beers.ids):
        raise BrokenArtifact(f"{len(predictions)} predictions for {len(beers.ids)} beers")
    try:
        answers = {name: np.array([each[name] for each in predictions], dtype=float) for name in ("ibu", "low", "high")}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BrokenArtifact(f"an answer without ibu, low and high: {error!r}") from None
    if not all((np.abs(values) < ABSURD).all() for values in answers.values()):  # Nor is NaN below it.
        raise BrokenArtifact("an answer that is not a bitterness: NaN, infinite or absurd")
    return answers
