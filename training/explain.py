"""Explains a prediction: the probabilities of the bitterness classes, and the nearest training beers."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

NEAREST = 3
ROWS_AT_ONCE = 256


class Neighbours(NamedTuple):
    """m training beers: ids, names, (m,) labels in IBU and (m, features) features divided by `scale`."""

    ids: list[str]
    names: list[str]
    label: np.ndarray
    scaled: np.ndarray
    scale: np.ndarray


def neighbours(ids: list[str], names: list[str], label: np.ndarray, matrix: np.ndarray) -> Neighbours:
    """From (m, features) features without NaN; a feature's scale is its standard deviation, 1 where that is 0."""
    deviation = matrix.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return Neighbours(ids, names, label, matrix / scale, scale)


def nearest(known: Neighbours, matrix: np.ndarray) -> list[list[dict[str, Any]]]:
    """For every row of (n, features): the nearest beers {id, name, ibu, distance}, the nearest first.

    The distance is Euclidean, in standard deviations of the features.
    """
    found = []
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = matrix[start : start + ROWS_AT_ONCE] / known.scale
        squares = (rows**2).sum(axis=1)[:, None] + (known.scaled**2).sum(axis=1) - 2 * rows @ known.scaled.T
        order = np.argsort(squares, axis=1, kind="stable")[:, :NEAREST]
        found += [
            [_neighbour(known, place, squares[row, place]) for place in places] for row, places in enumerate(order)
        ]
    return found


def _neighbour(known: Neighbours, place: int, square: float) -> dict[str, Any]:
    distance = round(float(np.sqrt(max(square, 0.0))), 2)
    label = float(known.label[place])
    return {"id": known.ids[place], "name": known.names[place] or None, "ibu": label, "distance": distance}


def class_votes(trees: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """(n, len(bounds) + 1) shares of (n, trees) predictions of log(1 + IBU) in each class; `bounds` in IBU."""
    places = np.searchsorted(np.log1p(np.asarray(bounds, dtype=float)), trees, side="right")
    counts = [(places == each).mean(axis=1) for each in range(len(bounds) + 1)]
    return np.column_stack(counts)


def calibrated(votes: np.ndarray, calibration: Mapping[str, Any]) -> np.ndarray:
    """(n, classes) probabilities: the votes of the trees drawn towards the classes' shares in training by `weight`."""
    weight = float(calibration["weight"])
    table: np.ndarray = (1 - weight) * votes + weight * np.asarray(calibration["shares"], dtype=float)
    return table


def named(table: np.ndarray, classes: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Probabilities by class name, rounded to three decimals."""
    names = [str(each["name"]) for each in classes]
    return [dict(zip(names, row, strict=True)) for row in np.round(table, 3).tolist()]


def to_csv(table: Mapping[str, Sequence[object]]) -> str:
    """neighbours.csv: a header and one line per beer."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def from_csv(text: str) -> dict[str, list[Any]]:
    """The columns of neighbours.csv: `id` and `name` as text, the others as numbers, NaN where empty."""
    rows = list(csv.DictReader(io.StringIO(text)))
    names = list(rows[0]) if rows else []
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in names}
    return columns | {
        name: [float(value) if value else np.nan for value in columns[name]] for name in names if name not in TEXTS
    }


TEXTS = ("id", "name")
