"""The evaluation step: the figures of a candidate, the files it writes, and the errors that end it."""

import hashlib
import json
import math
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.authoring import step_outputs
from tests.support.beers import SIDES, catalogue, evaluate, module, pack, preprocess, train, workbench
from tests.support.spoilt import SPOILT, copy_of_workbench, signed

step, artifact = module("evaluate"), module("artifact")


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


@pytest.mark.release
def test_the_default_model_beats_the_median_of_the_real_beers_beyond_noise(tmp_path: Path) -> None:
    found = evaluate(train(copy_of_workbench(tmp_path / "default")), Path("nowhere"), tmp_path / "output")
    assert (found["gate"]["passed"], found["gate"]["champion_loss"], found["champion"]) == (1, 0.0, None)
    assert found["gate"]["relative_gain"] >= 0.05


def test_the_figures_are_of_out_of_fold_and_test_beers_together(evaluation: dict[str, Any]) -> None:
    gain = evaluation["gain"]
    mae, baseline = (evaluation[name]["mae"]["value"] for name in ("candidate", "baseline"))
    assert gain["value"] == pytest.approx((baseline - mae) / baseline)
    assert evaluation["gate"]["relative_gain"] == gain["low"] < gain["value"] < gain["high"]
    folds, test = evaluation["cross_validation"]["grouped"], evaluation["test"]
    assert (folds["n"], test["n"], evaluation["held_out"]["n"]) == (240, 32, 272)
    assert mae == pytest.approx((240 * folds["mae"] + 32 * test["mae"]["value"]) / 272, rel=1e-4)


def test_another_seed_changes_no_decision(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    again = evaluate(workbench(), Path("nowhere"), tmp_path, "--seed", "7")
    assert {name for name in evaluation if again[name] != evaluation[name]} == {"importance"}


def test_order_and_duplicates_do_not_change_a_figure(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    rows = [*catalogue(), *random.Random(5).choices(catalogue(), k=1500)]
    random.Random(6).shuffle(rows)
    again = evaluate(train(preprocess(tmp_path, rows), "--n-estimators", "25"), Path("nowhere"), tmp_path / "output")
    packed = {"artifact_sha256": again["lineage"]["artifact_sha256"]}  # A tar has the files' times.
    assert again == evaluation | {
        "quality": evaluation["quality"] | {"read": 1825, "duplicates": 1500},
        "summary": evaluation["summary"] | packed | {"rows": "1825"},
        "lineage": evaluation["lineage"] | packed,
    }


def test_a_candidate_that_was_trained_on_test_families_does_not_pass(tmp_path: Path) -> None:
    leaky = copy_of_workbench(tmp_path / "leaky")
    shutil.copyfile(leaky / "test/beers.csv", leaky / "train/more.csv")
    found = evaluate(train(leaky, "--n-estimators", "5"), Path("nowhere"), tmp_path / "output")
    assert (found["gate"]["passed"], found["gate"]["relative_gain"]) == (0, -1e9)
    assert "families of 32 test beers" in found["gate"]["reason"]


def changed_out_of_fold(folder: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """The workbench with other lines in the candidate's oof.csv, signed as the training step signs it."""
    copy_of_workbench(folder)
    path = folder / "model/oof.csv"
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *change(lines)]) + "\n", encoding="utf-8")
    content = json.loads((folder / "model/model.json").read_text())
    content["files"]["oof.csv"] = module("model").digest(path.read_bytes())
    (folder / "model/model.json").write_text(signed(content))
    pack(folder / "model", folder / "packed")
    return folder


def divided(lines: list[str]) -> list[str]:
    """Each beer in a fold by its position, so that families are divided."""
    rows = [line.split(",") for line in lines]
    return [",".join([row[0], row[1], str(number % 10), *row[3:]]) for number, row in enumerate(rows)]


FOLDS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a family in two folds": (divided, "is in two folds of the cross-validation"),
    "a beer missing": (lambda lines: lines[1:], "oof.csv does not hold the training beers"),
    "a beer twice": (lambda lines: [*lines, lines[0]], "oof.csv has a beer twice"),
    "NaN": (lambda lines: [lines[0].rsplit(",", 1)[0] + ",nan", *lines[1:]], "values that are not finite"),
}


@pytest.mark.parametrize("change, text", FOLDS.values(), ids=FOLDS)
def test_out_of_fold_predictions_that_cannot_be_trusted_end_the_step(
    tmp_path: Path, change: Callable[[list[str]], list[str]], text: str
) -> None:
    code, message = run(changed_out_of_fold(tmp_path / "folder", change), Path("nowhere"), tmp_path / "output")
    assert (code, text in message) == (1, True)


