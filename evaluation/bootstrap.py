"""Figures with their uncertainty: metrics on held-out beers, bootstrapped by recipe family.

Beers of one family are not independent, so whole families are drawn with replacement. All models are
measured on the same draws, which makes their differences comparable; the draws are no run's own, so that no second run
with another seed can get another decision. Replicate 0 is the data as it is.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

REPLICATES = 2000
SEED = 0
AT_ONCE = 100  # Replicates that are drawn together.
FEW_FAMILIES = 1000  # Up to which all draws are held in memory: 8 bytes for each replicate and family.


class Draws(NamedTuple):
    """How families are drawn: (n,) the number of every row's family, and how many families there are."""

    family: np.ndarray
    families: int

    def weights(self) -> Iterator[np.ndarray]:
        """(replicates, families) how often each family is drawn, in parts; the first part is one row of ones."""
        yield np.ones((1, self.families), dtype=np.int64)
        yield from _held(self.families) if self.families <= FEW_FAMILIES else _drawn(self.families)


@functools.lru_cache(maxsize=1)
def _held(families: int) -> tuple[np.ndarray, ...]:
    """All of `_drawn`: an evaluation asks for them two dozen times."""
    return tuple(_drawn(families))


def _drawn(families: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(SEED)
    for _ in range(0, REPLICATES, AT_ONCE):
        yield generator.multinomial(families, np.full(families, 1 / families), size=AT_ONCE)


def draws(families: Sequence[str]) -> Draws:
    """The draws for rows of these families (n names)."""
    names, family = np.unique(families, return_inverse=True)
    return Draws(family, len(names))


def sums(columns: np.ndarray, drawn: Draws) -> np.ndarray:
    """(1 + REPLICATES, k) sums over the rows of (n, k) `columns`."""
    per_family = np.zeros((drawn.families, columns.shape[1]))
    np.add.at(per_family, drawn.family, columns)
    return np.concatenate([weights @ per_family for weights in drawn.weights()])


def medians(values: np.ndarray, drawn: Draws) -> np.ndarray:
    """(1 + REPLICATES,) medians of (n,) `values`; the upper one of an even number."""
    order = np.argsort(values, kind="stable")
    parts = []
    for weights in drawn.weights():
        running = np.cumsum(weights[:, drawn.family[order]], axis=1)
        parts.append(values[order][np.argmax(running * 2 > running[:, -1:], axis=1)])
    return np.concatenate(parts)


def regression(label: np.ndarray, predicted: np.ndarray, drawn: Draws) -> dict[str, np.ndarray]:
    """Replicates of mae, mse, rmse, r2 and median_absolute_error; `label` and `predicted` are (n,) IBU."""
    error = predicted - label
    columns = np.column_stack([np.ones_like(label), np.abs(error), error**2, label, label**2])
    n, absolute, squared, total, total_squared = sums(columns, drawn).T
    spread = total_squared - total**2 / n
    constant = spread <= 1e-9 * total_squared  # Rounding leaves a little where all labels are equal.
    return {
        "mae": absolute / n,
        "mse": squared / n,
        "rmse": np.sqrt(squared / n),
        # As scikit-learn has it for equal labels: 1 for a perfect prediction, otherwise 0.
        "r2": np.where(constant, squared == 0, 1 - squared / np.where(constant, 1, spread)),
        "median_absolute_error": medians(np.abs(error), drawn),
    }


def classification(truth: np.ndarray, guess: np.ndarray, classes: int, drawn: Draws) -> dict[str, np.ndarray]:
    """Replicates of accuracy and macro_f1; (n,) class positions. A class neither had nor guessed does not count."""
    one_hot = np.eye(classes)
    columns = np.column_stack([one_hot[truth] * one_hot[guess], one_hot[truth] + one_hot[guess]])
    hits, either = np.split(sums(columns, drawn), 2, axis=1)
    f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    return {
        "accuracy": 2 * hits.sum(axis=1) / either.sum(axis=1),
        "macro_f1": f1.sum(axis=1) / (either > 0).sum(axis=1),
    }


def intervals(label: np.ndarray, low: np.ndarray, high: np.ndarray, drawn: Draws) -> dict[str, np.ndarray]:
    """Replicates of coverage (the share of labels in their interval) and mean_width; all are (n,) IBU."""
    inside = (low <= label) & (label <= high)
    n, covered, width = sums(np.column_stack([np.ones_like(label), inside, high - low]), drawn).T
    return {"coverage": covered / n, "mean_width": width / n}


def relative(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Replicates of part / whole: 0 where the part is 0, NaN where the whole alone is."""
    quotient = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return np.where(part == 0, 0.0, quotient)


def figure(replicates: np.ndarray) -> dict[str, float]:
    """{value, standard_deviation, low, high} of a statistic; empty when it cannot be computed.

    low and high are the ends of the 90 % percentile interval.
    """
    value, rest = replicates[0], replicates[1:]
    rest = rest[np.isfinite(rest)]
    if not np.isfinite(value) or len(rest) < REPLICATES / 2:
        return {}
    low, high = np.quantile(rest, (0.05, 0.95))
    return {
        "value": float(value),
        "standard_deviation": float(rest.std()),
        "low": float(low),
        "high": float(high),
    }


def figures(replicates: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The figures of several statistics; what cannot be computed is absent."""
    made = {name: figure(values) for name, values in replicates.items()}
    return {name: each for name, each in made.items() if each}
