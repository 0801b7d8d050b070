"""The training step: scikit-learn's forest, cross-validation by families, repeatable bytes."""

import hashlib
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.beers import ROOT, SIDES, catalogue, module, preprocess, train, workbench

crossval, features, forest, inference = (module(name) for name in ("crossval", "features", "forest", "inference"))
rules, step, metrics = module("rules"), module("train"), module("metrics")
SETTINGS = crossval.Settings(n_estimators=20, max_features=0.6, min_samples_leaf=1, seed=7)


def beers() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The workbench's training beers: features without NaN, label and families."""
    table = step.read_beers(workbench() / "train")
    matrix = features.feature_matrix(step.columns_of(table))
    return (
        features.fill(matrix, features.column_medians(matrix)),
        table["ibu"].to_numpy(float),
        table["family"].tolist(),
    )


def test_the_forest_is_tree_for_tree_that_of_scikit_learn() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    matrix, label, _ = beers()
    theirs = ExtraTreesRegressor(20, max_features=0.6, min_samples_leaf=1, random_state=7).fit(matrix, np.log1p(label))
    expected = np.stack([tree.predict(matrix.astype(np.float32)) for tree in theirs.estimators_], axis=1)
    ours = forest.from_bytes(forest.to_bytes(crossval.fit_forest(matrix, label, SETTINGS)), matrix.shape[1])
    unseen = matrix + np.random.default_rng(0).normal(size=matrix.shape)
    assert np.array_equal(forest.predict_trees(ours, matrix), expected)
    assert np.array_equal(
        forest.predict_trees(ours, unseen),
        np.stack([tree.predict(unseen.astype(np.float32)) for tree in theirs.estimators_], axis=1),
    )


def test_the_estimate_is_the_median_of_the_trees_on_the_logarithm() -> None:
    matrix, label, _ = beers()
    fitted = crossval.fit_forest(matrix, label, SETTINGS)
    trees = forest.predict_trees(fitted, matrix)
    expected = np.expm1(np.median(trees, axis=1))
    assert inference.quartiles_of(trees)[:, 1] == pytest.approx(expected, rel=1e-12)


def test_equal_input_makes_equal_bytes_in_any_order_and_number_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(workbench() / "validation", folder / "validation")
    header, *lines = (workbench() / "train/beers.csv").read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    (folder / "train").mkdir()
    for name, part in (("a.csv", lines[:100]), ("b.csv", lines[100:])):
        (folder / "train" / name).write_text("\n".join([header, *part]) + "\n", encoding="utf-8")
    train(folder, "--n-estimators", "25")
    for path in sorted((workbench() / "model").rglob("*.*")):
        assert (folder / path.relative_to(workbench())).read_bytes() == path.read_bytes(), path.name


def test_the_model_folder_holds_its_serving_code_and_the_hash_of_every_file() -> None:
    model = workbench() / "model"
    found = sorted(path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file())
    code = sorted(f"code/{name}" for name in step.SERVED)
    assert found == [*code, "model.json", "model.npz", "neighbours.csv", "oof.csv"]
    for name in code:
        assert (model / name).read_bytes() == (ROOT / "training" / Path(name).name).read_bytes()
    card = json.loads((model / "model.json").read_text())
    hashes = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in found if "/" not in name}
    assert {"model.npz": card["sha256"], **card["files"]} == {k: v for k, v in hashes.items() if k != "model.json"}
    assert card["features"] == list(features.FEATURES)
    settings = {"n_estimators": 25, "max_features": 0.6, "min_samples_leaf": 1, "seed": 0, "folds": 10}
    assert card["hyperparameters"] == settings
    assert card["beers"] == {"train": 240, "validation": 46, "families": 163}


def test_each_metric_definition_finds_its_own_line_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in SIDES:
        shutil.copytree(workbench() / side, tmp_path / side)
    train(tmp_path, "--n-estimators", "5")
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "output/data/metrics.json").read_text())
    for metric, regex in metrics.METRICS.items():
        part, name = metric.split(":")
        assert [float(value) for value in re.findall(regex, printed)] == [pytest.approx(found[part][name], abs=1e-4)]


def test_another_seed_makes_another_forest_and_no_validation_side_is_needed(tmp_path: Path) -> None:
    shutil.copytree(workbench() / "train", tmp_path / "train")
    train(tmp_path, "--n-estimators", "25", "--seed", "1")
    card = json.loads((tmp_path / "model/model.json").read_text())
    assert "validation" not in card["metrics"]
    assert card["sha256"] != json.loads((workbench() / "model/model.json").read_text())["sha256"]


def test_a_family_is_in_one_fold_and_folds_are_of_equal_size() -> None:
    families = [f"{number % 60:02}" for number in range(90)]
    folds = crossval.assign_folds(families, 10)
    assert all(
        len({fold for fold, name in zip(folds, families, strict=True) if name == each}) == 1 for each in families
    )
    assert [len({families[row] for row in np.flatnonzero(folds == fold)}) for fold in range(10)] == [6] * 10
    assert crossval.assign_folds(["b", "a", "b"], 10).tolist() == [1, 0, 1]


def test_a_prediction_out_of_fold_does_not_depend_on_the_fold_s_own_labels() -> None:
    matrix, label, families = beers()
    before = crossval.out_of_fold(matrix, label, families, 10, SETTINGS)
    inside = before.fold == 3
    changed = np.where(inside, label[::-1] + 100, label)
    after = crossval.out_of_fold(matrix, changed, families, 10, SETTINGS)
    for name in ("predicted", "baseline", "votes", "parts"):
        assert np.array_equal(getattr(before, name)[inside], getattr(after, name)[inside]), name
    assert not np.array_equal(before.predicted, after.predicted)


