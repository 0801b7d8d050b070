"""The evaluation's figures: scikit-learn's values, intervals from whole families, drift and importance."""

import math

import numpy as np
import pytest

from tests.support.beers import module

analysis, artifact, beers, bootstrap = (module(name) for name in ("analysis", "artifact", "beers", "bootstrap"))


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
    assert analysis.stability_index(profile, values) == pytest.approx(expected)


def test_only_inputs_that_the_model_uses_are_important() -> None:
    abv = np.linspace(2, 12, 40)
    rows = [{"name": None, **dict.fromkeys(beers.NUMBERS, 1.0), "abv": value} for value in abv]
    names = [f"{number}" for number in range(40)]
    told = artifact.Served({}, frozenset(), lambda asked: [{"ibu": 5 * row["abv"]} for row in asked])
    found = analysis.permutation_importance(told, beers.Beers(names, names, 5 * abv, rows), seed=0)
    assert {name for name, figure in found.items() if figure["value"]} == {"strength (abv)"}
    assert found["strength (abv)"]["value"] > 10
