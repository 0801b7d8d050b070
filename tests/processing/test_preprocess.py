"""The processing step: repairs, refusals, and the stability of the sides."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ingestion.record import COLUMNS as RECORD
from tests.support.beers import SIDES, catalogue, module, preprocess, to_csv, write_rows
from tests.support.prepared import PUNK, beer_of, contents

step, latest, rows, rules, split, table = (
    module(name) for name in ("preprocess", "latest", "rows", "rules", "split", "columns")
)


def read_side(folder: Path, side: str) -> list[dict[str, str]]:
    with (folder / side / "beers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sides_by_id(folder: Path) -> dict[str, str]:
    return {row["id"]: side for side in SIDES for row in read_side(folder, side)}


# What differs from PUNK, then the validated beer's changed values, and dropped, repaired, emptied and flagged.
DEFECTS: dict[str, tuple[dict[str, Any], dict[str, Any], str | None, list[str], list[str], list[str]]] = {
    "a sound beer": ({}, {}, None, [], [], []),
    "text as in CSV": ({"abv": "5.6", "ibu": "60.0", "ebc": "17"}, {"ibu": 60.0}, None, [], [], []),
    "no label": ({"ibu": None}, {"ibu": None}, "ibu_missing", [], [], []),
    "an empty label": ({"ibu": ""}, {"ibu": None}, "ibu_missing", [], [], []),
    "a label that is no number": ({"ibu": "sixty"}, {"ibu": None}, "ibu_missing", [], [], []),
    "a label that is the original gravity": ({"ibu": 1053}, {"ibu": 1053}, "ibu_equals_target_og", [], [], []),
    "a label above 1000": ({"ibu": 1085}, {"ibu": 1085}, "ibu_out_of_range", [], [], []),
    "a label below 0": ({"ibu": -1}, {"ibu": -1}, "ibu_out_of_range", [], [], []),
    "a label of 0, which is real": ({"ibu": 0}, {"ibu": 0}, None, [], [], []),
    "a label of 250, which is real": ({"ibu": 250}, {"ibu": 250}, None, [], [], []),
    "an infinite label": ({"ibu": "inf"}, {"ibu": None}, "ibu_missing", [], [], []),
    "swapped gravities": (
        {"target_fg": 1053, "target_og": 1010},
        {"target_fg": 1010, "target_og": 1053},
        None,
        ["gravities_swapped"],
        [],
        [],
    ),
    "a pH of 79": ({"ph": 79}, {"ph": None}, None, [], ["ph_out_of_range"], []),
    "a gravity as a ratio": ({"target_fg": 1.01}, {"target_fg": None}, None, [], ["target_fg_as_a_ratio"], []),
    "both gravities as ratios": (
        {"target_fg": 1.01, "target_og": 1.053},
        {"target_fg": None, "target_og": None},
        None,
        [],
        ["target_fg_as_a_ratio", "target_og_as_a_ratio"],
        [],
    ),
    "one gravity as a ratio is not taken for swapped": (
        {"target_og": 1.053},
        {"target_og": None},
        None,
        [],
        ["target_og_as_a_ratio"],
        [],
    ),
    "a gravity in degrees Plato": ({"target_og": 13}, {"target_og": None}, None, [], ["target_og_out_of_range"], []),
    "an ABV as a fraction": ({"abv": 0.056}, {"abv": None}, None, [], ["abv_as_a_fraction"], []),
    "an ABV of 0.5, which is real": ({"abv": 0.5}, {"abv": 0.5}, None, [], [], ["abv_and_gravities_disagree"]),
    "a name too long": ({"name": "x" * 513}, {"name": "x" * 513}, "name_too_long", [], [], []),
    "an ABV of 55, which is real": ({"abv": 55}, {"abv": 55}, None, [], [], ["abv_and_gravities_disagree"]),
    "an ABV of 5,6": ({"abv": "5,6"}, {"abv": None}, None, [], ["abv_not_a_number"], []),
    "NaN from Parquet": ({"srm": float("nan")}, {"srm": None}, None, [], [], []),
    "colours that disagree": ({"srm": 40}, {"srm": 40}, None, [], [], ["ebc_and_srm_disagree"]),
    "no name": ({"name": ""}, {"name": None}, None, [], [], []),
    "no features at all": (
        dict.fromkeys(rules.FEATURES),
        dict.fromkeys(rules.FEATURES),
        None,
        [],
        [],
        [],
    ),
}


@pytest.mark.parametrize("given, changed, dropped, repaired, emptied, flagged", DEFECTS.values(), ids=DEFECTS)
def test_every_defect_is_dropped_repaired_emptied_or_flagged_by_name(
    given: dict[str, Any],
    changed: dict[str, Any],
    dropped: str | None,
    repaired: list[str],
    emptied: list[str],
    flagged: list[str],
) -> None:
    expected = rules.Validated(beer_of(**PUNK | changed), dropped, repaired, emptied, flagged)
    assert rules.validate(PUNK | given) == expected


def test_the_defects_of_the_bundled_beers_are_counted(tmp_path: Path) -> None:
    preprocess(tmp_path, catalogue())
    assert json.loads((tmp_path / "quality/quality.json").read_text()) == {
        "read": 325,
        "duplicates": 0,
        "beers": 325,
        "used": 318,
        "dropped": {"ibu_equals_target_og": 2, "ibu_missing": 5},
        "repaired": {"gravities_swapped": 13},
        "emptied": {"ph_out_of_range": 1},
        "flagged": {"abv_and_gravities_disagree": 13, "ebc_and_srm_disagree": 10},
        "missing": {"abv": 0, "target_fg": 0, "target_og": 0, "ebc": 4, "srm": 4, "ph": 2},
    }


def test_no_beer_and_no_recipe_is_on_two_sides(tmp_path: Path) -> None:
    preprocess(tmp_path, catalogue())
    members = {side: read_side(tmp_path, side) for side in SIDES}
    for column, total in (("id", 318), ("family", 209)):
        distinct = [{row[column] for row in rows} for rows in members.values()]
        assert sum(map(len, distinct)) == len(set.union(*distinct)) == total


def family(**changed: Any) -> str:
    name: str = split.family(rules.validate(PUNK | changed).beer)
    return name


def test_beers_of_equal_gravities_are_one_family_whatever_else_differs() -> None:
    assert family(id=1, abv=7, ebc=300, srm=150, ph=5, name="Other") == family()
    assert family(id=1, target_fg=1053, target_og=1010) == family()  # Swapped, and repaired.
    assert family(target_fg=1011) != family() != family(target_og=1054)


@pytest.mark.parametrize("unknown", [{"target_og": None}, {"target_fg": None}, {"target_og": 1.053, "target_fg": 1.01}])
def test_beers_without_gravities_are_families_of_their_own(unknown: dict[str, Any]) -> None:
    assert len({family(id=number, **unknown) for number in range(1, 50)}) == 49
    assert family(**unknown) == family(**unknown, abv=9, name="Renamed", ebc=5)


def test_order_and_duplicates_change_no_byte_of_the_sides_or_the_manifest(tmp_path: Path) -> None:
    shuffled = [*catalogue(), *random.Random(1).choices(catalogue(), k=1500)]
    random.Random(2).shuffle(shuffled)
    assert contents(preprocess(tmp_path / "a", catalogue())) == contents(preprocess(tmp_path / "b", shuffled))
    before, after = (json.loads((tmp_path / name / "quality/quality.json").read_text()) for name in "ab")
    assert after == before | {"read": 1825, "duplicates": 1500}


def test_a_beer_stays_on_its_side_when_more_beers_arrive(tmp_path: Path) -> None:
    few = sides_by_id(preprocess(tmp_path / "few", catalogue()[:150]))
    all_of_them = sides_by_id(preprocess(tmp_path / "all", catalogue()))
    assert {beer: all_of_them[beer] for beer in few} == few


def test_a_larger_test_share_only_adds_beers_to_the_test(tmp_path: Path) -> None:
    before = sides_by_id(preprocess(tmp_path / "a", catalogue()))
    after = sides_by_id(preprocess(tmp_path / "b", catalogue(), "--test-share", "0.3"))
    tested = {beer for beer, side in before.items() if side == "test"}
    assert tested < {beer for beer, side in after.items() if side == "test"}


def test_a_side_has_the_columns_of_the_table_and_the_family(tmp_path: Path) -> None:
    first = (preprocess(tmp_path, catalogue()) / "test/beers.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert first == [
        "id,name,abv,ibu,target_fg,target_og,ebc,srm,ph,family",
        "2,Trashy Blonde,4.1,41.5,1010,1041.7,15,15,4.4,09d927e5c21676e4",
    ]


def test_the_manifest_has_parameters_and_counts(tmp_path: Path) -> None:
    preprocess(tmp_path, catalogue(), "--cut-off", "2026-11-20", "--input-uri", "s3://data/snapshots/1/")
    manifest = json.loads((tmp_path / "quality/manifest.json").read_text())
    assert manifest["parameters"] == {
        "min_beers": 50,
        "max_beers": 10_000,
        "test_share": 0.1,
        "validation_share": 0.1,
    }
    source = {name: manifest["input"][name] for name in ("uri", "cut_off", "beers")}
    assert source == {"uri": "s3://data/snapshots/1/", "cut_off": "2026-11-20", "beers": 325}
    counts = {name: (side["rows"], side["beers"], side["families"]) for name, side in manifest["sides"].items()}
    assert counts == {"train": (240, 240, 163), "validation": (46, 46, 25), "test": (32, 32, 21)}


def test_more_beers_than_the_limit_are_sampled_by_their_ids_alone() -> None:
    def sample(ids: list[int], most: int) -> Any:
        return latest.latest_rows(({**PUNK, "id": each} for each in ids), most)

    ids = list(range(1, 1001))
    found = sample(ids, 300)
    chosen = [row["id"] for row in found.rows]
    assert found.share == 0.25 and 200 <= len(chosen) <= 300
    shuffled = random.Random(3).sample(ids, 1000) + ids[:500]
    again = sample(shuffled, 300)
    assert ([row["id"] for row in again.rows], again.share, again.read) == (chosen, 0.25, 1500)
    assert again.duplicates == sum(each <= 500 for each in chosen)
    assert sample(ids, 1000).share == 1


def test_a_sample_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preprocess(tmp_path, catalogue(), "--max-beers", "200")
    counts = json.loads((tmp_path / "quality/quality.json").read_text())
    assert counts["sampled_share"] == 0.5 and counts["beers"] <= 200
    assert "(a sample of 50.00%: more than --max-beers)" in capsys.readouterr().out


def same(column: str, value: Any) -> list[dict[str, Any]]:
    return [{**row, column: value} for row in catalogue()]


UNUSABLE: dict[str, tuple[Any, list[str], str]] = {
    "too few": (catalogue()[:7], [], "too few beers (7 < 50)"),
    "none": ([], [], "too few beers (0 < 50)"),
    "fewer than asked for": (
        catalogue(),
        ["--min-beers", "400"],
        "too few beers (318 < 400), left out: 2 rows with the original gravity in the place of the "
        "bitterness, 5 rows without a bitterness",
    ),
    "all without label": (same("ibu", None), [], "too few beers (0 < 50), left out: 325 rows without a bitterness"),
    "one label": (same("ibu", 35), [], "every beer has the same bitterness (35 IBU)"),
    "an empty column": (same("ph", None), [], "no beer has a value for ph"),
    "an impossible column": (same("ebc", 5000), [], "no beer has a value for ebc, emptied: 318 values out of range"),
    "gravities as ratios": (
        [{**row, "target_og": 1.05, "target_fg": 1.01} for row in catalogue()],
        [],
        "no beer has a value for target_fg, emptied: 318 values as a ratio",
    ),
    "ABV as a fraction": (same("abv", 0.05), [], "no beer has a value for abv, emptied: 318 values as a fraction"),
    "one family": (
        [{**row, "abv": 5, "target_og": 1050, "target_fg": 1010, "ebc": 20} for row in catalogue()],
        [],
        "no beer is on the train side: families of equal gravities stay together",
    ),
}


@pytest.mark.parametrize("given, arguments, what", UNUSABLE.values(), ids=UNUSABLE)
def test_an_input_that_cannot_make_a_model_fails_with_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: Any, arguments: list[str], what: str
) -> None:
    write_rows(tmp_path / "input", given)
    (tmp_path / "ml").mkdir()
    outputs = [part for name in (*SIDES, "quality") for part in (f"--{name}", str(tmp_path / name))]
    message = tmp_path / "ml/message"
    code = step.main(["--input", str(tmp_path / "input"), *outputs, "--message", str(message), *arguments])
    printed = capsys.readouterr().err
    assert (code, printed, message.read_text() + "\n") == (1, printed, printed)
    assert [line.partition(": ")[0] for line in printed.splitlines()] == ["Error", "Where", "Try"]
    assert printed.startswith(f"Error: {what}\n")
    assert not (tmp_path / "train").exists()


def test_rows_of_another_width_are_named_in_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{line},2026-11-27" for line in to_csv(catalogue()).splitlines()]
    (tmp_path / "ten.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert step.main(["--input", str(tmp_path)]) == 1
    assert "too few beers (0 < 50), left out: 325 rows with 10 columns instead of 9" in capsys.readouterr().err


@pytest.mark.parametrize("folder, written", [("ml", True), ("ml/output", True), ("", False)])
def test_the_exit_message_needs_no_folder_but_the_container_s(tmp_path: Path, folder: str, written: bool) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    message = tmp_path / "ml/output/message"
    assert step.main(["--input", str(tmp_path / "none"), "--message", str(message)]) == 1
    assert message.is_file() == written


@pytest.mark.parametrize("shares", [("0.6", "0.4"), ("1", "0"), ("-0.1", "0.1"), ("many", "0.1")])
def test_shares_that_leave_nothing_to_train_on_are_wrong_usage(shares: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        step.parse_arguments(["--test-share", shares[0], "--validation-share", shares[1]])
    assert ended.value.code == 2


def test_columns_and_ranges_are_those_of_the_record() -> None:
    assert {column.name: (column.low, column.high) for column in RECORD if column.kind == "number"} == table.RANGES
    assert tuple(column.name for column in RECORD) == table.COLUMNS
    assert [column.high for column in RECORD if column.name == "name"] == [table.LONGEST_NAME]