def test_the_offset_is_the_conformal_quantile() -> None:
    assert crossval.conformal_offset(np.arange(1.0, 20.0)) == 18  # The 18th of 19: ceil(20 * 0.9).
    assert crossval.conformal_offset(np.arange(1.0, 5.0)) == 4  # Too few for a promise: the largest.


def test_intervals_out_of_fold_cover_nine_in_ten_and_contain_the_estimate() -> None:
    table = np.genfromtxt(workbench() / "model/oof.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert 0.87 <= np.mean((table["low"] <= table["ibu"]) & (table["ibu"] <= table["high"])) <= 0.94
    assert np.all((table["low"] >= 0) & (table["low"] <= table["predicted"]) & (table["predicted"] <= table["high"]))
    assert len(table) == 240


def test_a_column_with_a_value_for_one_beer_only_can_be_trained_on() -> None:
    matrix, label, families = beers()
    lonely = matrix.copy()
    lonely[1:, features.FEATURES.index("ph")] = np.nan
    result = crossval.out_of_fold(lonely, label, families, 10, SETTINGS)
    assert np.isfinite([result.predicted, result.low, result.high]).all()


def test_the_cross_validation_is_better_than_the_median_and_gives_the_range_of_seeds() -> None:
    found = json.loads((workbench() / "model/model.json").read_text())["metrics"]["cv_families"]
    assert found["mae"] < found["baseline_mae"]
    low, high = found["seed_range"]
    assert low < high < found["baseline_mae"]


def test_without_forks_the_folds_are_predicted_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, label, families = beers()
    expected = crossval.out_of_fold(matrix, label, families, 4, SETTINGS)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("no semaphores")

    monkeypatch.setattr(crossval, "ProcessPoolExecutor", refuse)
    alone = crossval.out_of_fold(matrix, label, families, 4, SETTINGS)
    assert all(np.array_equal(a, b) for a, b in zip(expected, alone, strict=True))


def test_votes_are_the_shares_of_the_trees_in_each_class() -> None:
    trees = np.log1p(np.array([[0, 19.9, 20.1, 500], [45, 45, 45, 69]]))
    votes = module("explain").class_votes(trees, [20.0, 40.0, 70.0])
    assert votes.tolist() == [[0.5, 0.25, 0, 0.25], [0, 0, 1, 0]]


def test_probabilities_are_calibrated_better_than_the_votes() -> None:
    generator = np.random.default_rng(0)
    truth_shares = np.array([0.1, 0.2, 0.4, 0.3])
    label = np.array([10.0, 30, 50, 100])[generator.choice(4, 2000, p=truth_shares)]
    votes = generator.dirichlet([0.3] * 4, 2000)  # Sure of itself, and always wrong.
    result = crossval.OutOfFold(np.arange(2000) % 5, *[label] * 6, votes)
    found = metrics.calibrate(label, result, [20.0, 40.0, 70.0])
    assert found["weight"] == 1
    assert found["metrics"]["ece"] < 0.05 < 0.3 < found["metrics"]["raw_ece"]


def edited(column: str, value: str) -> str:
    header, *lines = (workbench() / "train/beers.csv").read_text(encoding="utf-8").splitlines()
    place = header.split(",").index(column) - len(header.split(","))  # From the end: a name may hold a comma.
    rows = [line.rsplit(",", 9) for line in lines]
    return "\n".join([header, *(",".join([*row[:place], value, *row[place:][1:]]) for row in rows)]) + "\n"


# The training side, or the column of the beers' that gets one value.
UNUSABLE: dict[str, tuple[str | tuple[str, str], str]] = {
    "no beers": ("", "too few families (0 < 10 folds)"),
    "a column missing": ("id,name\n1,Buzz\n", "no column ibu, family, abv, target_fg, target_og, ebc, srm, ph"),
    "one family": (("family", "0123456789abcdef"), "too few families (1 < 10 folds)"),
    "one label": (("ibu", "35"), "the label ibu is missing or constant"),
    "no label": (("ibu", ""), "the label ibu is missing or constant"),
    "an empty column": (("ph", ""), "no beer has a value for ph"),
}


@pytest.mark.parametrize("content, what", UNUSABLE.values(), ids=UNUSABLE)
def test_data_that_cannot_make_a_model_fails_with_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | tuple[str, str], what: str
) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "ml").mkdir()
    if content:
        text = content if isinstance(content, str) else edited(*content)
        (tmp_path / "train/beers.csv").write_text(text, encoding="utf-8")
    folders = {"--train": "train", "--validation": "none", "--model-dir": "model", "--output-data-dir": "ml/data"}
    code = step.main([part for flag, name in folders.items() for part in (flag, str(tmp_path / name))])
    printed = capsys.readouterr().err
    assert (code, printed, (tmp_path / "ml/failure").read_text() + "\n") == (1, printed, printed)
    assert [line.partition(": ")[0] for line in printed.splitlines()] == ["Error", "Where", "Try"]
    assert printed.startswith(f"Error: {what}\n")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "flag, value",
    [
        ("--n-estimators", "0"),
        ("--n-estimators", "many"),
        ("--max-features", "0"),
        ("--max-features", "1.5"),
        ("--min-samples-leaf", "0"),
        ("--seed", "-1"),
        ("--folds", "1"),
    ],
)
def test_an_impossible_hyperparameter_is_wrong_usage(flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        step.parse_arguments([flag, value])
    assert ended.value.code == 2


def test_new_beers_do_not_move_the_folds_of_their_side_into_the_test(tmp_path: Path) -> None:
    few = preprocess(tmp_path, catalogue()[:200])
    seen = set(step.read_beers(few / "train")["family"])
    tested = set(step.read_beers(workbench() / "test")["family"])
    assert seen and not seen & tested
