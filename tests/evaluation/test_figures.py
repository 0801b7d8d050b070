"""The evaluation's figures: scikit-learn's values, intervals from whole families, drift and importance."""

import math
from typing import Any

import numpy as np
import pytest

from tests.support.beers import module

analysis, artifact, beers, bootstrap = (module(name) for name in ("analysis", "artifact", "beers", "bootstrap"))
arrivals, slices, classes = (module(name) for name in ("arrivals", "slices", "classes"))
CLASSES = [{"name": "low", "below": 20}, {"name": "high", "below": None}]


def test_the_figures_are_those_of_scikit_learn() -> None:
    from sklearn import metrics

    generator = np.random.default_rng(3)
    label, predicted = generator.gamma(2, 30, 101), generator.gamma(2, 30, 101)
    drawn = bootstrap.draws([f"{number // 2}" for number in range(101)])
    errors = {name: values[0] for name, values in bootstrap.regression(label, predicted, drawn).items()}
    assert errors == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(label, predicted),
            "mse": metrics.mean_squared_error(label, predicted),
            "rmse": metrics.root_mean_squared_error(label, predicted),
            "r2": metrics.r2_score(label, predicted),
            "median_absolute_error": metrics.median_absolute_error(label, predicted),
        }
    )
    truth, guess = generator.integers(0, 3, 101), generator.integers(0, 3, 101)
    hits = {name: values[0] for name, values in bootstrap.classification(truth, guess, 4, drawn).items()}
    assert hits == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, guess),
            "macro_f1": metrics.f1_score(truth, guess, average="macro"),
        }
    )


def test_the_median_of_an_even_number_is_the_upper_one() -> None:
    drawn = bootstrap.draws(["a", "b", "c", "d"])
    assert bootstrap.medians(np.array([4.0, 2.0, 3.0, 1.0]), drawn)[0] == 3


def test_whole_families_are_drawn() -> None:
    values = np.arange(100.0)
    alone = bootstrap.draws([f"{number}" for number in range(100)])
    together = bootstrap.draws([f"{number // 20}" for number in range(100)])
    narrow, wide = (bootstrap.figure(bootstrap.sums(values[:, None], each)[:, 0] / 100) for each in (alone, together))
    assert narrow["value"] == wide["value"] == 49.5
    assert narrow["standard_deviation"] == pytest.approx(values.std() / 10, rel=0.1)
    assert wide["standard_deviation"] > 3 * narrow["standard_deviation"]


def test_a_figure_that_cannot_be_computed_is_absent() -> None:
    assert bootstrap.figure(np.full(2001, np.nan)) == {}
    assert bootstrap.figure(bootstrap.relative(np.ones(2001), np.zeros(2001))) == {}
    assert bootstrap.figure(bootstrap.relative(np.zeros(2001), np.zeros(2001)))["value"] == 0


@pytest.mark.parametrize("off, r2", [(0.0, 1.0), (1.0, 0.0)])
def test_equal_labels_have_the_r2_that_scikit_learn_gives_them(off: float, r2: float) -> None:
    from sklearn import metrics

    assert metrics.r2_score(np.full(10, 35.0), np.full(10, 35.0 + off)) == r2
    drawn = bootstrap.draws([f"{number}" for number in range(10)])
    # Unlike 35, 35.1 leaves a spread of rounding errors.
    for label in (35.0, 35.1):
        constant = np.full(10, label)
        assert set(bootstrap.regression(constant, constant + off, drawn)["r2"]) == {r2}


@pytest.mark.parametrize(
    "values, expected",
    [
        ([5.0, 15.0, 25.0, 35.0, None], 0.0),
        ([5.0, 15.0, 25.0, 25.0, None], (0.4 - 0.2) * math.log(2) + (1e-4 - 0.2) * math.log(1e-4 / 0.2)),
        ([None] * 5, 4 * (1e-4 - 0.2) * math.log(1e-4 / 0.2) + 0.8 * math.log(5)),
    ],
)
def test_the_stability_index_compares_shares(values: list[float | None], expected: float) -> None:
    profile = {"edges": [10, 20, 30], "shares": [0.2, 0.2, 0.2, 0.2], "missing": 0.2}
    found = arrivals.stability_index(profile, np.array(values, dtype=float))
    assert found == pytest.approx(expected)


