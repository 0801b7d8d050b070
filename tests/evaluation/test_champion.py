"""The champion in the evaluation: compared on the same beers, and left out when it cannot be asked fairly."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.beers import catalogue, evaluate, preprocess, train, workbench
from tests.support.spoilt import SPOILT, card, copy_of_workbench, spoilt_model

NOBODY = "There is no champion: its folder is empty."


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
