"""Refits a champion's recipe on the candidate's folds.

A champion whose cross-validation grouped other families has seen beers that the candidate's folds hold out, so
its own out-of-fold predictions flatter it. Its recipe does not: the champion's features and hyperparameters, fitted on
the candidate's folds, are compared with the candidate on equal terms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from artifact import BrokenArtifact, Served
from beers import Beers

RECIPE = {"target": "log(1 + ibu)", "aggregate": "median of the trees"}


def refit(champion: Served, train: Beers, test: Beers, fold: np.ndarray) -> np.ndarray:
    """(n,) predictions in IBU for the training beers, each by the other folds, then for the test beers.

    fold: (training beers,) the candidate's fold numbers. Raises BrokenArtifact when the recipe is an unknown one.
    """
    unknown = [name for name, value in RECIPE.items() if champion.card.get(name) != value]
    if unknown:
        raise BrokenArtifact(f"its {unknown[0]} is not known here: {champion.card.get(unknown[0])!r}")
    settings = champion.card["hyperparameters"]
    matrix = _matrix(champion.features, [*train.instances, *test.instances])
    known, asked = matrix[: len(train.ids)], matrix[len(train.ids) :]
    predicted = np.empty(len(train.ids))
    for number in np.unique(fold):
        inside = fold == number
        predicted[inside] = _fit_predict(known[~inside], train.label[~inside], known[inside], settings)
    return np.concatenate([predicted, _fit_predict(known, train.label, asked, settings)])


def _matrix(features: Any, instances: Sequence[Mapping[str, object]]) -> np.ndarray:
    """(n, features) of the champion's own features; columns that it knows and the table lacks are missing values."""
    try:
        columns = {name: [row.get(name) for row in instances] for name in features.INPUTS}
        return np.asarray(features.feature_matrix(columns), dtype=float)
    except Exception as error:  # The artifact's own code may raise anything.
        raise BrokenArtifact(f"{type(error).__name__}: {error}") from error


def _fit_predict(known: np.ndarray, label: np.ndarray, asked: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """(asked rows,) medians of the trees in IBU, of a forest on log(1 + IBU)."""
    from sklearn.ensemble import ExtraTreesRegressor

    empty = np.isnan(known).all(axis=0)
    medians = np.nanmedian(np.where(empty, 0.0, known), axis=0)
    names = ("n_estimators", "max_features", "min_samples_leaf")
    try:
        chosen = {name: settings[name] for name in names} | {"random_state": settings["seed"]}
        forest = ExtraTreesRegressor(**chosen, n_jobs=-1)
        forest.fit(np.where(np.isnan(known), medians, known), np.log1p(label))
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenArtifact(f"its hyperparameters cannot be used: {error!r}") from error
    rows = np.where(np.isnan(asked), medians, asked).astype(np.float32)
    predicted: np.ndarray = np.expm1(np.median([tree.predict(rows) for tree in forest.estimators_], axis=0))
    return predicted
