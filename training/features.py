"""Makes the model's features from a beer's columns; training and serving share this module.

Needs numpy only. Units as in the cleaned table: abv in % by volume, target_fg and target_og in specific gravity
x 1000, ebc and srm in the colour units of the same names, ph without unit.
"""

import re
from collections.abc import Mapping, Sequence

import columns as table
import numpy as np

# The numeric inputs: all numeric columns of the table but the label.
RANGES = {name: ends for name, ends in table.RANGES.items() if name != "ibu"}
INPUTS = ("name", *RANGES)  # One of the orders of a CSV request without a header.

# The inputs that the features below are made of; any further column of the table is a feature as it is.
USED = ("abv", "target_fg", "target_og", "ebc", "srm", "ph")
FEATURES = (
    "abv",
    "target_og",
    "target_fg",
    "attenuation",
    "abv_from_gravities",
    "abv_gap",
    "log_ebc",
    "log_srm",
    "colour_gap",
    "log_abv",
    "gravity_to_colour",
    "ph",
    "style_ibu",
    *(name for name in RANGES if name not in USED),
)

# Words of a name, and the bitterness in IBU that the BJCP Style Guidelines (2021) give for the style they name; the
# special before the general. None of it was learnt from the beers' labels.
STYLES = tuple(
    (re.compile(rf"\b(?:{words})"), low, high)
    for words, low, high in (
        ("imperial (?:stout|porter)|russian imperial", 50, 90),
        (r"(?:double|imperial|triple)\b.*\b(?:ipa|india)", 60, 100),
        (r"black\b.*\b(?:ipa|india)", 50, 90),
        (r"rye ipa|rye india", 50, 75),
        ("hazy|vermont|new england", 25, 60),
        (r"ipa\b|india", 40, 70),
        ("barley ?wine", 50, 100),
        ("berliner", 3, 8),
        (r"gose\b", 5, 12),
        ("pils", 22, 40),
        ("dortmund", 20, 30),
        ("helles", 16, 22),
        ("keller", 20, 40),
        ("vienna", 18, 30),
        ("lager", 18, 25),
        ("saison", 20, 35),
        ("tripel", 20, 40),
        ("trappist", 25, 45),
        ("hefeweizen|weizen|weiss", 8, 15),
        ("wheat", 15, 30),
        ("stout", 25, 45),
        ("porter", 18, 35),
        ("scotch|shilling", 15, 30),
        ("brown", 20, 30),
        (r"red\b|amber", 25, 40),
        ("blond", 15, 28),
        ("bitter", 25, 40),
        ("pale", 30, 50),
    )
)


def style_ibu(name: str | None) -> float:
    """The middle of the style's bitterness range in IBU, or 0 when the name gives no style."""
    text = (name or "").lower()
    return next(((low + high) / 2 for words, low, high in STYLES if words.search(text)), 0.0)


def feature_matrix(columns: Mapping[str, Sequence[object]]) -> np.ndarray:
    """(n, features) float64 in the order of FEATURES, NaN where a value is missing.

    `columns` holds n values for every name in INPUTS: numbers, None or NaN; text or None for the name.
    """
    numbers = {name: np.asarray(columns[name], dtype=float) for name in RANGES}
    abv, fg, og, ebc, srm, ph = (numbers[name] for name in USED)
    ebc_per_srm = 1.97
    full_ebc = np.where(np.isnan(ebc), srm * ebc_per_srm, ebc)
    full_srm = np.where(np.isnan(srm), ebc / ebc_per_srm, srm)
    from_gravities = 0.13125 * (og - fg)  # The usual approximation of the alcohol formed, in % by volume.
    features = numbers | {
        "abv": abv,
        "target_og": og,
        "target_fg": fg,
        "attenuation": (og - fg) / np.where(og > 1000, og - 1000, np.nan),  # The apparent one.
        "abv_from_gravities": from_gravities,
        "abv_gap": abv - from_gravities,
        "log_ebc": np.log1p(full_ebc),
        "log_srm": np.log1p(full_srm),
        "colour_gap": np.log1p(full_ebc) - np.log1p(full_srm),
        "log_abv": np.log1p(abv),
        "gravity_to_colour": (og - 1000) / (1 + np.log1p(full_ebc)),
        "ph": ph,
        "style_ibu": np.array([style_ibu(name) for name in columns["name"]]),  # type: ignore[arg-type]
    }
    return np.column_stack([features[name] for name in FEATURES])


def column_medians(matrix: np.ndarray) -> np.ndarray:
    """(features,) medians of the known values; 0 for a column without any."""
    empty = np.isnan(matrix).all(axis=0)
    medians: np.ndarray = np.nanmedian(np.where(empty, 0.0, matrix), axis=0)
    return medians


def fill(matrix: np.ndarray, medians: np.ndarray) -> np.ndarray:
    """`matrix` with every NaN replaced by its column's training median."""
    return np.where(np.isnan(matrix), medians, matrix)
