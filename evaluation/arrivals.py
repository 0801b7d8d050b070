"""Drift: how the beers that arrived since the champion was trained differ from its training beers.

The whole table hides arrivals among the beers that were there before: with 90 new beers among 400 its stability index
hardly moves. Arrivals are the training-side beers that the champion was not trained on; the sides are a fair sample of
the families.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from artifact import BrokenArtifact, Served
from beers import Beers

SHIFT = 0.25  # Conventional: below 0.1 stable, above 0.25 a shift.
LEAST = 20  # Fewer arrivals than this are not compared.
DRAWS = 1000


def drift(champion: Served | None, train: Beers) -> dict[str, Any]:
    """{arrivals, trained_on, columns: {name: {value, chance, drifted}}, drifted: [names], sentence}.

    `value` is the population stability index of the arrivals. `chance` is what it stays below in 95 % of samples of so
    many beers without drift; a column has drifted when its value exceeds both that and SHIFT.
    """
    nothing: dict[str, Any] = {"arrivals": 0, "trained_on": 0, "columns": {}, "drifted": []}
    if champion is None:
        return nothing | {"sentence": "There is no champion to compare with."}
    known = champion.out_of_fold.family
    rows = [row for row, beer in enumerate(train.ids) if beer not in known]
    counts = nothing | {"arrivals": len(rows), "trained_on": len(known)}
    shared = [row for row, beer in enumerate(train.ids) if beer in known]
    if 2 * sum(known[train.ids[row]] != train.families[row] for row in shared) > len(shared):
        why = "The champion was trained with other recipe families, so which beers arrived since is unknown."
        return counts | {"sentence": why}
    if len(rows) < LEAST:
        why = f"{len(rows)} training beers arrived since the champion was trained: with fewer than {LEAST}, drift"
        return counts | {"sentence": f"{why} cannot be distinguished from chance."}
    arrived = train.select(rows)
    values = {name: arrived.column(name) for name in ("ibu", *arrived.numbers)}
    columns = compare(champion.card["profile"], values, len(known))
    drifted = [name for name, each in columns.items() if each["drifted"]]
    sentence = f"{len(rows)} training beers arrived since the champion was trained. "
    sentence += f"Drifted: {', '.join(drifted)}." if drifted else "No column has drifted."
    return counts | {"columns": columns, "drifted": drifted, "sentence": sentence}


def compare(
    profile: Mapping[str, Any], values: Mapping[str, np.ndarray], trained_on: int, level: float = 0.95
) -> dict[str, dict[str, Any]]:
    """{name: {value, chance, drifted}} of each column that both know: its index, and what it stays below by chance.

    values: (n,) per column, NaN where missing. level: the share of samples without drift that stay below `chance`.
    Raises BrokenArtifact for a profile of another layout.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        for name in values.keys() & profile.keys():
            value = stability_index(profile[name], values[name])
            chance = chance_level(profile[name], len(values[name]), trained_on, level)
            found[name] = {"value": value, "chance": chance, "drifted": value > max(chance, SHIFT)}
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BrokenArtifact(f"its training profile is of another version: {error!r}") from None
    if not np.isfinite([each["value"] for each in found.values()]).all():
        raise BrokenArtifact("its training profile has values that are not finite")
    return {name: found[name] for name in values if name in found}


def profile_of(values: np.ndarray) -> dict[str, Any]:
    """The distribution of (n,) known values by their deciles, as the training step writes it for its columns."""
    edges = np.unique(np.quantile(values, np.arange(1, 10) / 10))
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "shares": (counts / len(values)).tolist(), "missing": 0.0}


def stability_index(expected: Mapping[str, Any], values: np.ndarray) -> float:
    """The sum of (q - p) ln(q / p) over the parts of the profile; missing values (NaN) are a part of their own.

    0 for equal distributions; below 0.1 is usually called stable, above 0.25 a shift.
    """
    known = values[~np.isnan(values)]
    edges = np.array(expected["edges"], dtype=float)
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    today = np.append(counts, len(values) - len(known)) / len(values)
    return float(_index(_shares(expected), today))


def chance_level(expected: Mapping[str, Any], arrived: int, trained_on: int, level: float = 0.95) -> float:
    """The quantile of the index between two samples of the profile's own distribution, of these sizes."""
    shares = _shares(expected)
    generator = np.random.default_rng(0)
    shares = shares / shares.sum()
    before = generator.multinomial(trained_on, shares, DRAWS) / trained_on
    today = generator.multinomial(arrived, shares, DRAWS) / arrived
    return float(np.quantile(_index(before, today), level))


def _shares(expected: Mapping[str, Any]) -> np.ndarray:
    return np.append(np.asarray(expected["shares"], dtype=float), float(expected["missing"]))


def _index(before: np.ndarray, today: np.ndarray) -> np.ndarray:
    before, today = np.maximum(before, 1e-4), np.maximum(today, 1e-4)  # An empty part would make it infinite.
    return np.asarray(np.sum((today - before) * np.log(today / before), axis=-1))


def distributions(train: Beers, test: Beers, champion: Served | None) -> dict[str, dict[str, Sequence[float]]]:
    """Per number and side (train, test, arrivals): minimum, quartiles and maximum of the known values."""
    known = champion.out_of_fold.family if champion else dict.fromkeys(train.ids, "")
    rows = [row for row, beer in enumerate(train.ids) if beer not in known]
    sides = {"train": train, "test": test} | ({"arrivals": train.select(rows)} if rows else {})
    found: dict[str, dict[str, Sequence[float]]] = {}
    for name in ("ibu", *train.numbers):
        for side, beers in sides.items():
            values = beers.column(name)
            values = values[~np.isnan(values)]
            if values.size:
                found.setdefault(name, {})[side] = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return found
