"""Finds the bitterness classes in which the candidate is significantly worse than the champion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from analysis import class_index
from beers import Beers
from bootstrap import draws, sums

LEAST = 20  # Beers of a slice; with fewer its error is mostly noise.
ALPHA = 0.05  # The chance that any slice is called worse when none is.


def worse_slices(beers: Beers, errors: np.ndarray, classes: Sequence[Any], allowed: float) -> list[dict[str, Any]]:
    """The slices {name, n, loss, p}, worst first; `errors` are (n, 2) IBU: the candidate's and the champion's.

    p is the share of bootstrap replicates in which the candidate is not worse by more than `allowed` (a share of the
    champion's error), one-sided, with Holm's correction for the number of slices. Without the allowance a seed alone
    makes a class significantly worse by 1 % in every tenth comparison.
    """
    truth = class_index(beers.label, classes)
    found = []
    for position, each in enumerate(classes):
        rows = np.flatnonzero(truth == position)
        if len(rows) >= LEAST:
            families = [beers.families[row] for row in rows]
            mine, theirs = sums(errors[rows], draws(families)).T
            loss = float((mine[0] - theirs[0]) / theirs[0]) if theirs[0] else 0.0
            better = int((mine[1:] <= theirs[1:] * (1 + max(allowed, 0.0))).sum())
            p = (better + 1) / len(mine)
            found.append({"name": str(each["name"]), "n": len(rows), "loss": loss, "p": p})
    return _holm(found)


def _holm(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The slices whose p stays below ALPHA when the k-th smallest is multiplied by the number of those left."""
    significant, largest = [], 0.0
    for position, each in enumerate(sorted(found, key=lambda each: each["p"])):
        largest = max(largest, each["p"] * (len(found) - position))
        if largest >= ALPHA:
            break
        significant.append(each | {"p": largest})
    return sorted(significant, key=lambda each: -each["loss"])