def test_an_override_registers_a_model_that_fails_and_records_why(tmp_path: Path) -> None:
    limits = ["--min-relative-gain", "0.9", "--override-reason", "The brewery's own choice; see mail of 27/11!"]
    found = evaluate(workbench(), Path("nowhere"), tmp_path, *limits)
    assert (found["gate"]["passed"], found["gate"]["register"]) == (0, 1)
    assert found["summary"]["failed_criteria"] == "min_relative_gain"
    assert found["summary"]["override_reason"] == "The brewery-s own choice- see mail of 27/11-"


def test_the_release_s_files_have_the_hashes_and_the_answers_of_the_model(tmp_path: Path) -> None:
    evaluation = evaluate(workbench(), Path("nowhere"), tmp_path)
    sums = dict(reversed(line.split("  ")) for line in (tmp_path / "SHA256SUMS").read_text().splitlines())
    names = ["evaluation.json", "lineage.json", "model-card.json", "report.html", "sbom.json", "smoke-test.json"]
    assert sums == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}
    smoke = json.loads((tmp_path / "smoke-test.json").read_text())
    model = artifact.load(workbench() / "packed/model.tar.gz", tmp_path / "scratch")
    assert len(smoke["request"]["instances"]) == 5
    assert model.ask(smoke["request"]["instances"]) == smoke["predictions"]
    assert json.loads((tmp_path / "lineage.json").read_text()) == evaluation["lineage"]
    components = {
        each["name"].lower(): each["version"] for each in json.loads((tmp_path / "sbom.json").read_text())["components"]
    }
    assert components["numpy"] == np.__version__
    digest = hashlib.sha256((workbench() / "packed/model.tar.gz").read_bytes()).hexdigest()
    assert evaluation["summary"]["artifact_sha256"] == evaluation["lineage"]["artifact_sha256"] == digest


@pytest.mark.parametrize("spoil, text", SPOILT.values(), ids=SPOILT)
def test_a_broken_candidate_fails_with_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], Path], text: str
) -> None:
    candidate = copy_of_workbench(tmp_path / "candidate")
    shutil.rmtree(candidate / "packed")
    shutil.copytree(spoil(tmp_path / "spoilt"), candidate / "packed")
    code, message = run(candidate, Path("nowhere"), tmp_path / "output")
    assert (code, capsys.readouterr().err) == (1, message + "\n")
    lines = message.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["Error", "Where", "Try"]
    assert lines[0].startswith("Error: the candidate is unusable: ") and text in lines[0]
    assert not (tmp_path / "output/evaluation.json").exists()


@pytest.mark.parametrize(
    "content, what",
    [("", "no beers in"), ("id,name\n1,Buzz\n", "no column family, ibu in"), (None, "a value in")],
)
def test_a_side_that_is_none_fails_with_three_lines(tmp_path: Path, content: str | None, what: str) -> None:
    folder = copy_of_workbench(tmp_path / "folder")
    path = folder / "test/beers.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("1010", "ten") if content is None else content)
    code, message = run(folder, Path("nowhere"), tmp_path / "output")
    assert (code, message.startswith(f"Error: {what}")) == (1, True)


def test_slices_and_calibration_add_up_to_the_whole(evaluation: dict[str, Any]) -> None:
    bands = evaluation["slices"]["bitterness"].values()
    assert sum(band["n"] for band in bands) == 272
    assert sum(band["n"] * band["mae"] for band in bands) / 272 == pytest.approx(
        evaluation["candidate"]["mae"]["value"]
    )
    parts, whole = evaluation["intervals"]["by_estimate"], evaluation["intervals"]
    for name in ("coverage", "mean_width"):
        figure = evaluation["candidate"][name]
        assert sum(part["n"] * part[name] for part in parts) / 272 == pytest.approx(whole[name])
        assert figure["value"] == pytest.approx(whole[name]) and figure["low"] < figure["value"] < figure["high"]
    completeness = evaluation["slices"]["completeness"]
    assert {name: part["n"] for name, part in completeness.items()} == {"nothing missing": 266, "a value missing": 6}


def test_the_confusion_matrix_counts_every_beer_once(evaluation: dict[str, Any]) -> None:
    counts = np.array(evaluation["confusion"]["counts"])
    accuracy = evaluation["candidate"]["accuracy"]["value"]
    assert (counts.sum(), counts.trace()) == (272, pytest.approx(272 * accuracy))
    bands = evaluation["slices"]["bitterness"].values()
    assert counts.sum(axis=1).tolist() == [band["n"] for band in bands]


