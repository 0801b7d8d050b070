"""Cross-validation: predicts each training beer by a model that has not seen its group.

With the recipe family as the group the figures are those of new recipes; the intervals and the class probabilities
are calibrated on them.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
import sklearn
from explain import class_votes
from features import column_medians, fill
from forest import Forest, from_estimators, predict_trees
from inference import interval, quartiles_of
from sklearn.tree import ExtraTreeRegressor

LEVEL = 0.9
# Parts of the forest whose separate errors show how far the error depends on the seed.
PARTS = 5


class Settings(NamedTuple):
    """The hyperparameters of the forest, by scikit-learn's names."""

    n_estimators: int
    max_features: float
    min_samples_leaf: int
    seed: int


class Fold(NamedTuple):
    """What the forest of the other folds predicts for the k beers of one fold."""

    quarters: np.ndarray  # (k, 3) quartiles of the trees, IBU.
    parts: np.ndarray  # (k, PARTS) medians of the PARTS parts of the forest, IBU.
    votes: np.ndarray  # (k, classes) shares of the trees.
    baseline: float  # The median label of the other folds, IBU.


class OutOfFold(NamedTuple):
    """Every beer as predicted by the other folds; (n,) arrays in IBU but for `fold` and `votes`."""

    fold: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    baseline: np.ndarray
    scores: np.ndarray  # How far the label lies outside the quartiles; negative inside.
    parts: np.ndarray  # (n, PARTS)
    votes: np.ndarray  # (n, classes)


def fit_forest(matrix: np.ndarray, label: np.ndarray, settings: Settings) -> Forest:
    """Extremely randomised trees on log(1 + IBU); `matrix` (n, features) holds no NaN.

    The trees are those of scikit-learn's ExtraTreesRegressor with the same settings, in 0.6 of its time: it copies and
    checks the same parameters for every tree.
    """
    seeds = np.random.RandomState(settings.seed).randint(np.iinfo(np.int32).max, size=settings.n_estimators)
    values, target = np.ascontiguousarray(matrix, dtype=np.float32), np.log1p(label)
    with sklearn.config_context(skip_parameter_validation=True):
        trees = [
            ExtraTreeRegressor(
                max_features=settings.max_features,
                min_samples_leaf=settings.min_samples_leaf,
                random_state=int(seed),
            ).fit(values, target, check_input=False)
            for seed in seeds
        ]
    return from_estimators(trees)


def out_of_fold(
    matrix: np.ndarray,
    label: np.ndarray,
    groups: Sequence[str],
    folds: int,
    settings: Settings,
    bounds: Sequence[float] = (),
) -> OutOfFold:
    """Predicts every row by a model of the other folds.

    matrix: (n, features), may hold NaN, filled from the fitted rows alone. bounds: the inner class bounds in IBU.
    """
    fold = assign_folds(groups, folds)
    numbers = range(int(fold.max()) + 1)
    results = _run([(matrix, label, fold == number, settings, tuple(bounds)) for number in numbers])
    n = len(label)
    quarters, baseline = np.empty((n, 3)), np.empty(n)
    parts, votes = np.empty((n, PARTS)), np.empty((n, len(bounds) + 1))
    for number, result in zip(numbers, results, strict=True):
        inside = fold == number
        quarters[inside], parts[inside], votes[inside], baseline[inside] = result
    scores = np.maximum(quarters[:, 0] - label, label - quarters[:, 2])
    ends = np.empty((3, n))
    for number in numbers:
        # A fold's intervals rest on the errors of the other folds: with its own the coverage would be circular.
        inside = fold == number
        ends[:, inside] = interval(quarters[inside], conformal_offset(scores[~inside]))
    return OutOfFold(fold, ends[0], ends[1], ends[2], baseline, scores, parts, votes)


_Task = tuple[np.ndarray, np.ndarray, np.ndarray, Settings, tuple[float, ...]]


def _run(tasks: list[_Task]) -> list[Fold]:
    """Predicts the folds in forked processes, one per processor; in this process where the system cannot fork."""
    workers = min(len(tasks), os.cpu_count() or 1)
    if workers > 1:
        try:
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
                return list(pool.map(_predict_fold, tasks))
        except (BrokenProcessPool, ImportError, OSError, ValueError):
            pass
    return [_predict_fold(task) for task in tasks]


def assign_folds(groups: Sequence[str], folds: int) -> np.ndarray:
    """(n,) numbers from 0: the groups in order of name, dealt out in turn; a function of the groups alone."""
    names = sorted(set(groups))
    number = {name: position % min(folds, len(names)) for position, name in enumerate(names)}
    return np.array([number[name] for name in groups])


def conformal_offset(scores: np.ndarray) -> float:
    """The offset in IBU with which intervals hold the label of 9 in 10 new beers (split conformal quantile)."""
    rank = int(np.ceil((len(scores) + 1) * LEVEL))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


def _predict_fold(task: _Task) -> Fold:
    """Predicts the rows inside by a forest of the rows outside."""
    matrix, label, inside, settings, bounds = task
    outside = ~inside
    medians = column_medians(matrix[outside])
    forest = fit_forest(fill(matrix[outside], medians), label[outside], settings)
    trees = predict_trees(forest, fill(matrix[inside], medians))
    parts = [np.expm1(np.median(part, axis=1)) for part in np.array_split(trees, min(PARTS, trees.shape[1]), axis=1)]
    parts += [parts[-1]] * (PARTS - len(parts))
    return Fold(
        quartiles_of(trees), np.column_stack(parts), class_votes(trees, bounds), float(np.median(label[outside]))
    )