def test_the_chance_level_is_what_samples_without_drift_stay_below() -> None:
    profile = {"edges": list(range(1, 10)), "shares": [0.1] * 10, "missing": 0.0}
    levels = [arrivals.chance_level(profile, arrived, 318) for arrived in (20, 90, 400)]
    assert levels == sorted(levels, reverse=True)
    assert levels[1] == pytest.approx(0.24, abs=0.05)


def invented(label: list[float]) -> Any:
    names = [f"{number}" for number in range(len(label))]
    return beers.Beers(names, names, np.array(label), [{"name": None} for _ in names])


def test_a_class_that_gets_worse_is_found_and_a_small_one_is_not_tested() -> None:
    generator = np.random.default_rng(1)
    label = [10.0] * 60 + [50.0] * 60
    theirs = np.abs(generator.normal(5, 2, 120))
    worse = np.where(np.array(label) < 20, theirs * 1.5, theirs * 0.9)
    found = slices.worse_slices(invented(label), np.column_stack([worse, theirs]), CLASSES, 0.0)
    assert [(each["name"], each["n"], round(each["loss"], 2)) for each in found] == [("low", 60, 0.5)]
    assert found[0]["p"] < 0.01
    assert slices.worse_slices(invented(label), np.column_stack([worse, theirs]), CLASSES, 0.6) == []
    few = slices.worse_slices(invented(label[50:]), np.column_stack([worse, theirs])[50:], CLASSES, 0.0)
    assert few == []


def test_equal_models_are_called_worse_in_one_of_twenty_comparisons_at_most() -> None:
    generator = np.random.default_rng(2)
    label = [10.0] * 40 + [50.0] * 40
    called = 0
    for _ in range(100):
        errors = generator.gamma(2, 5, (80, 2))
        called += bool(slices.worse_slices(invented(label), errors, CLASSES, 0.0))
    assert called <= 10


def test_holm_s_correction_multiplies_by_the_number_of_slices_left() -> None:
    given = [
        {"name": "a", "p": 0.02, "loss": 1},
        {"name": "b", "p": 0.04, "loss": 2},
        {"name": "c", "p": 0.5, "loss": 3},
    ]
    assert slices._holm(given) == []
    given[0]["p"] = 0.01
    assert slices._holm(given) == [{"name": "a", "p": 0.03, "loss": 1}]
    given[1]["p"] = 0.02
    assert [each["name"] for each in slices._holm(given)] == ["b", "a"]


def test_the_calibration_error_is_the_distance_between_confidence_and_accuracy() -> None:
    sure = np.tile([0.9, 0.1], (10, 1))
    assert classes.calibration_error(sure, np.array([0] * 9 + [1])) == pytest.approx(0)
    assert classes.calibration_error(sure, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)


def test_only_inputs_that_the_model_uses_are_important() -> None:
    abv = np.linspace(2, 12, 40)
    numbers = ("abv", "target_fg", "target_og", "ebc", "srm", "ph")
    rows = [{"name": None, **dict.fromkeys(numbers, 1.0), "abv": value} for value in abv]
    names = [f"{number}" for number in range(40)]
    out_of_fold = artifact.OutOfFold({}, {}, {})
    model = artifact.Served({}, out_of_fold, None, lambda asked: [{"ibu": 5 * row["abv"]} for row in asked], None)
    found = analysis.permutation_importance(model, beers.Beers(names, names, 5 * abv, rows), seed=0)
    assert {name for name, figure in found.items() if figure["value"]} == {"strength (abv)"}
    assert found["strength (abv)"]["value"] > 10
