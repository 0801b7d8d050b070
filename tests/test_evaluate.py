"""The evaluation step: figures that are right, a gate that cannot be fooled, and artifacts that are not trusted."""

import io
import json
import math
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.beers import SIDES, catalogue, evaluate, module, pack, preprocess, train, workbench

analysis, artifact, beers, bootstrap = (module(name) for name in ("analysis", "artifact", "beers", "bootstrap"))
gate, step = module("gate"), module("evaluate")


def run(folder: Path, champion: Path, output: Path, *arguments: str) -> tuple[int, str]:
    """The step's exit code and what it left as the job's message, for sides and models of any kind."""
    message = output / "message"
    output.mkdir(exist_ok=True)
    sides = [part for name in (*SIDES, "quality") for part in (f"--{name}", str(folder / name))]
    models = ["--model", str(folder / "packed"), "--champion", str(champion)]
    code = step.main([*sides, *models, "--output", str(output), "--message", str(message), *arguments])
    return code, message.read_text() if message.exists() else ""


def copy_of_workbench(folder: Path) -> Path:
    shutil.copytree(workbench(), folder)
    return folder


def numbers(value: Any) -> Iterator[float]:
    """Every number within a JSON value."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The workbench's model, judged without a champion."""
    return evaluate(workbench(), Path("nowhere"), tmp_path_factory.mktemp("evaluation"))


def test_the_statistics_have_sagemaker_s_layout(evaluation: dict[str, Any]) -> None:
    assert sorted(evaluation["regression_metrics"]) == ["mae", "median_absolute_error", "mse", "r2", "rmse"]
    assert sorted(evaluation["multiclass_classification_metrics"]) == ["accuracy", "macro_f1"]
    for kind in ("regression_metrics", "multiclass_classification_metrics"):
        assert all(list(metric) == ["value", "standard_deviation"] for metric in evaluation[kind].values())
    assert all(math.isfinite(number) for number in numbers(evaluation))


def test_the_default_model_beats_the_median_of_the_real_beers_beyond_noise(tmp_path: Path) -> None:
    found = evaluate(train(copy_of_workbench(tmp_path / "default")), Path("nowhere"), tmp_path / "output")
    assert (found["gate"]["passed"], found["gate"]["champion_loss"], found["champion"]) == (1, 0.0, None)
    assert found["gate"]["relative_gain"] >= 0.1


def test_the_gain_is_relative_to_the_median_of_the_training_labels(evaluation: dict[str, Any]) -> None:
    gain = evaluation["gain"]
    mae, baseline = (evaluation[name]["mae"]["value"] for name in ("candidate", "baseline"))
    assert gain["value"] == pytest.approx((baseline - mae) / baseline)
    assert evaluation["gate"]["relative_gain"] == gain["low"] < gain["value"] < gain["high"]
    assert evaluation["baseline"]["label_median"] == 50
    assert evaluation["test"] == {"n": 75, "families": 64}


