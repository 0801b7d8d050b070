"""The champion in the evaluation: compared on beers that both models have predicted unseen, or left out."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.beers import SIDES, catalogue, evaluate, module, pack, preprocess, train, workbench
from tests.support.spoilt import SPOILT, card, copy_of_workbench, signed, spoilt_model

champion_module = module("champion")

NOBODY = "There is no champion: its folder is empty."


def test_a_champion_is_compared_on_the_same_held_out_beers(tmp_path: Path, evaluation: dict[str, Any]) -> None:
    again = evaluate(workbench(), workbench() / "packed", tmp_path / "same")
    assert {name: again["champion"][name] for name in evaluation["candidate"]} == evaluation["candidate"]
    assert (again["champion"]["n"], again["champion"]["out_of_fold"]) == (272, 240)
    assert (again["gate"]["champion_loss"], again["gate"]["passed"]) == (0.0, 1)
    assert {"coverage", "mean_width"} < set(again["champion"]) and "coverage" not in again["baseline"]


def test_a_candidate_worse_than_the_champion_does_not_pass(tmp_path: Path) -> None:
    worse = copy_of_workbench(tmp_path / "worse")
    train(worse, "--n-estimators", "3", "--min-samples-leaf", "60")
    found = evaluate(worse, workbench() / "packed", tmp_path / "output", "--min-relative-gain", "-1")
    mine, theirs = (found[name]["mae"]["value"] for name in ("candidate", "champion"))
    assert found["gate"]["champion_loss"] == pytest.approx((mine - theirs) / theirs)
    assert found["gate"]["champion_loss"] > 0.02
    assert (found["gate"]["passed"], "the champion's (90 % interval" in found["gate"]["reason"]) == (0, True)
    assert found["gate"]["failed"][0] == "max_champion_loss"


def test_losses_of_earlier_approvals_count(tmp_path: Path) -> None:
    again = evaluate(workbench(), workbench() / "packed", tmp_path, "--champion-accumulated-loss", "0.05")
    assert again["gate"]["failed"] == ["accumulated_loss"]
    assert "Above the best version approved so far it is 5.0 %: at most 4.0 % is allowed." in again["gate"]["reason"]
    assert again["summary"]["accumulated_loss"] == "0.0500"


def test_a_beer_that_the_champion_was_trained_on_is_compared_out_of_fold(tmp_path: Path) -> None:
    champion = copy_of_workbench(tmp_path / "champion")
    header, *lines = (champion / "test/beers.csv").read_text(encoding="utf-8").splitlines()
    (champion / "train/more.csv").write_text("\n".join([header, *lines[:20]]) + "\n", encoding="utf-8")
    train(champion, "--n-estimators", "25")
    found = evaluate(workbench(), champion / "packed", tmp_path / "output")["champion"]
    moved = {line.rsplit(",", 1)[1] for line in lines[:20]}
    unseen = sum(line.rsplit(",", 1)[1] not in moved for line in lines)
    assert (found["out_of_fold"], found["n"]) == (260, 240 + 20 + unseen)


def regrouped(folder: Path) -> Path:
    """A champion whose families are single beers."""
    for side in ("train", "test"):
        path = folder / side / "beers.csv"
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        changed = [f"{line.rsplit(',', 1)[0]},{number:016x}" for number, line in enumerate(lines)]
        path.write_text("\n".join([header, *changed]) + "\n", encoding="utf-8")
    return train(folder, "--n-estimators", "25")


def test_a_champion_of_other_families_is_refitted_on_the_candidate_s_folds(tmp_path: Path) -> None:
    champion = regrouped(copy_of_workbench(tmp_path / "champion"))
    found = evaluate(workbench(), champion / "packed", tmp_path / "output")
    assert found["about_champion"] == (
        "The champion was trained with other recipe families: its recipe was refitted on the candidate's folds."
    )
    # The same recipe on the same folds: the very same predictions.
    assert found["champion"]["mae"]["value"] == pytest.approx(found["candidate"]["mae"]["value"], rel=1e-4)
    assert "coverage" not in found["champion"]
    assert found["drift"]["sentence"].endswith("so which beers arrived since is unknown.")


def test_a_recipe_that_cannot_be_refitted_is_left_out_with_the_reason(tmp_path: Path) -> None:
    champion = regrouped(copy_of_workbench(tmp_path / "champion"))
    changed = json.loads((champion / "model/model.json").read_text()) | {"aggregate": "mean of the trees"}
    del changed["card_sha256"]
    content = signed(changed)
    (champion / "model/model.json").write_text(content)
    pack(champion / "model", champion / "packed")
    found = evaluate(workbench(), champion / "packed", tmp_path / "output")
    assert found["champion"] is None
    assert found["about_champion"].endswith("its aggregate is not known here: 'mean of the trees'.")


def test_a_champion_of_fewer_columns_is_compared_on_what_both_know(tmp_path: Path) -> None:
    wider = copy_of_workbench(tmp_path / "wider")
    for side in SIDES:
        path = wider / side / "beers.csv"
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        wide = [f"{header},attenuation_level", *(f"{line},{number % 20 + 60}" for number, line in enumerate(lines))]
        path.write_text("\n".join(wide) + "\n", encoding="utf-8")
    found = evaluate(wider, workbench() / "packed", tmp_path / "output")
    assert (found["champion"]["n"], found["gate"]["champion_loss"]) == (272, 0.0)
    assert "attenuation_level" in found["importance"]


def test_a_champion_whose_bytes_were_changed_after_its_approval_closes_the_gate(tmp_path: Path) -> None:
    digest = hashlib.sha256((workbench() / "packed/model.tar.gz").read_bytes()).hexdigest()
    approved = evaluate(workbench(), workbench() / "packed", tmp_path / "a", "--champion-sha256", digest)
    assert approved["gate"]["passed"] == 1
    changed = evaluate(workbench(), workbench() / "packed", tmp_path / "b", "--champion-sha256", "0" * 64)
    assert changed["gate"]["failed"] == ["max_champion_loss", "champion_unchanged"]
    assert changed["gate"]["reason"].endswith("The champion's artifact is not the one that was approved.")


def test_one_thousand_flipped_bits_of_a_champion_are_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    content = bytearray((workbench() / "packed/model.tar.gz").read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    path = tmp_path / "model.tar.gz"
    for position in random.Random(0).sample(range(8 * len(content)), 1000):
        content[position // 8] ^= 1 << position % 8
        path.write_bytes(content)
        found = champion_module.compare(tmp_path, digest, 0.02, tmp_path / "scratch", None, None, None, None)
        assert (found.changed, found.served) == (True, None)
        content[position // 8] ^= 1 << position % 8
    assert not (tmp_path / "scratch").exists()


def test_drift_is_measured_on_the_arrivals_alone(tmp_path: Path) -> None:
    few = train(preprocess(tmp_path / "few", catalogue()[:200]), "--n-estimators", "5")
    more = [{**row, "abv": min(row["abv"] + 6, 60)} if row["id"] > 200 else row for row in catalogue()]
    moved = train(preprocess(tmp_path / "more", more), "--n-estimators", "5")
    drift = evaluate(moved, few / "packed", tmp_path / "output")["drift"]
    assert drift["trained_on"] + drift["arrivals"] == 240
    assert "Drifted: abv, " in drift["sentence"] and "ibu" not in drift["drifted"]
    assert drift["columns"]["abv"]["value"] > 1 > drift["columns"]["abv"]["chance"] > 0


def test_with_few_arrivals_nothing_is_called_drift(tmp_path: Path) -> None:
    few = train(preprocess(tmp_path / "few", catalogue()[:310]), "--n-estimators", "5")
    drift = evaluate(workbench(), few / "packed", tmp_path / "output")["drift"]
    assert 0 < drift["arrivals"] < 20 and drift["columns"] == {} and drift["drifted"] == []
    assert drift["sentence"].endswith("with fewer than 20, drift cannot be distinguished from chance.")


@pytest.mark.parametrize("spoil, text", SPOILT.values(), ids=SPOILT)
def test_a_broken_champion_is_reported_and_blocks_nobody(
    tmp_path: Path, evaluation: dict[str, Any], spoil: Callable[[Path], Path], text: str
) -> None:
    found = evaluate(workbench(), spoil(tmp_path / "champion"), tmp_path / "output")
    about = found["about_champion"]
    assert about.startswith("The champion is left out, as it cannot be asked: ") and text in about
    reason = evaluation["gate"]["reason"].replace(NOBODY, about)
    assert (found["champion"], found["drift"]["columns"]) == (None, {})
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
    assert "The champion is left out, as it cannot be asked: " in found["gate"]["reason"]


@pytest.mark.parametrize(
    "files, text",
    [
        ({}, "There is no champion: its folder is empty."),
        ({"no-champion": "no model has been approved yet\n"}, "There is no champion: no model has been approved yet."),
        ({"no-champion": ""}, "There is no champion: none is named."),
        ({"model.tar": "x"}, "The champion is left out: its folder holds no model.tar.gz."),
    ],
)
def test_a_champion_folder_without_a_model_blocks_nobody(
    tmp_path: Path, evaluation: dict[str, Any], files: dict[str, str], text: str
) -> None:
    (tmp_path / "champion").mkdir()
    for name, content in files.items():
        (tmp_path / "champion" / name).write_text(content)
    found = evaluate(workbench(), tmp_path / "champion", tmp_path / "output")
    reason = evaluation["gate"]["reason"].replace(NOBODY, text)
    assert (found["about_champion"], found["gate"]) == (text, evaluation["gate"] | {"reason": reason})
