"""Assigns each beer to a recipe family, and each family to a side: train, validation or test.

Beers of equal original and final gravity are a family, and all of a family are on one side: beers of one recipe often
differ in colour or strength alone, and a model that has seen one of them predicts the others too well. A beer with an
unknown gravity is a family of its own.

The side is a function of the family's hash alone. It depends neither on the other beers nor on their order: a beer
stays on its side when more data arrives, and a larger test share only adds families to the test side. A beer changes
sides only when its gravities are corrected.
"""

import hashlib

from rules import Beer


def family(beer: Beer) -> str:
    """16 hexadecimal digits, equal for equal gravities; `beer` must have been validated first."""
    gravities = beer.numbers["target_og"], beer.numbers["target_fg"]
    key = f"id {beer.id}" if None in gravities else "|".join(map(repr, gravities))
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def side(family: str, test_share: float, validation_share: float) -> str:
    """`test`, `validation` or `train`; the shares are fractions of the families and add up to less than 1."""
    position = int(family, 16) / 16 ** len(family)
    if position < test_share:
        return "test"
    return "validation" if position < test_share + validation_share else "train"
