"""What stands behind the figures: where the model errs, what it relies on, and how the data has moved."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from artifact import Instance, Served
from beers import NUMBERS, Beers

Answers = Mapping[str, np.ndarray]

REPEATS = 10
MOST_ROWS = 500  # Importance is measured on so many test beers at most.
# Inputs that say nearly the same are shuffled together: either of them alone would betray the other.
TOGETHER = {
    "strength (abv)": ("abv",),
    "gravities (og and fg)": ("target_og", "target_fg"),
    "colour (ebc and srm)": ("ebc", "srm"),
    "acidity (ph)": ("ph",),
    "style words (name)": ("name",),
}


def class_index(ibu: np.ndarray, classes: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(n,) positions in `classes` (each with `below`, the last with None) of bitterness in IBU."""
    return np.searchsorted([each["below"] for each in classes[:-1]], ibu, side="right")


def permutation_importance(model: Served, beers: Beers, seed: int) -> dict[str, dict[str, float]]:
    """By how many IBU the error grows when inputs are shuffled among the test beers: mean and spread of REPEATS."""
    rows, label = beers.instances[:MOST_ROWS], beers.label[:MOST_ROWS]
    generator = np.random.default_rng(seed)
    asked: list[Instance] = list(rows)
    for inputs in TOGETHER.values():
        for _ in range(REPEATS):
            others = [rows[other] for other in generator.permutation(len(rows))]
            asked += [row | {name: other[name] for name in inputs} for row, other in zip(rows, others, strict=True)]
    predicted = np.array([answer["ibu"] for answer in model.ask(asked)], dtype=float)
    errors = np.abs(predicted.reshape(-1, len(rows)) - label).mean(axis=1)
    growth = (errors[1:] - errors[0]).reshape(len(TOGETHER), REPEATS)
    return {
        name: {"value": float(values.mean()), "standard_deviation": float(values.std())}
        for name, values in zip(TOGETHER, growth, strict=True)
    }


def slices(beers: Beers, answers: Answers, baseline: float, classes: Sequence[Any]) -> dict[str, Any]:
    """Errors in IBU by true bitterness class, strength and completeness; `bias` is the mean of estimate minus truth."""
    abv = np.array([np.nan if row["abv"] is None else row["abv"] for row in beers.instances], dtype=float)
    incomplete = np.array([any(row[name] is None for name in NUMBERS) for row in beers.instances])
    truth = class_index(beers.label, classes)
    parts = {
        "bitterness": {each["name"]: truth == position for position, each in enumerate(classes)},
        "completeness": {"nothing missing": ~incomplete, "a value missing": incomplete},
        "strength": {"below 5 %": abv < 5, "5 to 8 %": (abv >= 5) & (abv < 8), "8 % and above": abv >= 8},
    }
    error, inside = answers["ibu"] - beers.label, _covered(beers, answers)
    return {
        kind: {
            name: {
                "n": int(rows.sum()),
                "mae": float(np.abs(error[rows]).mean()),
                "bias": float(error[rows].mean()),
                "baseline_mae": float(np.abs(baseline - beers.label[rows]).mean()),
                "coverage": float(inside[rows].mean()),
            }
            for name, rows in members.items()
            if rows.any()
        }
        for kind, members in parts.items()
    }


def calibration(beers: Beers, answers: Answers, level: float, parts: int = 4) -> dict[str, Any]:
    """How often the intervals hold the truth and how wide they are, in all and in parts of rising estimate."""
    inside, width = _covered(beers, answers), answers["high"] - answers["low"]
    order = np.argsort(answers["ibu"], kind="stable")
    return {
        "level": level,
        "coverage": float(inside.mean()),
        "mean_width": float(width.mean()),
        "by_estimate": [
            {
                "from": float(answers["ibu"][rows].min()),
                "to": float(answers["ibu"][rows].max()),
                "n": len(rows),
                "coverage": float(inside[rows].mean()),
                "mean_width": float(width[rows].mean()),
            }
            for rows in np.array_split(order, parts)
            if len(rows)
        ],
    }


def worst(beers: Beers, answers: Answers, count: int = 10) -> list[dict[str, Any]]:
    """The beers with the largest errors, the worst first."""
    order = np.argsort(-np.abs(answers["ibu"] - beers.label), kind="stable")[:count]
    return [
        {"id": beers.ids[row], "name": beers.instances[row]["name"] or "", "ibu": float(beers.label[row])}
        | {"predicted": float(answers["ibu"][row])}
        | {end: float(answers[end][row]) for end in ("low", "high")}
        for row in order
    ]


def drift(profile: Mapping[str, Any], train: Beers) -> dict[str, float]:
    """Population stability index, per number, of today's training beers against a champion's training profile."""
    values: dict[str, Sequence[Any]] = {"ibu": train.label.tolist()}
    values |= {name: [row[name] for row in train.instances] for name in NUMBERS}
    return {name: stability_index(profile[name], column) for name, column in values.items()}


def stability_index(expected: Mapping[str, Any], values: Sequence[float | None]) -> float:
    """The sum of (q - p) ln(q / p) over the parts of the profile; missing values are a part of their own.

    0 for equal spreads; below 0.1 is usually called stable, above 0.25 a shift.
    """
    known = np.array([value for value in values if value is not None], dtype=float)
    edges = np.array(expected["edges"], dtype=float)
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    today = np.append(counts, len(values) - len(known)) / len(values)
    before = np.append(expected["shares"], expected["missing"])
    today, before = np.maximum(today, 1e-4), np.maximum(before, 1e-4)  # An empty part would make it infinite.
    return float(np.sum((today - before) * np.log(today / before)))


def _covered(beers: Beers, answers: Answers) -> np.ndarray:
    inside: np.ndarray = (answers["low"] <= beers.label) & (beers.label <= answers["high"])
    return inside