def test_a_champion_is_asked_about_the_same_beers(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    again = evaluate(workbench(), workbench() / "packed", tmp_path / "same", "--min-relative-gain", "0")
    assert {name: again["champion"][name] for name in evaluation["candidate"]} == evaluation["candidate"]
    assert (again["gate"]["champion_loss"], again["gate"]["passed"]) == (0.0, 1)
    still = dict.fromkeys(["ibu", "abv", "target_fg", "target_og", "ebc", "srm", "ph"], 0.0)
    assert again["drift"] == pytest.approx(still, abs=1e-6)


def test_a_candidate_worse_than_the_champion_does_not_pass(tmp_path: Path) -> None:
    worse = copy_of_workbench(tmp_path / "worse")
    train(worse, "--n-estimators", "3", "--min-samples-leaf", "60")
    found = evaluate(worse, workbench() / "packed", tmp_path / "output", "--min-relative-gain", "-1")
    mine, theirs = (found[name]["mae"]["value"] for name in ("candidate", "champion"))
    assert found["gate"]["champion_loss"] == pytest.approx((mine - theirs) / theirs)
    assert found["gate"]["champion_loss"] > 0.05
    assert (found["gate"]["passed"], "above the champion's" in found["gate"]["reason"]) == (0, True)


GAIN = {"value": 0.3, "low": 0.2}
JUDGED: dict[str, tuple[tuple[Any, ...], float, float, int, str]] = {
    "enough, no champion": ((GAIN, None, 0), 0.2, 0, 1, "there is no champion to compare with."),
    "enough, as good": ((GAIN, {"value": 0.0}, 0), 0.2, 0, 1, "it equals the champion's."),
    "enough, better": ((GAIN, {"value": -0.1}, 0), 0.2, -0.1, 1, "it is 10.0 % below the champion's."),
    "enough, a little worse": ((GAIN, {"value": 0.05}, 0), 0.2, 0.05, 1, "it is 5.0 % above the champion's."),
    "enough, but worse": ((GAIN, {"value": 0.06}, 0), 0.2, 0.06, 0, "6.0 % above the champion's: 5.0 % is allowed."),
    "just enough": (({"value": 0.3, "low": 0.1}, None, 0), 0.1, 0, 1, "there is no champion to compare with."),
    "within the noise": (({"value": 0.3, "low": 0.09}, None, 0), 0.09, 0, 0, "less than the 10.0 % asked for."),
    "worse than the median": (({"value": -0.1, "low": -0.2}, None, 0), -0.2, 0, 0, "less than the 10.0 % asked for."),
    "no gain known": (({}, None, 0), -1e9, 0, 0, "one of them is not a finite number above 0."),
    "no loss known": ((GAIN, {}, 0), 0.2, 1e9, 0, "it cannot be compared with the champion's."),
    "trained on the test": ((GAIN, None, 3), -1e9, 0, 0, "so the test says nothing."),
}


@pytest.mark.parametrize("given, gain, loss, passed, end", JUDGED.values(), ids=JUDGED)
def test_the_gate_s_verdict(given: tuple[Any, ...], gain: float, loss: float, passed: int, end: str) -> None:
    verdict = gate.judge(*given, min_relative_gain=0.1, max_champion_loss=0.05)
    assert (verdict["relative_gain"], verdict["champion_loss"], verdict["passed"]) == (gain, loss, passed)
    assert verdict["reason"].endswith(end)
    assert passed == int(gain >= 0.1 and loss <= 0.05)


def test_order_and_duplicates_do_not_change_a_figure(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    rows = [*catalogue(), *random.Random(5).choices(catalogue(), k=1500)]
    random.Random(6).shuffle(rows)
    again = evaluate(train(preprocess(tmp_path, rows), "--n-estimators", "25"), Path("nowhere"), tmp_path / "output")
    assert again.pop("quality") == evaluation["quality"] | {"read": 1825, "duplicates": 1500}
    assert again == {name: value for name, value in evaluation.items() if name != "quality"}


def test_a_candidate_that_has_trained_on_test_recipes_does_not_pass(tmp_path: Path) -> None:
    leaky = copy_of_workbench(tmp_path / "leaky")
    shutil.copyfile(leaky / "test/beers.csv", leaky / "train/more.csv")
    found = evaluate(train(leaky, "--n-estimators", "5"), Path("nowhere"), tmp_path / "output")
    assert (found["gate"]["passed"], found["gate"]["relative_gain"]) == (0, -1e9)
    assert "recipes of 75 test beers" in found["gate"]["reason"]


def test_test_beers_the_champion_has_trained_on_are_left_out_of_the_comparison(tmp_path: Path) -> None:
    champion = copy_of_workbench(tmp_path / "champion")
    header, *lines = (champion / "test/beers.csv").read_text(encoding="utf-8").splitlines()
    (champion / "train/more.csv").write_text("\n".join([header, *lines[:30]]) + "\n", encoding="utf-8")
    train(champion, "--n-estimators", "25")
    found = evaluate(workbench(), champion / "packed", tmp_path / "output")["champion"]
    seen = {line.rsplit(",", 1)[1] for line in lines[:30]}
    unseen = sum(line.rsplit(",", 1)[1] not in seen for line in lines)
    assert (found["n"], found["trained_on_by_champion"]) == (unseen, 75 - unseen)
    assert 0 < unseen <= 45


def test_a_champion_that_has_trained_on_every_test_recipe_is_left_out(tmp_path: Path) -> None:
    champion = copy_of_workbench(tmp_path / "champion")
    shutil.copyfile(champion / "test/beers.csv", champion / "train/more.csv")
    train(champion, "--n-estimators", "3")
    found = evaluate(workbench(), champion / "packed", tmp_path / "output")
    assert (found["champion"], found["gate"]["champion_loss"]) == (None, 0.0)
    assert found["about_champion"] == "The champion has trained on every test recipe, so it is left out."


def test_drift_is_the_distance_to_the_champion_s_training_beers(tmp_path: Path) -> None:
    stronger = [{**row, "abv": min(row["abv"] + 3, 60)} for row in catalogue()]
    moved = train(preprocess(tmp_path, stronger), "--n-estimators", "5")
    found = evaluate(moved, workbench() / "packed", tmp_path / "output")["drift"]
    assert found["abv"] > 0.25 > found["ibu"]


def spoilt_model(folder: Path, name: str, content: bytes) -> Path:
    """A packed copy of the workbench's model in which one file is another."""
    shutil.copytree(workbench() / "model", folder / "model")
    (folder / "model" / name).write_bytes(content)
    return pack(folder / "model", folder / "packed")


SPOILT: dict[str, Callable[[Path], Path]] = {
    "no archive": lambda folder: folder,
    "no gzip": lambda folder: written(folder / "model.tar.gz", b"not an archive"),
    "arrays that differ from their hash": lambda folder: spoilt_model(folder, "model.npz", b"PK"),
    "code that does not load": lambda folder: spoilt_model(folder, "code/inference.py", b"import nothing_like_it"),
    "answers that are not finite": lambda folder: spoilt_model(folder, "code/inference.py", NAN_CODE),
    "too few answers": lambda folder: spoilt_model(folder, "code/inference.py", SHORT_CODE),
    "answers without an interval": lambda folder: spoilt_model(folder, "code/inference.py", NARROW_CODE),
    "no profile to compare with": lambda folder: spoilt_model(folder, "model.json", card_without("profile")),
    "a hostile member": lambda folder: written(folder / "model.tar.gz", tar(member("../escaped", b"x"))),
}
STUB = """
import json
def model_fn(folder): return None
def input_fn(body, kind): return json.loads(body)["instances"]
def output_fn(answer, accept): return json.dumps(answer), accept
def predict_fn(rows, model): return {"predictions": %s}
"""
NAN_CODE = (STUB % '[{"ibu": float("nan"), "low": 0, "high": 1, "class": "low"} for _ in rows]').encode()
SHORT_CODE = (STUB % "[]").encode()
NARROW_CODE = (STUB % '[{"ibu": 5} for _ in rows]').encode()


def card_without(name: str) -> bytes:
    card = json.loads((workbench() / "model/model.json").read_text())
    return json.dumps({each: value for each, value in card.items() if each != name}).encode()


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.parent


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_broken_champion_is_reported_and_blocks_nobody(
    tmp_path: Path, evaluation: dict[str, Any], spoil: Callable[[Path], Path]
) -> None:
    (tmp_path / "champion").mkdir()
    found = evaluate(workbench(), spoil(tmp_path / "champion"), tmp_path / "output")
    assert (found["champion"], found["gate"]) == (None, evaluation["gate"])
    assert (
        found["about_champion"].startswith("The champion cannot be asked") or "no champion" in found["about_champion"]
    )


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_broken_candidate_fails_with_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], Path]
) -> None:
    candidate = copy_of_workbench(tmp_path / "candidate")
    shutil.rmtree(candidate / "packed")
    (tmp_path / "spoilt").mkdir()
    shutil.copytree(spoil(tmp_path / "spoilt"), candidate / "packed")
    code, message = run(candidate, Path("nowhere"), tmp_path / "output")
    assert (code, capsys.readouterr().err) == (1, message + "\n")
    assert [line.partition(": ")[0] for line in message.splitlines()] == ["Error", "Where", "Try"]
    assert not (tmp_path / "output/evaluation.json").exists()


