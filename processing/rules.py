"""Validates and repairs one beer at a time; decides whether it can be trained on.

Units: abv in % by volume, ibu in International Bitterness Units, target_fg and target_og in specific gravity x 1000,
ebc and srm in the colour units of the same names, ph without unit.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from columns import LONGEST_NAME, RANGES

FEATURES = tuple(name for name in RANGES if name != "ibu")
GRAVITIES = ("target_fg", "target_og")
# No gravity x 1000 lies here, and every gravity written as a ratio (1.050) does.
RATIO = (0.9, 1.25)
# An ABV in % by volume below this is rarer than one written as a fraction (0.05 for 5 %).
LEAST_ABV = 0.3


class Beer(NamedTuple):
    """One beer. `numbers` has a value, or None for a missing one, for every column of RANGES."""

    id: int
    name: str | None
    numbers: dict[str, float | None]

    @property
    def ibu(self) -> float | None:
        """The label."""
        return self.numbers["ibu"]


class Validated(NamedTuple):
    """A beer after validation. `dropped` is the reason it is left out, or None; the lists name what was changed."""

    beer: Beer
    dropped: str | None
    repaired: list[str]
    emptied: list[str]
    flagged: list[str]


def identity(row: Mapping[str, object]) -> int | None:
    """The beer's id, or None when the row has no whole number from 1 there."""
    value = number(row.get("id"))
    return int(value) if value is not None and value.is_integer() and 1 <= value < 2**53 else None


def number(value: object) -> float | None:
    """A finite float, or None for what is empty or not a number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def parse(row: Mapping[str, object]) -> Beer:
    """The beer in a row of text or typed values by column name. What is not a number becomes None."""
    name = str(row["name"]) if _present(row.get("name")) else None
    return Beer(identity(row) or 0, name, {column: number(row.get(column)) for column in RANGES})


def validate(row: Mapping[str, object]) -> Validated:
    """Parses one row with a valid id and applies every rule to it."""
    parsed = parse(row)
    numbers = dict(parsed.numbers)
    reasons = {name: "not_a_number" for name in FEATURES if _present(row.get(name)) and numbers[name] is None}
    reasons |= {name: reason for name in FEATURES if (reason := _implausible(name, numbers[name]))}
    numbers |= dict.fromkeys(reasons)
    repaired = _repair(numbers)
    emptied = [f"{name}_{reason}" for name, reason in reasons.items()]
    beer = parsed._replace(numbers=numbers)
    return Validated(beer, _drop_reason(beer), repaired, emptied, _flags(numbers))


def _implausible(column: str, value: float | None) -> str | None:
    """The reason why a value cannot be used, or None."""
    if value is None:
        return None
    if column in GRAVITIES and RATIO[0] <= value <= RATIO[1]:
        return "as_a_ratio"
    if column == "abv" and 0 < value < LEAST_ABV:
        return "as_a_fraction"
    low, high = RANGES[column]
    return None if low <= value <= high else "out_of_range"


def _present(value: object) -> bool:
    return value is not None and value != "" and value == value


def _repair(numbers: dict[str, float | None]) -> list[str]:
    """Swaps the gravities where the final one is above the original one: fermentation only lowers gravity."""
    og, fg = numbers["target_og"], numbers["target_fg"]
    if og is None or fg is None or fg <= og:
        return []
    numbers |= {"target_og": fg, "target_fg": og}
    return ["gravities_swapped"]


def _drop_reason(beer: Beer) -> str | None:
    """Why the beer cannot be trained on, or None. A label is never imputed."""
    if beer.name is not None and len(beer.name) > LONGEST_NAME:
        return "name_too_long"
    if beer.ibu is None:
        return "ibu_missing"
    if beer.ibu == beer.numbers["target_og"]:
        return "ibu_equals_target_og"
    return "ibu_out_of_range" if _implausible("ibu", beer.ibu) else None


def _flags(numbers: Mapping[str, float | None]) -> list[str]:
    """Values that disagree with each other. They stay as they are, since either may be the wrong one."""
    flags = []
    abv, og, fg, ebc, srm = (numbers[name] for name in ("abv", "target_og", "target_fg", "ebc", "srm"))
    if ebc and srm and not 1.7 <= ebc / srm <= 2.3:  # EBC is about 1.97 SRM.
        flags.append("ebc_and_srm_disagree")
    # 131.25 (OG - FG) with gravities as ratios: the usual approximation of the alcohol formed.
    if abv is not None and og is not None and fg is not None and abs(abv - 0.13125 * (og - fg)) > 2:
        flags.append("abv_and_gravities_disagree")
    return flags
