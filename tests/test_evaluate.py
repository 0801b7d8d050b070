"""The evaluation step: figures that are right, a gate that cannot be fooled, and artifacts that are not trusted."""

import io
import json
import math
import random
import re
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
    assert {"coverage", "mean_width"} < set(again["champion"]) and "coverage" not in again["baseline"]
    still = dict.fromkeys(["ibu", "abv", "target_fg", "target_og", "ebc", "srm", "ph"], 0.0)
    assert again["drift"] == pytest.approx(still, abs=1e-6)


def test_a_candidate_worse_than_the_champion_does_not_pass(tmp_path: Path) -> None:
    worse = copy_of_workbench(tmp_path / "worse")
    train(worse, "--n-estimators", "3", "--min-samples-leaf", "60")
    found = evaluate(worse, workbench() / "packed", tmp_path / "output", "--min-relative-gain", "-1")
    mine, theirs = (found[name]["mae"]["value"] for name in ("candidate", "champion"))
    assert found["gate"]["champion_loss"] == pytest.approx((mine - theirs) / theirs)
    assert found["gate"]["champion_loss"] > 0.05
    assert (found["gate"]["passed"], "the champion's (90 % interval" in found["gate"]["reason"]) == (0, True)


def share(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def test_another_seed_gives_no_kinder_verdict(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    again = evaluate(workbench(), Path("nowhere"), tmp_path, "--seed", "7")
    assert {name for name in evaluation if again[name] != evaluation[name]} == {"importance"}


GAIN = share(0.3, 0.2, 0.4)
NOBODY = "There is no champion: its folder is empty."
FOUND = "The error is 30.0 % below the median's (90 % interval: 20.0 to 40.0 % below)"
ABOVE = "6.0 % above the champion's (90 % interval: 1.0 % below to 13.0 % above)"
# Gain, loss and leaked beers, then the two figures, the verdict and the reason.
JUDGED: dict[str, tuple[Any, Any, int, float, float, int, str]] = {
    "enough, no champion": (GAIN, None, 0, 0.2, 0, 1, f"{FOUND}. {NOBODY}"),
    "enough, as good": (GAIN, share(0, 0, 0), 0, 0.2, 0, 1, f"{FOUND}, and equal to the champion's."),
    "enough, better": (
        GAIN,
        share(-0.1, -0.2, -0.05),
        0,
        0.2,
        -0.1,
        1,
        f"{FOUND}, and 10.0 % below the champion's (90 % interval: 5.0 to 20.0 % below).",
    ),
    "enough, a little worse": (
        GAIN,
        share(0.05, 0.01, 0.09),
        0,
        0.2,
        0.05,
        1,
        f"{FOUND}, and 5.0 % above the champion's (90 % interval: 1.0 to 9.0 % above).",
    ),
    "enough, but worse": (
        GAIN,
        share(0.06, -0.01, 0.13),
        0,
        0.2,
        0.06,
        0,
        f"{FOUND}, but {ABOVE}: at most 5.0 % is allowed.",
    ),
    "just enough": (
        share(0.3, 0.1, 0.5),
        None,
        0,
        0.1,
        0,
        1,
        f"The error is 30.0 % below the median's (90 % interval: 10.0 to 50.0 % below). {NOBODY}",
    ),
    "within the noise": (
        share(0.3, 0.09, 0.51),
        None,
        0,
        0.09,
        0,
        0,
        "The error is 30.0 % below the median's (90 % interval: 9.0 to 51.0 % below): a gain of 9.0 % beyond noise "
        f"where 10.0 % is asked for. {NOBODY}",
    ),
    "worse than the median": (
        share(-0.1, -0.2, 0.04),
        share(0.5, 0.4, 0.6),
        0,
        -0.2,
        0.5,
        0,
        "The error is 10.0 % above the median's (90 % interval: 4.0 % below to 20.0 % above): a gain of -20.0 % beyond "
        "noise where 10.0 % is asked for.",
    ),
    "no gain known": ({}, None, 0, -1e9, 0, 0, f"The error cannot be compared with the median's, which is 0. {NOBODY}"),
    "no loss known": (
        GAIN,
        {},
        0,
        0.2,
        1e9,
        0,
        f"{FOUND}, but it cannot be compared with the champion's, which is 0.",
    ),
    "trained on the test": (
        GAIN,
        None,
        3,
        -1e9,
        0,
        0,
        f"The candidate has trained on the recipes of 3 test beers, so the test says nothing. {NOBODY}",
    ),
}


@pytest.mark.parametrize("gained, lost, leaked, gain, loss, passed, reason", JUDGED.values(), ids=JUDGED)
def test_the_gate_s_verdict(
    gained: Any, lost: Any, leaked: int, gain: float, loss: float, passed: int, reason: str
) -> None:
    assert gate.judge(gained, lost, leaked, NOBODY, min_relative_gain=0.1, max_champion_loss=0.05) == {
        "relative_gain": gain,
        "champion_loss": loss,
        "min_relative_gain": 0.1,
        "max_champion_loss": 0.05,
        "passed": passed,
        "reason": reason,
    }
    assert passed == int(gain >= 0.1 and loss <= 0.05)


@pytest.mark.parametrize(
    "sentence, end",
    [
        ("Two\nlines,\ta tab\x00 and\u202e more.", ". Two lines, a tab and more."),
        ("x" * 5000, "x..."),
    ],
)
def test_the_reason_is_one_line_that_a_description_can_hold(sentence: str, end: str) -> None:
    reason = gate.judge(GAIN, None, 0, sentence, 0.1, 0.05)["reason"]
    assert reason.startswith(f"{FOUND}. ") and reason.endswith(end)
    assert reason.isprintable() and len(reason) <= 700


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
    assert found["about_champion"] == "The champion is left out: it has trained on every test recipe."
    assert found["gate"]["reason"].endswith(found["about_champion"])


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


NAN = "an answer that is not a bitterness: NaN, infinite or absurd"
# What may lie where a model should, and what is said of it.
SPOILT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no gzip": (lambda folder: written(folder / "model.tar.gz", b"no archive"), "not a readable tar.gz"),
    "an archive cut short": (lambda folder: written(folder / "model.tar.gz", tar()[:-40]), "not a readable tar.gz"),
    "an empty file": (lambda folder: written(folder / "model.tar.gz", b""), "not a readable tar.gz"),
    "another hash": (lambda folder: spoilt_model(folder, "model.npz", b"PK"), "its SHA-256 differs"),
    "another version": (
        lambda folder: spoilt_model(folder, "model.json", card(format=2)),
        "format 2 where 1 is served",
    ),
    "other features": (lambda folder: spoilt_model(folder, "model.json", card(features=["abv"])), "on other features"),
    "no profile": (lambda folder: spoilt_model(folder, "model.json", card(profile=None)), "KeyError: 'profile'"),
    "no code": (lambda folder: spoilt_model(folder, "code/inference.py", b"import nothing_like_it"), "nothing_like_it"),
    "code that exits": (lambda folder: spoilt_model(folder, "code/inference.py", b"raise SystemExit(0)"), "SystemExit"),
    "NaN": (lambda folder: spoilt_model(folder, "code/inference.py", answering("float('nan')")), NAN),
    "infinity": (lambda folder: spoilt_model(folder, "code/inference.py", answering("float('inf')")), NAN),
    "absurd": (lambda folder: spoilt_model(folder, "code/inference.py", answering("1e308")), NAN),
    "too few answers": (lambda folder: spoilt_model(folder, "code/inference.py", SHORT_CODE), "0 predictions for 75"),
    "no interval": (lambda folder: spoilt_model(folder, "code/inference.py", NARROW_CODE), "without ibu, low and high"),
    "a hostile member": (
        lambda folder: written(folder / "model.tar.gz", tar(member("../escaped", b"x"))),
        "'../escaped' is not a file of a model",
    ),
}
STUB = """
import json
def model_fn(folder): return None
def input_fn(body, kind): return json.loads(body)["instances"]
def output_fn(answer, accept): return json.dumps(answer), accept
def predict_fn(rows, model): return {"predictions": %s}
"""
SHORT_CODE = (STUB % "[]").encode()
NARROW_CODE = (STUB % '[{"ibu": 5} for _ in rows]').encode()


def answering(ibu: str) -> bytes:
    return (STUB % f'[{{"ibu": {ibu}, "low": 0, "high": 1, "class": "low"}} for _ in rows]').encode()


def card(**changed: Any) -> bytes:
    found = json.loads((workbench() / "model/model.json").read_text())
    return json.dumps(found | changed).encode()


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.parent


@pytest.mark.parametrize("spoil, said", SPOILT.values(), ids=SPOILT)
def test_a_broken_champion_is_reported_and_blocks_nobody(
    tmp_path: Path, evaluation: dict[str, Any], spoil: Callable[[Path], Path], said: str
) -> None:
    found = evaluate(workbench(), spoil(tmp_path / "champion"), tmp_path / "output")
    about = found["about_champion"]
    assert about.startswith("The champion is left out, as it cannot be asked: ") and said in about
    reason = evaluation["gate"]["reason"].replace(NOBODY, about)
    assert (found["champion"], found["drift"]) == (None, {})
    assert found["gate"] == evaluation["gate"] | {"reason": reason}


PROFILES: dict[str, Any] = {
    "another layout": {"abv": {"mean": 5.0}},
    "a list": [1, 2],
    "a share missing": {"abv": {"edges": [5.0], "shares": [1.0], "missing": 0.0}},
    "a share that is null": {"abv": {"edges": [5.0], "shares": [None, 1.0], "missing": 0.0}},
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_champion_with_another_version_s_profile_blocks_nobody(tmp_path: Path, profile: Any) -> None:
    champion = spoilt_model(tmp_path / "champion", "model.json", card(profile=profile))
    found = evaluate(workbench(), champion, tmp_path / "output")
    assert (found["champion"], found["gate"]["passed"], found["gate"]["champion_loss"]) == (None, 1, 0.0)
    assert "as it cannot be asked: its training profile" in found["gate"]["reason"]


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "There is no champion: its folder is empty."),
        ({"no-champion": "no model has been approved yet\n"}, "There is no champion: no model has been approved yet."),
        ({"no-champion": ""}, "There is no champion: none is named."),
        ({"model.tar": "x"}, "The champion is left out: its folder holds no model.tar.gz."),
    ],
)
def test_a_champion_folder_without_a_model_blocks_nobody(
    tmp_path: Path, evaluation: dict[str, Any], files: dict[str, str], said: str
) -> None:
    (tmp_path / "champion").mkdir()
    for name, content in files.items():
        (tmp_path / "champion" / name).write_text(content)
    found = evaluate(workbench(), tmp_path / "champion", tmp_path / "output")
    reason = evaluation["gate"]["reason"].replace(NOBODY, said)
    assert (found["about_champion"], found["gate"]) == (said, evaluation["gate"] | {"reason": reason})


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