def test_the_worst_predictions_come_first(evaluation: dict[str, Any]) -> None:
    errors = [abs(each["predicted"] - each["ibu"]) for each in evaluation["worst"]]
    assert len(errors) == 10 and errors == sorted(errors, reverse=True)


def test_the_lineage_has_the_arguments_and_the_hashes(tmp_path: Path) -> None:
    given = ["--cut-off", "2026-11-20", "--input-uri", "s3://d/s/", "--git-commit", "abc", "--image-uri", "image"]
    given += ["--environment", "tapline-ibu-dev", "--model-uri", "s3://a/executions/m1x/train/t/output/model.tar.gz"]
    found = evaluate(workbench(), Path("nowhere"), tmp_path / "output", *given, "--champion-version", "7")["lineage"]
    manifest = json.loads((workbench() / "quality/manifest.json").read_text())
    card = json.loads((workbench() / "model/model.json").read_text())
    assert found == {
        "cut_off": "2026-11-20",
        "input_uri": "s3://d/s/",
        "input_sha256": manifest["input"]["sha256"],
        "split_sha256": manifest["split"]["sha256"],
        "sides": {"train": 240, "validation": 46, "test": 32},
        "parameters": manifest["parameters"] | {"min_relative_gain": 0.0, "max_champion_loss": 0.02},
        "environment": "tapline-ibu-dev",
        "model_uri": "s3://a/executions/m1x/train/t/output/model.tar.gz",
        "run": "m1x",
        "champion_version": "7",
        "artifact_sha256": hashlib.sha256((workbench() / "packed/model.tar.gz").read_bytes()).hexdigest(),
        "git_commit": "abc",
        "image_uri": "image",
        "model_sha256": card["sha256"],
        "hyperparameters": card["hyperparameters"],
        "versions": card["versions"],
    }


SUMMARY = sorted(step_outputs.SUMMARY.values())


def test_the_summary_has_hashes_counts_and_errors_as_texts(evaluation: dict[str, Any]) -> None:
    manifest = json.loads((workbench() / "quality/manifest.json").read_text())
    mae, baseline = evaluation["candidate"]["mae"], evaluation["baseline"]["mae"]
    assert evaluation["summary"] == {
        "data_sha256": manifest["input"]["sha256"],
        "split_sha256": manifest["split"]["sha256"],
        "artifact_sha256": evaluation["lineage"]["artifact_sha256"],
        "failed_criteria": "none",
        "override_reason": "none",
        "accumulated_loss": "0.0000",
        "rows": "325",
        "beers": "325",
        "used": "318",
        "mae": f"{mae['value']:.2f}",
        "mae_low": f"{mae['low']:.2f}",
        "mae_high": f"{mae['high']:.2f}",
        "baseline_mae": f"{baseline['value']:.2f}",
    }


def one_beer(folder: Path) -> None:
    path = folder / "test/beers.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:2]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("flag", ["--min-relative-gain", "--max-champion-loss"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "many"])
def test_a_threshold_that_is_no_finite_number_is_wrong_usage(flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        step.parse_arguments([f"{flag}={value}"])
    assert ended.value.code == 2


def test_the_exit_message_needs_no_folder_but_the_container_s(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    assert step.main(["--test", str(tmp_path), "--message", str(tmp_path / "ml/output/message")]) == 1
    assert (tmp_path / "ml/output/message").read_text().startswith("Error: no beers in ")


def leaky(folder: Path) -> None:
    shutil.copyfile(folder / "test/beers.csv", folder / "train/more.csv")
    train(folder, "--n-estimators", "2")


RUNS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "the first model": (lambda folder: shutil.rmtree(folder / "champion"), []),
    "beside a champion": (lambda folder: None, []),
    "a broken champion": (lambda folder: (folder / "champion/model.tar.gz").write_bytes(b"broken"), []),
    "rejected": (lambda folder: None, ["--min-relative-gain", "0.9"]),
    "trained on the test": (leaky, []),
    "one test beer": (one_beer, []),
    "no quality.json": (lambda folder: shutil.rmtree(folder / "quality"), []),
}


@pytest.mark.parametrize("change, arguments", RUNS.values(), ids=RUNS)
def test_every_run_has_the_reason_and_the_summary_that_the_registry_shows(
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
