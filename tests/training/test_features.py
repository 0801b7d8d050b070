"""The features that a model is made from."""

import math
from typing import Any

import numpy as np
import pytest

from tests.support.beers import module

features = module("features")


def columns(**given: Any) -> dict[str, list[Any]]:
    return {name: [given.get(name)] for name in features.INPUTS}


@pytest.mark.parametrize(
    "name, ibu",
    [
        ("Punk IPA 2010 - Current", 55),
        ("Prototype Double IPA", 80),
        ("Small Batch: Rye IPA", 62.5),
        ("Old World Russian Imperial Stout", 70),
        ("Sunmaid Stout", 35),
        ("Small Batch: Imperial Pale Weizen", 11.5),
        ("Russian Doll - India Pale Ale", 55),
        ("77 LAGER", 21.5),
        ("Hoptimist", 0),
        ("Spilsby", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_a_style_named_in_the_name_gives_its_usual_bitterness(name: str | None, ibu: float) -> None:
    assert features.style_ibu(name) == ibu


def test_the_features_of_a_beer() -> None:
    given = columns(name="Punk IPA", abv=5.6, target_fg=1010, target_og=1053, ebc=17, srm=8.5, ph=4.4)
    row = dict(zip(features.FEATURES, features.feature_matrix(given)[0], strict=True))
    assert row == pytest.approx(
        {
            "abv": 5.6,
            "target_og": 1053,
            "target_fg": 1010,
            "attenuation": 43 / 53,
            "abv_from_gravities": 0.13125 * 43,
            "abv_gap": 5.6 - 0.13125 * 43,
            "log_ebc": math.log(18),
            "log_srm": math.log(9.5),
            "colour_gap": math.log(18 / 9.5),
            "log_abv": math.log(6.6),
            "gravity_to_colour": 53 / (1 + math.log(18)),
            "ph": 4.4,
            "style_ibu": 55,
        }
    )


def test_one_colour_gives_the_other_and_missing_values_are_filled_with_medians() -> None:
    matrix = features.feature_matrix(columns(ebc=19.7))
    known = {features.FEATURES[column]: matrix[0, column] for column in np.flatnonzero(~np.isnan(matrix[0]))}
    assert known == pytest.approx(
        {"log_ebc": math.log(20.7), "log_srm": math.log(11), "colour_gap": math.log(20.7 / 11), "style_ibu": 0}
    )
    by_srm = dict(zip(features.FEATURES, features.feature_matrix(columns(srm=10))[0], strict=True))
    assert by_srm["log_ebc"] == pytest.approx(math.log(20.7))
    medians = np.arange(13.0)
    assert np.array_equal(features.fill(matrix, medians), np.where(np.isnan(matrix), medians, matrix))


def test_a_further_column_of_the_table_is_a_feature_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (*features.FEATURES, "attenuation_level")
    monkeypatch.setattr(features, "RANGES", features.RANGES | {"attenuation_level": (0.0, 100.0)})
    monkeypatch.setattr(features, "FEATURES", names)
    row = features.feature_matrix(columns(abv=5.0) | {"attenuation_level": [81.0]})[0]
    assert (len(row), row[-1]) == (len(names), 81.0)
