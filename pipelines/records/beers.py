"""Plausible beers by brewing formulas, in the shape of the Punk API.

A style bounds original gravity, attenuation, bitterness and colour; a beer draws from them, and its bill of malt and
hops is computed from what it drew. Its figures follow from the bill:

- alcohol by volume: 131.25 (OG - FG), gravities as ratios;
- colour: SRM = 1.4922 MCU^0.6859 (Morey), MCU in pounds times degrees Lovibond per gallon; EBC = 1.97 SRM;
- bitterness: IBU by Tinseth, hops boiled 60 and 10 minutes.
"""

import functools
import math
import random
from typing import Any, NamedTuple

from ingestion.record import COLUMNS

Beer = dict[str, Any]
Ends = tuple[float, float]


class Style(NamedTuple):
    """Least and most of a style: gravity points (OG 1.050 is 50), attenuation, IBU, SRM and pH."""

    name: str
    points: Ends
    attenuation: Ends
    ibu: Ends
    srm: Ends
    ph: Ends = (4.1, 4.6)


STYLES = (
    Style("Pale Ale", (44, 60), (0.74, 0.82), (30, 50), (5, 10)),
    Style("Session IPA", (36, 50), (0.72, 0.82), (35, 55), (3, 9)),
    Style("IPA", (54, 70), (0.76, 0.84), (45, 75), (5, 13)),
    Style("Double IPA", (66, 88), (0.78, 0.86), (65, 115), (6, 13)),
    Style("Black IPA", (52, 75), (0.74, 0.82), (50, 90), (26, 38)),
    Style("Pilsner", (43, 51), (0.76, 0.84), (22, 42), (2.5, 5)),
    Style("Lager", (40, 50), (0.76, 0.84), (10, 25), (2.5, 6)),
    Style("Amber Ale", (44, 60), (0.72, 0.80), (25, 42), (10, 17)),
    Style("Red Ale", (44, 62), (0.72, 0.80), (20, 45), (11, 19)),
    Style("Brown Ale", (40, 58), (0.70, 0.78), (18, 35), (14, 24)),
    Style("Porter", (42, 66), (0.70, 0.78), (18, 45), (20, 32)),
    Style("Stout", (42, 60), (0.68, 0.78), (25, 48), (30, 42)),
    Style("Imperial Stout", (78, 118), (0.68, 0.78), (50, 95), (34, 50), (4.2, 4.7)),
    Style("Barley Wine", (82, 120), (0.70, 0.80), (40, 95), (9, 20), (4.3, 4.8)),
    Style("Saison", (46, 66), (0.82, 0.92), (18, 36), (4, 10), (3.9, 4.4)),
    Style("Witbier", (42, 52), (0.76, 0.84), (8, 20), (2.5, 5)),
    Style("Weissbier", (44, 54), (0.74, 0.82), (8, 16), (2.5, 7)),
    Style("Berliner Weisse", (28, 36), (0.80, 0.90), (3, 9), (2, 4), (3.1, 3.4)),
    Style("Tripel", (74, 88), (0.82, 0.90), (20, 40), (4, 8)),
    Style("Scotch Ale", (70, 120), (0.68, 0.76), (17, 36), (14, 26)),
)
FIRST_WORDS = ("Harbour", "Granite", "Copper", "Northern", "Midnight", "Salt", "Amber", "Wild", "Paper", "Ninth")
SECOND_WORDS = ("Fox", "Signal", "Lantern", "River", "Anvil", "Heron", "Compass", "Orchard", "Mill", "Ferry")

LITRES = 20.0
# Points of gravity that a kilogram of malt gives in a litre, at a brewhouse efficiency of 75 %.
POINTS_OF_KILOGRAM = 300 * 0.75
LOVIBOND_OF_BASE, LOVIBOND_OF_DARK = 1.7, 500.0
POUNDS_PER_GALLON = 2.20462 * 3.78541 / LITRES  # Of one kilogram in the batch.
ALPHA = 0.11  # Share of alpha acids in the hops.
LATE_SHARE = 0.35  # Of the hops, those of the last ten minutes.

COMPUTED = ("id", "abv", "ibu", "target_fg", "target_og", "ebc", "srm", "ph")
# A numeric column of the table without a formula here is drawn evenly from its plausible range.
OTHERS = tuple(column for column in COLUMNS if column.kind != "text" and column.name not in COMPUTED)


