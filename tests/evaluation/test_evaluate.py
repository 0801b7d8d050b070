"""The evaluation step: what it measures of a candidate, what it tells of it, and what ends it."""

import json
import math
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.beers import SIDES, catalogue, evaluate, module, preprocess, train, workbench
from tests.support.spoilt import SPOILT, copy_of_workbench

step = module("evaluate")


def run(folder: Path, champion: Path, output: Path, *arguments: str) -> tuple[int, str]:
    """The step's exit code and what it left as the job's message, for sides and models of any kind."""
    message = output / "message"
    output.mkdir(exist_ok=True)
    sides = [part for name in (*SIDES, "quality") for part in (f"--{name}", str(folder / name))]
    models = ["--model", str(folder / "packed"), "--champion", str(champion)]
    code = step.main([*sides, *models, "--output", str(output), "--message", str(message), *arguments])
    return code, message.read_text() if message.exists() else ""


def numbers(value: Any) -> Iterator[float]:
    """Every number within a JSON value."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


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


def test_another_seed_gives_no_kinder_verdict(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    again = evaluate(workbench(), Path("nowhere"), tmp_path, "--seed", "7")
    assert {name for name in evaluation if again[name] != evaluation[name]} == {"importance"}


def test_order_and_duplicates_do_not_change_a_figure(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    rows = [*catalogue(), *random.Random(5).choices(catalogue(), k=1500)]
    random.Random(6).shuffle(rows)
    again = evaluate(train(preprocess(tmp_path, rows), "--n-estimators", "25"), Path("nowhere"), tmp_path / "output")
    assert again == evaluation | {
        "quality": evaluation["quality"] | {"read": 1825, "duplicates": 1500},
        "summary": evaluation["summary"] | {"rows": "1825"},
    }


def test_a_candidate_that_has_trained_on_test_recipes_does_not_pass(tmp_path: Path) -> None:
    leaky = copy_of_workbench(tmp_path / "leaky")
    shutil.copyfile(leaky / "test/beers.csv", leaky / "train/more.csv")
    found = evaluate(train(leaky, "--n-estimators", "5"), Path("nowhere"), tmp_path / "output")
    assert (found["gate"]["passed"], found["gate"]["relative_gain"]) == (0, -1e9)
    assert "recipes of 75 test beers" in found["gate"]["reason"]


@pytest.mark.parametrize("spoil, said", SPOILT.values(), ids=SPOILT)
def test_a_broken_candidate_fails_with_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], Path], said: str
) -> None:
    candidate = copy_of_workbench(tmp_path / "candidate")
    shutil.rmtree(candidate / "packed")
    shutil.copytree(spoil(tmp_path / "spoilt"), candidate / "packed")
    code, message = run(candidate, Path("nowhere"), tmp_path / "output")
    assert (code, capsys.readouterr().err) == (1, message + "\n")
    lines = message.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["Error", "Where", "Try"]
    assert lines[0].startswith("Error: the candidate is unusable: ") and said in lines[0]
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


def test_slices_and_calibration_add_up_to_the_whole(evaluation: dict[str, Any]) -> None:
    bands = evaluation["slices"]["bitterness"].values()
    assert sum(band["n"] for band in bands) == 75
    assert sum(band["n"] * band["mae"] for band in bands) / 75 == pytest.approx(evaluation["candidate"]["mae"]["value"])
    parts, whole = evaluation["intervals"]["by_estimate"], evaluation["intervals"]
    for name in ("coverage", "mean_width"):
        figure = evaluation["candidate"][name]
        assert sum(part["n"] * part[name] for part in parts) / 75 == pytest.approx(whole[name])
        assert figure["value"] == pytest.approx(whole[name]) and figure["low"] < figure["value"] < figure["high"]
    completeness = evaluation["slices"]["completeness"]
    assert {name: part["n"] for name, part in completeness.items()} == {"nothing missing": 74, "a value missing": 1}


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
        "parameters": manifest["parameters"] | {"min_relative_gain": 0.0, "max_champion_loss": 0.05},
        "git_commit": "abc",
        "image_uri": "image",
        "model_sha256": card["sha256"],
        "hyperparameters": card["hyperparameters"],
        "versions": card["versions"],
    }


SUMMARY = ["baseline_mae", "beers", "data_sha256", "kept", "mae", "mae_high", "mae_low", "rows", "split_sha256"]


def test_the_summary_tells_data_and_errors_as_texts(evaluation: dict[str, Any]) -> None:
    manifest = json.loads((workbench() / "quality/manifest.json").read_text())
    mae, baseline = evaluation["candidate"]["mae"], evaluation["baseline"]["mae"]
    assert evaluation["summary"] == {
        "data_sha256": manifest["input"]["sha256"],
        "split_sha256": manifest["split"]["sha256"],
        "rows": "325",
        "beers": "325",
        "kept": "318",
        "mae": f"{mae['value']:.2f}",
        "mae_low": f"{mae['low']:.2f}",
        "mae_high": f"{mae['high']:.2f}",
        "baseline_mae": f"{baseline['value']:.2f}",
    }


def one_beer(folder: Path) -> None:
    path = folder / "test/beers.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:2]) + "\n", encoding="utf-8")


def leaky(folder: Path) -> None:
    shutil.copyfile(folder / "test/beers.csv", folder / "train/more.csv")
    train(folder, "--n-estimators", "2")


OUTCOMES: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "the first model": (lambda folder: shutil.rmtree(folder / "champion"), []),
    "beside a champion": (lambda folder: None, []),
    "a broken champion": (lambda folder: (folder / "champion/model.tar.gz").write_bytes(b"broken"), []),
    "rejected": (lambda folder: None, ["--min-relative-gain", "0.9"]),
    "trained on the test": (leaky, []),
    "one test beer": (one_beer, []),
    "no account of the data": (lambda folder: shutil.rmtree(folder / "quality"), []),
}


@pytest.mark.parametrize("change, arguments", OUTCOMES.values(), ids=OUTCOMES)
def test_what_the_registry_shows_is_there_whatever_the_outcome(
    tmp_path: Path, change: Callable[[Path], Any], arguments: list[str]
) -> None:
    folder = copy_of_workbench(tmp_path / "folder")
    shutil.copytree(folder / "packed", folder / "champion")
    change(folder)
    found = evaluate(folder, folder / "champion", tmp_path / "output", *arguments)
    reason, summary = found["gate"]["reason"], found["summary"]
    assert 20 < len(reason) <= 700 and reason.isprintable()
    assert sorted(summary) == SUMMARY
    # The characters that a model package's metadata accept.
    assert all(re.fullmatch(r"[\w .:/=+@-]{1,256}", value) for value in summary.values())
    assert [name for name in SUMMARY if "mae" in name and not math.isfinite(float(summary[name]))] == []
    assert all(math.isfinite(number) for number in numbers(found))
    assert all(name in found["regression_metrics"] for name in ("mae", "rmse", "r2"))
