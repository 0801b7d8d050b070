"""Which side a beer is on: train, validation or test.

Beers brewed to one recipe (same abv, original gravity, final gravity and colour) are a family, and a family is
never divided: a model that has seen one has nearly seen the others. The side is a function of the family's hash
and of nothing else, so that it depends neither on the other beers nor on their order: a beer stays on its side when
more data arrives, and a larger test share only ever adds families to the test side. A beer changes sides only when
its own recipe is corrected, and then nothing of the old recipe is left on the old side.

Families need no joining through ids: there is one row, hence one recipe, per id by the time they are formed.
"""

import hashlib

from rules import Beer


def family(beer: Beer) -> str:
    """16 hexadecimal digits, equal for equal recipes; `beer` must have been repaired first."""
    recipe = (beer.abv, beer.target_og, beer.target_fg, beer.ebc)
    text = "|".join("" if value is None else repr(value) for value in recipe)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def side(family: str, test_share: float, validation_share: float) -> str:
    """`test`, `validation` or `train`; the shares are fractions of the families and add up to less than 1."""
    position = int(family, 16) / 16 ** len(family)
    if position < test_share:
        return "test"
    return "validation" if position < test_share + validation_share else "train"
