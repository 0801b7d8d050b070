"""Reads the beers of one side, as the processing step wrote them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

# The columns of a side that are not inputs of the model.
NOT_INPUTS = ("id", "ibu", "family")


class NoBeers(Exception):
    """The folder has no beers, or lacks a column; the message names it."""


class Beers(NamedTuple):
    """n beers: `instances` are requests' rows (name and numbers, None where missing), `label` is (n,) IBU."""

    ids: list[str]
    families: list[str]
    label: np.ndarray
    instances: list[dict[str, object]]

    def select(self, rows: Sequence[int]) -> "Beers":
        """The beers at these positions."""
        return Beers(
            [self.ids[row] for row in rows],
            [self.families[row] for row in rows],
            self.label[list(rows)],
            [self.instances[row] for row in rows],
        )

    def column(self, name: str) -> np.ndarray:
        """(n,) values of a numeric column or of the label, NaN where missing."""
        if name == "ibu":
            return self.label
        return np.array([np.nan if row.get(name) is None else row[name] for row in self.instances], dtype=float)

    @property
    def numbers(self) -> list[str]:
        """The names of the numeric inputs."""
        return [name for name in self.instances[0] if name != "name"] if self.instances else []


def concatenate(first: Beers, second: Beers) -> Beers:
    """The beers of both, in order."""
    return Beers(
        first.ids + second.ids,
        first.families + second.families,
        np.concatenate([first.label, second.label]),
        first.instances + second.instances,
    )


def read_beers(folder: Path) -> Beers:
    """The beers of every CSV file in the folder. Raises NoBeers."""
    rows = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    if not rows:
        raise NoBeers(f"no beers in {folder}")
    missing = [name for name in ("id", "family", "ibu", "name") if name not in rows[0]]
    if missing:
        raise NoBeers(f"no column {', '.join(missing)} in {folder}")
    numbers = [name for name in rows[0] if name not in (*NOT_INPUTS, "name")]
    try:
        label = np.array([row["ibu"] for row in rows], dtype=float)
        if not np.isfinite(label).all():
            raise ValueError("ibu is NaN or infinite")
        return Beers(
            ids=[row["id"] for row in rows],
            families=[row["family"] for row in rows],
            label=label,
            instances=[
                {"name": row["name"] or None} | {name: float(row[name]) if row[name] else None for name in numbers}
                for row in rows
            ],
        )
    except ValueError as error:
        raise NoBeers(f"a value in {folder} is not a number: {error}") from None
