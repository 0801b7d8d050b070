"""Generated beers: brewing formulas hold, defects are what they are called, equal seeds give equal records."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingestion import record
from pipelines.records import __main__ as command
from pipelines.records.beers import STYLES, beer
from pipelines.records.defects import DEFECTS
from pipelines.records.generate import Plan, evenly, records
from tests.support.beers import module

BEERS = [beer(1, number) for number in range(1, 2001)]
ACCEPTED = {reason for reason in DEFECTS if reason.endswith("_null")}
ACCEPTED |= {"gravities_swapped", "ebc_and_srm_disagree", "abv_and_gravities_disagree"}


def outcome(content: bytes) -> str:
    """The reason, or the only flag, or `clean`."""
    result = record.to_row(content)
    return ",".join(result.flags) or "clean" if isinstance(result, record.Clean) else result.reason


def test_strength_follows_from_the_gravities_and_ebc_from_srm() -> None:
    assert [round(0.13125 * (each["target_og"] - each["target_fg"]), 1) for each in BEERS] == [
        each["abv"] for each in BEERS
    ]
    assert max(abs(each["ebc"] - 1.97 * each["srm"]) for each in BEERS) < 0.16


def test_colour_follows_from_the_malts_by_morey() -> None:
    lovibond = {"Extra Pale": 1.7, "Black": 500.0}
    for each in BEERS:
        malts = {malt["name"]: malt["amount"]["value"] for malt in each["ingredients"]["malt"]}
        units = sum(kilos * 2.20462 * lovibond[name] for name, kilos in malts.items()) / (20 / 3.78541)
        assert each["srm"] == pytest.approx(1.4922 * units**0.6859, abs=0.051)


def test_bitterness_lies_within_its_style_and_styles_differ() -> None:
    by_style = {style.name: style.ibu for style in STYLES}
    for each in BEERS:
        low, high = by_style[each["name"].split(" ", 2)[2]]
        assert low - 1 <= each["ibu"] <= high + 1
    assert {each["name"].split(" ", 2)[2] for each in BEERS} == set(by_style)


def test_a_sound_beer_is_clean_and_accepted_whole_by_the_processing_step() -> None:
    rules: Any = module("rules")
    assert {outcome(json.dumps(each).encode()) for each in BEERS} == {"clean"}
    validated = [rules.validate(each) for each in BEERS]
    assert [each.beer.name for each in validated if each.dropped or each.repaired or each.emptied or each.flagged] == []


def test_every_reason_of_the_record_contract_has_a_defect() -> None:
    assert {*record.DROPPED, *record.FAILED} <= DEFECTS.keys()
    problems = {reason.removeprefix(f"{column}_") for column in record.NAMES for reason in DEFECTS}
    assert problems >= record.PROBLEMS.keys()


@pytest.mark.parametrize("reason", DEFECTS)
def test_a_defect_is_what_it_is_called(reason: str) -> None:
    expected = "clean" if reason in ACCEPTED else reason
    assert {outcome(defect(each)) for defect in DEFECTS[reason] for each in BEERS[:20]} == {expected}


def test_no_record_holds_a_line_break() -> None:
    assert not any(b"\n" in each.content for each in records(Plan(5000, defects=evenly(1))))


def test_equal_plans_give_equal_records_and_a_beer_depends_on_seed_and_id_alone() -> None:
    plan = Plan(200, seed=5, repeats=0.3, defects=evenly(0.2))
    assert list(records(plan)) == list(records(plan))
    assert [json.loads(each.content) for each in records(Plan(3, seed=1, first=7))] == BEERS[6:9]
    assert beer(2, 7) != beer(1, 7)


def test_shares_are_those_that_were_asked_for() -> None:
    some = list(records(Plan(10_000, repeats=0.25, defects={"ph_out_of_range": 0.1, "ibu_null": 0.05})))
    counts = {reason: sum(each.defect == reason for each in some) / 10_000 for reason in {each.defect for each in some}}
    assert counts == pytest.approx({"ph_out_of_range": 0.1, "ibu_null": 0.05, None: 0.85}, abs=0.01)
    ids = [json.loads(each.content)["id"] for each in some]
    assert len(set(ids)) / 10_000 == pytest.approx(0.75, abs=0.015)
    # Every beer comes for the first time in the order of the ids.
    assert list(dict.fromkeys(ids)) == list(range(1, len(set(ids)) + 1))


def test_the_command_writes_json_lines_and_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "beers.jsonl"
    words = ["generate", "--count", "500", "--seed", "9", "--defects", "0.2", "--out", str(path), "--json"]
    assert command.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    lines = path.read_bytes().split(b"\n")[:-1]
    expected = list(records(Plan(500, 9, defects=evenly(0.2))))
    assert lines == [each.content for each in expected]
    sound = sum(each.defect is None for each in expected)
    assert (result["records"], result["sound"], result["bytes"]) == (500, sound, path.stat().st_size)
    assert sum(result["defects"].values()) == 500 - sound
