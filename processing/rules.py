"""What a beer must look like to be learnt from: parsing, repair and refusal, one beer at a time.

Units: abv in % by volume, ibu in International Bitterness Units, target_fg and target_og in specific gravity x 1000,
ebc and srm in the colour units of the same names, ph without unit.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

# Plausible values, both ends included. Wide on purpose: an ABV of 55 and an IBU of 250 are real beers.
RANGES = {
    "abv": (0.0, 80.0),
    "ibu": (0.0, 1000.0),
    "target_fg": (900.0, 1250.0),
    "target_og": (900.0, 1250.0),
    "ebc": (0.0, 1000.0),
    "srm": (0.0, 510.0),
    "ph": (2.0, 8.0),
}
FEATURES = tuple(name for name in RANGES if name != "ibu")


class Beer(NamedTuple):
    """One beer; a missing value is None."""

    id: int
    name: str | None
    abv: float | None
    ibu: float | None
    target_fg: float | None
    target_og: float | None
    ebc: float | None
    srm: float | None
    ph: float | None


class Verdict(NamedTuple):
    """What became of one beer: `dropped` is the reason it is left out, or None; the lists name what was done."""

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
    """The beer in a row of text or typed values by column name; what is not a number there is missing here."""
    name = str(row["name"]) if _present(row.get("name")) else None
    return Beer(identity(row) or 0, name, *(number(row.get(column)) for column in RANGES))


def judge(row: Mapping[str, object]) -> Verdict:
    """Parses one row with a valid id and applies every rule to it."""
    emptied = [f"{name}_not_a_number" for name in FEATURES if _present(row.get(name)) and number(row[name]) is None]
    beer, repaired = _repair(parse(row))
    dropped = _refusal(beer)
    outside = [column for column in FEATURES if not _plausible(column, getattr(beer, column))]
    values: dict[str, Any] = dict.fromkeys(outside)
    beer = beer._replace(**values)
    emptied += [f"{column}_out_of_range" for column in outside]
    return Verdict(beer, dropped, repaired, emptied, _flags(beer))


def _plausible(column: str, value: float | None) -> bool:
    low, high = RANGES[column]
    return value is None or low <= value <= high


def _present(value: object) -> bool:
    return value is not None and value != "" and value == value


def _repair(beer: Beer) -> tuple[Beer, list[str]]:
    """Fermentation only lowers gravity: a final gravity above the original one means the two were swapped."""
    og, fg = beer.target_og, beer.target_fg
    if og is None or fg is None or fg <= og:
        return beer, []
    return beer._replace(target_og=fg, target_fg=og), ["gravities_swapped"]


def _refusal(beer: Beer) -> str | None:
    """Why the beer's label cannot be learnt from, or None. A label is never imputed."""
    if beer.ibu is None:
        return "ibu_missing"
    if beer.ibu == beer.target_og:
        return "ibu_equals_target_og"
    return None if _plausible("ibu", beer.ibu) else "ibu_out_of_range"


def _flags(beer: Beer) -> list[str]:
    """Values that disagree with each other; kept as they are, since either may be the wrong one."""
    flags = []
    if beer.ebc and beer.srm and not 1.7 <= beer.ebc / beer.srm <= 2.3:  # EBC is about 1.97 SRM.
        flags.append("ebc_and_srm_disagree")
    abv, og, fg = beer.abv, beer.target_og, beer.target_fg
    # 131.25 (OG - FG) with gravities as ratios: the usual approximation of the alcohol formed.
    if abv is not None and og is not None and fg is not None and abs(abv - 0.13125 * (og - fg)) > 2:
        flags.append("abv_and_gravities_disagree")
    return flags