@pytest.mark.parametrize(
    "content, what",
    [("", "no beers in"), ("id,name\n1,Buzz\n", "no column family, ibu, abv"), (None, "a value in")],
)
def test_a_side_that_is_none_fails_with_three_lines(tmp_path: Path, content: str | None, what: str) -> None:
    folder = copy_of_workbench(tmp_path / "folder")
    path = folder / "test/beers.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("1010", "ten") if content is None else content)
    code, message = run(folder, Path("nowhere"), tmp_path / "output")
    assert (code, message.startswith(f"Error: {what}")) == (1, True)


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for attribute, value in attributes.items():
        setattr(entry, attribute, value)
    return entry, content


def tar(*members: tuple[tarfile.TarInfo, bytes], without: tuple[str, ...] = ()) -> bytes:
    """A model.tar.gz with the names of a model, but for `without`, and then these members."""
    buffer = io.BytesIO()
    names = sorted(artifact.FILES.difference(without))
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for entry, content in [*(member(name, b"x") for name in names), *members]:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


HOSTILE = {
    "a parent folder": tar(member("../escaped", b"x")),
    "a parent folder within": tar(member("code/../../escaped", b"x")),
    "an absolute path": tar(member("/tmp/escaped", b"x")),
    "a symbolic link": tar(member("code/more.py", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a symbolic link of a known name": tar(member("./oof.csv", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a hard link": tar(member("code/more.py", type=tarfile.LNKTYPE, linkname="model.json")),
    "a fifo": tar(member("pipe", type=tarfile.FIFOTYPE)),
    "a device": tar(member("null", type=tarfile.CHRTYPE)),
    "a sparse file": tar(member("oof.csv", type=tarfile.GNUTYPE_SPARSE), without=("oof.csv",)),
    "a duplicate": tar(member("model.json", b"{}")),
    "a duplicate by another spelling": tar(member("./model.json", b"{}")),
    "a stranger": tar(member("code/sitecustomize.py", b"raise SystemExit")),
    "a pickle": tar(member("model.joblib", b"\x80\x04")),
    "a folder that is none of a model's": tar(member("code/inner", type=tarfile.DIRTYPE)),
    "a bomb": tar(member("oof.csv", bytes(3_000_000)), without=("oof.csv",)),
    "a bomb in a header": tar(member("x" * 3_000_000, b"x")),
    "truncated": tar()[:-40],
    "nothing": b"",
    "no gzip": b"PK\x03\x04",
    "half a model": tar(without=("oof.csv",)),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in" / "model.tar.gz"
    written(path, content)
    with pytest.raises(artifact.UnsafeArtifact):
        artifact.read_archive(path, largest=2_000_000)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["in", "model.tar.gz"]


def test_an_honest_archive_is_read_in_every_spelling(tmp_path: Path) -> None:
    for name, names in {"plain": lambda each: each, "dotted": lambda each: f"./{each}"}.items():
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.add(workbench() / "model", ".", recursive=False)
            for path in sorted((workbench() / "model").rglob("*")):
                archive.add(path, names(path.relative_to(workbench() / "model").as_posix()), recursive=False)
        files = artifact.read_archive(tmp_path / name)
        assert files == {each: (workbench() / "model" / each).read_bytes() for each in artifact.FILES}


def test_the_code_of_one_model_is_not_that_of_another(tmp_path: Path) -> None:
    ours = module("inference")
    told = (STUB % '[{"ibu": 7.0, "low": 0, "high": 9, "class": "low"} for _ in rows]').encode()
    first = artifact.load(workbench() / "packed/model.tar.gz", tmp_path / "first")
    other = spoilt_model(tmp_path / "other", "code/inference.py", told)
    second = artifact.load(other / "model.tar.gz", tmp_path / "second")
    assert [each["ibu"] for each in second.ask([{"abv": 5.0}] * 2)] == [7.0, 7.0]
    assert first.ask([{"abv": 5.0}])[0]["ibu"] != 7.0
    assert module("inference") is ours


def test_the_figures_are_those_of_scikit_learn() -> None:
    from sklearn import metrics

    generator = np.random.default_rng(3)
    label, predicted = generator.gamma(2, 30, 101), generator.gamma(2, 30, 101)
    drawn = bootstrap.draws([f"{number // 2}" for number in range(101)], seed=0)
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
    drawn = bootstrap.draws(["a", "b", "c", "d"], seed=0)
    assert bootstrap.medians(np.array([4.0, 2.0, 3.0, 1.0]), drawn)[0] == 3


def test_whole_families_are_drawn() -> None:
    values = np.arange(100.0)
    alone = bootstrap.draws([f"{number}" for number in range(100)], seed=0)
    together = bootstrap.draws([f"{number // 20}" for number in range(100)], seed=0)
    narrow, wide = (bootstrap.figure(bootstrap.sums(values[:, None], each)[:, 0] / 100) for each in (alone, together))
    assert narrow["value"] == wide["value"] == 49.5
    assert narrow["standard_deviation"] == pytest.approx(values.std() / 10, rel=0.1)
    assert wide["standard_deviation"] > 3 * narrow["standard_deviation"]


def test_a_figure_that_cannot_be_computed_is_absent() -> None:
    constant = np.full(10, 35.0)
    drawn = bootstrap.draws([f"{number}" for number in range(10)], seed=0)
    found = bootstrap.figures(bootstrap.regression(constant, constant + 1, drawn))
    assert sorted(found) == ["mae", "median_absolute_error", "mse", "rmse"]
    assert bootstrap.figure(np.full(2001, np.nan)) == {}
    assert bootstrap.figure(bootstrap.relative(np.ones(2001), np.zeros(2001))) == {}
    assert bootstrap.figure(bootstrap.relative(np.zeros(2001), np.zeros(2001)))["value"] == 0


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


def test_slices_and_calibration_add_up_to_the_whole(evaluation: dict[str, Any]) -> None:
    bands = evaluation["slices"]["bitterness"].values()
    assert sum(band["n"] for band in bands) == 75
    assert sum(band["n"] * band["mae"] for band in bands) / 75 == pytest.approx(evaluation["candidate"]["mae"]["value"])
    parts, whole = evaluation["intervals"]["by_estimate"], evaluation["intervals"]
    for name in ("coverage", "mean_width"):
        assert sum(part["n"] * part[name] for part in parts) / 75 == pytest.approx(whole[name])


def test_the_worst_predictions_come_first(evaluation: dict[str, Any]) -> None:
    errors = [abs(each["predicted"] - each["ibu"]) for each in evaluation["worst"]]
    assert len(errors) == 10 and errors == sorted(errors, reverse=True)


def test_the_lineage_is_what_was_told_and_what_lies_there(tmp_path: Path) -> None:
    told = ["--cut-off", "2026-11-20", "--input-uri", "s3://d/s/", "--git-commit", "abc", "--image-uri", "image"]
    found = evaluate(workbench(), Path("nowhere"), tmp_path / "output", *told)["lineage"]
    manifest = json.loads((workbench() / "quality/manifest.json").read_text())
    card = json.loads((workbench() / "model/model.json").read_text())
    assert found == {
        "cut_off": "2026-11-20",
        "input_uri": "s3://d/s/",
        "input_sha256": manifest["input"]["sha256"],
        "split_sha256": manifest["split"]["sha256"],
        "sides": {"train": 221, "validation": 22, "test": 75},
        "git_commit": "abc",
        "image_uri": "image",
        "model_sha256": card["sha256"],
        "hyperparameters": card["hyperparameters"],
        "versions": card["versions"],
    }
