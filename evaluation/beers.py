"""The beers of one side, as the processing step wrote them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

NUMBERS = ("abv", "target_fg", "target_og", "ebc", "srm", "ph")


class NoBeers(Exception):
    """The folder holds no beers, or not the columns that are needed; the text says which."""


class Beers(NamedTuple):
    """n beers: `instances` are what a client would send, `label` is (n,) IBU, families are recipe hashes."""

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


def read_beers(folder: Path) -> Beers:
    """The beers of every CSV file in the folder. Raises NoBeers."""
    rows = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    if not rows:
        raise NoBeers(f"no beers in {folder}")
    missing = [name for name in ("id", "family", "ibu", "name", *NUMBERS) if name not in rows[0]]
    if missing:
        raise NoBeers(f"no column {', '.join(missing)} in {folder}")
    try:
        label = np.array([row["ibu"] for row in rows], dtype=float)
        if not np.isfinite(label).all():
            raise ValueError("ibu is NaN or infinite")
        return Beers(
            ids=[row["id"] for row in rows],
            families=[row["family"] for row in rows],
            label=label,
            instances=[
                {"name": row["name"] or None} | {name: float(row[name]) if row[name] else None for name in NUMBERS}
                for row in rows
            ],
        )
    except ValueError as error:
        raise NoBeers(f"a value in {folder} is not a number: {error}") from None