def beer(seed: int, number: int) -> Beer:
    """The beer of this id; equal for equal seed and number, whatever else is generated."""
    chance = random.Random((seed << 64) + number)
    draw, style = chance.random, STYLES[int(chance.random() * len(STYLES))]
    points = round(_between(style.points, draw()))
    final = round(points * (1 - _between(style.attenuation, draw())))
    grams = _hops(_between(style.ibu, draw()), points)
    base, dark = _malts(points, _between(style.srm, draw()))
    srm = _morey(base, dark)
    name = f"{FIRST_WORDS[int(draw() * 10)]} {SECOND_WORDS[int(draw() * 10)]} {style.name}"
    found: Beer = {
        "id": number,
        "name": name,
        "first_brewed": f"{1 + int(draw() * 12):02}/{2007 + int(draw() * 19)}",
        "abv": round(0.13125 * (points - final), 1),
        "ibu": round(grams[0] * _ibu_of_gram(points, 60) + grams[1] * _ibu_of_gram(points, 10)),
        "target_fg": 1000 + final,
        "target_og": 1000 + points,
        "ebc": round(1.97 * srm, 1),
        "srm": round(srm, 1),
        "ph": round(_between(style.ph, draw()), 1),
        "attenuation_level": round(100 * (points - final) / points),
        "volume": {"value": LITRES, "unit": "litres"},
        "boil_volume": {"value": 1.25 * LITRES, "unit": "litres"},
        "method": {"mash_temp": [{"temp": {"value": 63 + int(draw() * 6), "unit": "celsius"}, "duration": 75}]},
        "ingredients": {"malt": _malt_bill(base, dark), "hops": _hop_bill(grams), "yeast": "Ale yeast"},
    }
    for column in OTHERS:
        value = _between((column.low, column.high), draw())
        found[column.name] = round(value) if column.kind == "integer" else round(value, 3)
    return found


def _between(ends: Ends, share: float) -> float:
    return ends[0] + share * (ends[1] - ends[0])


def _malts(points: int, srm: float) -> tuple[float, float]:
    """Kilograms of base and of dark malt that give the gravity and about the colour."""
    total = points * LITRES / POINTS_OF_KILOGRAM
    units = (srm / 1.4922) ** (1 / 0.6859) / POUNDS_PER_GALLON
    dark = max(0.0, (units - total * LOVIBOND_OF_BASE) / (LOVIBOND_OF_DARK - LOVIBOND_OF_BASE))
    return round(total - dark, 2), round(dark, 3)


def _morey(base: float, dark: float) -> float:
    """The colour in SRM of kilograms of base and dark malt."""
    return 1.4922 * float(((base * LOVIBOND_OF_BASE + dark * LOVIBOND_OF_DARK) * POUNDS_PER_GALLON) ** 0.6859)


@functools.cache
def _ibu_of_gram(points: int, minutes: int) -> float:
    """The IBU that one gram of hops gives by Tinseth in a wort of this gravity, boiled for so long."""
    utilisation = 1.65 * 0.000125 ** (points / 1000) * (1 - math.exp(-0.04 * minutes)) / 4.15
    return float(utilisation * ALPHA * 1000 / LITRES)


def _hops(ibu: float, points: int) -> tuple[float, float]:
    """Grams of early and of late hops that give about this bitterness."""
    mixed = (1 - LATE_SHARE) * _ibu_of_gram(points, 60) + LATE_SHARE * _ibu_of_gram(points, 10)
    return round(ibu * (1 - LATE_SHARE) / mixed, 1), round(ibu * LATE_SHARE / mixed, 1)


def _malt_bill(base: float, dark: float) -> list[Beer]:
    bill = (("Extra Pale", base), ("Black", dark))
    return [{"name": name, "amount": {"value": kilos, "unit": "kilograms"}} for name, kilos in bill if kilos]


def _hop_bill(grams: tuple[float, float]) -> list[Beer]:
    bill = zip(("start", "end"), ("bitter", "flavour"), grams, strict=True)
    return [
        {"name": "Chinook", "amount": {"value": value, "unit": "grams"}, "add": add, "attribute": attribute}
        for add, attribute, value in bill
    ]
