"""Cross-validation: what the model says of beers it has not seen, and how far it is off.

Folds are made of whole groups. With the recipe family as the group no beer is predicted by a model that has seen
its recipe (the honest figures, on which the intervals rest); with the beer itself as the group a recipe may be on
both sides, which flatters and is reported for comparison only.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
import sklearn
from features import column_medians, fill
from forest import Forest, from_estimators
from inference import interval, quartiles
from sklearn.tree import ExtraTreeRegressor

LEVEL = 0.9


class Settings(NamedTuple):
    """The hyperparameters of the forest, by scikit-learn's names."""

    n_estimators: int
    max_features: float
    min_samples_leaf: int
    seed: int


class OutOfFold(NamedTuple):
    """Every beer as predicted by the fold that has not seen its group; (n,) arrays, IBU but for `fold`."""

    fold: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    baseline: np.ndarray  # The median of the labels the fold has seen.
    scores: np.ndarray  # How far the truth lies outside the quartiles; negative inside.


def fit_forest(matrix: np.ndarray, label: np.ndarray, settings: Settings) -> Forest:
    """Extremely randomised trees on log(1 + IBU); `matrix` (n, features) holds no NaN.

    Tree for tree what scikit-learn's ExtraTreesRegressor of the same settings grows, in 0.6 of its time: the rest
    goes into copying and checking the same parameters for every tree.
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
    matrix: np.ndarray, label: np.ndarray, groups: Sequence[str], folds: int, settings: Settings
) -> OutOfFold:
    """Predicts every row by a model of the other folds; `matrix` may hold NaN, filled from the fitted rows alone."""
    fold = assign_folds(groups, folds)
    quarters, baseline = np.empty((len(label), 3)), np.empty(len(label))
    for number in range(fold.max() + 1):
        inside = fold == number
        quarters[inside], baseline[inside] = _predict_fold(matrix, label, inside, settings)
    scores = np.maximum(quarters[:, 0] - label, label - quarters[:, 2])
    bounds = np.empty((3, len(label)))
    for number in range(fold.max() + 1):
        # A fold's intervals rest on the errors of the other folds: its own would make the coverage come out as wished.
        inside = fold == number
        bounds[:, inside] = interval(quarters[inside], conformal_offset(scores[~inside]))
    return OutOfFold(fold, bounds[0], bounds[1], bounds[2], baseline, scores)


def both_out_of_fold(
    matrix: np.ndarray,
    label: np.ndarray,
    groupings: tuple[Sequence[str], Sequence[str]],
    folds: int,
    settings: Settings,
) -> tuple[OutOfFold, OutOfFold]:
    """`out_of_fold` for two groupings, the second in a forked process: the same figures, in half the time.

    One after the other where the system cannot fork or has no shared semaphores.
    """
    first, second = groupings
    try:
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
        with pool:
            waiting = pool.submit(out_of_fold, matrix, label, second, folds, settings)
            return out_of_fold(matrix, label, first, folds, settings), waiting.result()
    except (BrokenProcessPool, ImportError, OSError, ValueError):
        results = [out_of_fold(matrix, label, each, folds, settings) for each in groupings]
        return results[0], results[1]


def assign_folds(groups: Sequence[str], folds: int) -> np.ndarray:
    """(n,) numbers from 0: the groups in order of name, dealt out in turn; a function of the groups alone."""
    names = sorted(set(groups))
    number = {name: position % min(folds, len(names)) for position, name in enumerate(names)}
    return np.array([number[name] for name in groups])


def conformal_offset(scores: np.ndarray) -> float:
    """The offset in IBU at which intervals hold the truth in 9 of 10 new beers (split conformal quantile)."""
    rank = int(np.ceil((len(scores) + 1) * LEVEL))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


def _predict_fold(
    matrix: np.ndarray, label: np.ndarray, inside: np.ndarray, settings: Settings
) -> tuple[np.ndarray, float]:
    """Quartiles (rows inside, 3) by a forest of the rows outside, and the median label of the latter."""
    outside = ~inside
    medians = column_medians(matrix[outside])
    forest = fit_forest(fill(matrix[outside], medians), label[outside], settings)
    return quartiles(forest, fill(matrix[inside], medians)), float(np.median(label[outside]))
