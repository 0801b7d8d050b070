"""Analyses of the predictions: errors by slice, permutation importance, calibration, the worst predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from artifact import Instance, Served
from beers import Beers

Answers = Mapping[str, np.ndarray]

REPEATS = 10
# Words of a name that stand for a style; an error is shown per word.
STYLE_WORDS = (
    "ipa",
    "pale",
    "lager",
    "pils",
    "stout",
    "porter",
    "saison",
    "weiss",
    "amber",
    "red",
    "brown",
    "imperial",
)
LEAST_STYLE = 5
MOST_ROWS = 500  # Importance is measured on so many test beers at most.
# Inputs that are nearly functions of each other are shuffled together.
GROUPS = {
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
    """The growth of the error in IBU when inputs are shuffled among the test beers: mean and spread of REPEATS."""
    rows, label = beers.instances[:MOST_ROWS], beers.label[:MOST_ROWS]
    generator = np.random.default_rng(seed)
    groups = input_groups(beers)
    asked: list[Instance] = list(rows)
    for inputs in groups.values():
        for _ in range(REPEATS):
            others = [rows[other] for other in generator.permutation(len(rows))]
            asked += [row | {name: other[name] for name in inputs} for row, other in zip(rows, others, strict=True)]
    predicted = np.array([answer["ibu"] for answer in model.ask(asked)], dtype=float)
    errors = np.abs(predicted.reshape(-1, len(rows)) - label).mean(axis=1)
    growth = (errors[1:] - errors[0]).reshape(len(groups), REPEATS)
    return {
        name: {"value": float(values.mean()), "standard_deviation": float(values.std())}
        for name, values in zip(groups, growth, strict=True)
    }


def input_groups(beers: Beers) -> dict[str, tuple[str, ...]]:
    """GROUPS, and a group of its own for each numeric column that is in none of them."""
    grouped = {name for names in GROUPS.values() for name in names}
    return GROUPS | {name: (name,) for name in beers.numbers if name not in grouped}


def slices(beers: Beers, answers: Answers, classes: Sequence[Any]) -> dict[str, Any]:
    """Errors in IBU by class, strength, completeness and style word; `bias` is the mean of estimate minus truth."""
    abv = beers.column("abv")
    incomplete = np.array([any(row[name] is None for name in beers.numbers) for row in beers.instances])
    truth = class_index(beers.label, classes)
    parts = {
        "bitterness": {each["name"]: truth == position for position, each in enumerate(classes)},
        "completeness": {"nothing missing": ~incomplete, "a value missing": incomplete},
        "style": style_words(beers),
        "strength": {"below 5 %": abv < 5, "5 to 8 %": (abv >= 5) & (abv < 8), "8 % and above": abv >= 8},
    }
    error, inside = answers["ibu"] - beers.label, _covered(beers, answers)
    return {
        kind: {
            name: {
                "n": int(rows.sum()),
                "mae": float(np.abs(error[rows]).mean()),
                "bias": float(error[rows].mean()),
                "baseline_mae": float(np.abs(answers["baseline"][rows] - beers.label[rows]).mean()),
                "coverage": float(inside[rows].mean()),
            }
            for name, rows in members.items()
            if rows.any()
        }
        for kind, members in parts.items()
    }


def style_words(beers: Beers) -> dict[str, np.ndarray]:
    """(n,) masks of the beers by the STYLE_WORDS in their names, with at least LEAST_STYLE beers each."""
    names = [str(row["name"] or "").lower() for row in beers.instances]
    masks = {word: np.array([word in name for name in names], dtype=bool) for word in STYLE_WORDS}
    return {word: mask for word, mask in masks.items() if mask.sum() >= LEAST_STYLE}


def confusion(beers: Beers, answers: Answers, classes: Sequence[Any]) -> dict[str, Any]:
    """{classes: [names], counts: rows of the true class, columns of the predicted one}."""
    truth, guess = class_index(beers.label, classes), class_index(answers["ibu"], classes)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (truth, guess), 1)
    return {"classes": [str(each["name"]) for each in classes], "counts": counts.tolist()}


def calibration(beers: Beers, answers: Answers, level: float, parts: int = 4) -> dict[str, Any]:
    """The coverage and width of the intervals, in all and in parts of rising estimate."""
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


def _covered(beers: Beers, answers: Answers) -> np.ndarray:
    inside: np.ndarray = (answers["low"] <= beers.label) & (beers.label <= answers["high"])
    return inside
