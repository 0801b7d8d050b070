"""Predictions on beers whose family the predicting model has not seen: the figures of the evaluation rest on them.

The beers are the training beers, each predicted out of fold, and the test beers, predicted by the model itself. That
is several times as many as the test beers alone, and the comparison of two models needs them: with 41 to 78 test beers
it accepts a 10 % worse model in every fifth case.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from artifact import BrokenArtifact, Served
from beers import Beers, concatenate

# IBU. No beer comes near it; an answer beyond it is a fault, and its square could exceed what a float holds.
ABSURD = 1e6

Answers = Mapping[str, np.ndarray]


class HeldOut(NamedTuple):
    """n beers (training, then test) with (n,) predictions ibu, low, high and baseline in IBU."""

    beers: Beers
    answers: dict[str, np.ndarray]
    tested: np.ndarray  # (n,) whether a beer is of the test side.


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


def predict(model: Served, train: Beers, test: Beers) -> HeldOut:
    """The candidate's held-out predictions, with the median of the seen labels as the baseline.

    Raises BrokenArtifact when oof.csv does not belong to these training beers or a family is in two folds.
    """
    _check(model, train)
    values = np.array([model.out_of_fold.values[each] for each in train.ids]).reshape(-1, 4)
    asked = ask(model, test)
    median = np.full(len(test.ids), np.median(train.label))
    answers = {name: np.concatenate([values[:, column], asked[name]]) for column, name in enumerate(asked)}
    answers["baseline"] = np.concatenate([values[:, 3], median])
    tested = np.arange(len(train.ids) + len(test.ids)) >= len(train.ids)
    return HeldOut(concatenate(train, test), answers, tested)


def _check(model: Served, train: Beers) -> None:
    """Raises BrokenArtifact unless each training beer was predicted by a fold without its family."""
    if set(train.ids) != set(model.out_of_fold.values):
        raise BrokenArtifact("oof.csv does not hold the training beers")
    folds: dict[str, int] = {}
    for beer, family in zip(train.ids, train.families, strict=True):
        fold = model.out_of_fold.fold[beer]
        if folds.setdefault(family, fold) != fold:
            raise BrokenArtifact(f"family {family} is in two folds of the cross-validation")
