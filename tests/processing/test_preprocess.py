"""The processing step: what it repairs, what it refuses, and that beers stay on their sides."""

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ingestion.record import COLUMNS as RECORD
from tests.support.beers import COLUMNS, SIDES, catalogue, module, preprocess, to_csv, write_rows

step, rows, rules, split = (module(name) for name in ("preprocess", "rows", "rules", "split"))

PUNK = {"id": 192, "name": "Punk IPA", "abv": 5.6, "ibu": 60, "target_fg": 1010, "target_og": 1053}
PUNK |= {"ebc": 17, "srm": 8.5, "ph": 4.4}
FILES = [*(f"{side}/beers.csv" for side in SIDES), "quality/manifest.json"]


def read_side(folder: Path, side: str) -> list[dict[str, str]]:
    with (folder / side / "beers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sides_by_id(folder: Path) -> dict[str, str]:
    return {row["id"]: side for side in SIDES for row in read_side(folder, side)}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


# What differs from PUNK, and what becomes of it: the changed values, then dropped, repaired, emptied and flagged.
VERDICTS: dict[str, tuple[dict[str, Any], dict[str, Any], str | None, list[str], list[str], list[str]]] = {
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
    "a gravity as a ratio": ({"target_fg": 1.01}, {"target_fg": None}, None, [], ["target_fg_out_of_range"], []),
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


@pytest.mark.parametrize("given, changed, dropped, repaired, emptied, flagged", VERDICTS.values(), ids=VERDICTS)
def test_every_defect_has_its_verdict(
    given: dict[str, Any],
    changed: dict[str, Any],
    dropped: str | None,
    repaired: list[str],
    emptied: list[str],
    flagged: list[str],
) -> None:
    expected = rules.Verdict(rules.Beer(**PUNK | changed), dropped, repaired, emptied, flagged)
    assert rules.judge(PUNK | given) == expected


def test_the_defects_of_the_real_beers_are_found_and_counted(tmp_path: Path) -> None:
    preprocess(tmp_path, catalogue())
    assert json.loads((tmp_path / "quality/quality.json").read_text()) == {
        "read": 325,
        "duplicates": 0,
        "beers": 325,
        "kept": 318,
        "dropped": {"ibu_equals_target_og": 2, "ibu_missing": 5},
        "repaired": {"gravities_swapped": 13},
        "emptied": {"ph_out_of_range": 1},
        "flagged": {"abv_and_gravities_disagree": 13, "ebc_and_srm_disagree": 10},
        "missing": {"abv": 0, "target_fg": 0, "target_og": 0, "ebc": 4, "srm": 4, "ph": 2},
    }


def test_no_beer_and_no_recipe_is_on_two_sides(tmp_path: Path) -> None:
    preprocess(tmp_path, catalogue())
    members = {side: read_side(tmp_path, side) for side in SIDES}
    for column, total in (("id", 318), ("family", 276)):
        distinct = [{row[column] for row in rows} for rows in members.values()]
        assert sum(map(len, distinct)) == len(set.union(*distinct)) == total


def test_equal_recipes_are_one_family_once_they_are_repaired() -> None:
    swapped = rules.judge(PUNK | {"id": 1, "target_fg": 1053, "target_og": 1010, "ph": 5}).beer
    assert split.family(swapped) == split.family(rules.judge(PUNK).beer)
    assert split.family(swapped) != split.family(rules.judge(PUNK | {"ebc": 18}).beer)


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


def test_a_side_is_the_table_with_the_recipe_s_hash(tmp_path: Path) -> None:
    first = (preprocess(tmp_path, catalogue()) / "test/beers.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert first == [
        "id,name,abv,ibu,target_fg,target_og,ebc,srm,ph,family",
        "2,Trashy Blonde,4.1,41.5,1010,1041.7,15,15,4.4,1aab0ff8f2a792e1",
    ]


def test_the_manifest_tells_parameters_and_counts(tmp_path: Path) -> None:
    preprocess(tmp_path, catalogue(), "--cut-off", "2026-11-20", "--input-uri", "s3://data/snapshots/1/")
    manifest = json.loads((tmp_path / "quality/manifest.json").read_text())
    assert manifest["parameters"] == {"min_beers": 50, "test_share": 0.2, "validation_share": 0.1}
    source = {name: manifest["input"][name] for name in ("uri", "cut_off", "beers")}
    assert source == {"uri": "s3://data/snapshots/1/", "cut_off": "2026-11-20", "beers": 325}
    counts = {name: (side["rows"], side["beers"], side["families"]) for name, side in manifest["sides"].items()}
    assert counts == {"train": (221, 221, 190), "validation": (22, 22, 22), "test": (75, 75, 64)}


def test_the_latest_row_of_a_beer_counts_by_the_time_in_the_object_s_name(tmp_path: Path) -> None:
    write_rows(tmp_path, [PUNK | {"ph": 4.1}, PUNK | {"ph": 4.2}], "a-1-2026-11-20-10-05-00-x.csv")
    write_rows(tmp_path, [PUNK | {"ph": 4.0}], "z-1-2026-11-20-10-00-00-x.csv")
    assert [row["ph"] for row in step.latest_rows(rows.read_rows(tmp_path)).rows] == ["4.2"]


def test_rows_are_read_from_every_form_the_table_has(tmp_path: Path) -> None:
    text = to_csv([PUNK | {"name": 'Punk "IPA", 2007'}])
    header = ",".join(COLUMNS) + "\n"
    forms = {
        "dt=2026-11-20/no-suffix-2026": text.encode(),
        "plain.csv": text.encode(),
        "packed.gz": gzip.compress(text.encode()),
        "headed.csv": (header + text).encode(),
    }
    for name, content in forms.items():
        path = tmp_path / name.partition(".")[0] / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        found = list(rows.read_rows(path.parent))
        assert [rules.parse(row) for row in found] == [rules.Beer(**PUNK | {"name": 'Punk "IPA", 2007'})], name


def test_what_is_not_data_is_not_read(tmp_path: Path) -> None:
    for name in ("_SUCCESS", ".beers.csv.crc", "preprocess.py", "20261120.csv.metadata"):
        (tmp_path / name).write_text("nothing to see here\n")
    (tmp_path / "empty.parquet").touch()
    assert list(rows.read_rows(tmp_path)) == []


@pytest.mark.parametrize("name", ["snapshot.parquet", "20261120_101500_00001_abcde_1f2e"])
def test_a_parquet_snapshot_makes_the_bytes_that_csv_makes(tmp_path: Path, name: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = [pyarrow.int64(), pyarrow.string(), *[pyarrow.float64()] * 7]
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    preprocess(tmp_path / "csv", catalogue())
    (tmp_path / "parquet/input").mkdir(parents=True)
    table = pyarrow.Table.from_pylist([dict(row) for row in catalogue()], schema)
    parquet.write_table(table, tmp_path / "parquet/input" / name)
    outputs = [part for each in (*SIDES, "quality") for part in (f"--{each}", str(tmp_path / "parquet" / each))]
    assert step.main(["--input", str(tmp_path / "parquet/input"), *outputs]) == 0
    assert contents(tmp_path / "parquet") == contents(tmp_path / "csv")


def test_rows_without_an_id_or_with_too_few_values_are_counted_not_guessed(tmp_path: Path) -> None:
    write_rows(tmp_path, [PUNK, PUNK | {"id": "x"}, PUNK | {"id": 1.5}])
    (tmp_path / "b.csv").write_text("1,two,3\n")
    latest = step.latest_rows(rows.read_rows(tmp_path))
    assert (latest.read, latest.duplicates, dict(latest.unidentified)) == (
        4,
        0,
        {"malformed_row": 1, "id_not_a_number": 2},
    )


def same(column: str, value: Any) -> list[dict[str, Any]]:
    return [{**row, column: value} for row in catalogue()]


UNUSABLE: dict[str, tuple[Any, list[str], str]] = {
    "too few": (catalogue()[:7], [], "too few beers (7 < 50)"),
    "none": ([], [], "too few beers (0 < 50)"),
    "fewer than asked for": (catalogue(), ["--min-beers", "400"], "too few beers (318 < 400)"),
    "all without label": (same("ibu", None), [], "too few beers (0 < 50)"),
    "one label": (same("ibu", 35), [], "every beer has the same bitterness (35 IBU)"),
    "an empty column": (same("ph", None), [], "no beer has a value for ph"),
    "an impossible column": (same("ebc", 5000), [], "no beer has a value for ebc"),
    "one family": (
        [{**row, "abv": 5, "target_og": 1050, "target_fg": 1010, "ebc": 20} for row in catalogue()],
        [],
        "no beer fell on the train side",
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
    said = capsys.readouterr().err
    assert (code, said, message.read_text() + "\n") == (1, said, said)
    assert [line.partition(": ")[0] for line in said.splitlines()] == ["Error", "Where", "Try"]
    assert said.startswith(f"Error: {what}\n")
    assert not (tmp_path / "train").exists()


@pytest.mark.parametrize(
    "name, content, what",
    [
        ("a.parquet", b"id,name\n", "a.parquet is not a Parquet file"),
        ("a", b"PAR1 and no more", "a is a broken Parquet file"),
        ("a.csv", b'1,"unfinished', "a.csv is not a CSV file of the cleaned table"),
        ("a.csv", b"1,caf\xe9,3,4,5,6,7,8,9\n", "a.csv is not a CSV file of the cleaned table"),
        ("a.gz", b"\x1f\x8b truncated", "a.gz is not a CSV file of the cleaned table"),
    ],
)
def test_a_broken_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert step.main(["--input", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"Error: {what}")


LIVE = {
    "the table": ("s3://data/cleaned/", "dt=2026-11-20/cleaned-1-2026-11-20-10-00-00-x"),
    "the table, one folder up": ("s3://data", "cleaned/dt=2026-11-20/cleaned-1-2026-11-20-10-00-00-x.parquet"),
    "a day of it": ("s3://data/cleaned/dt=2026-11-20/", "cleaned-1-2026-11-20-10-00-00-x"),
}


@pytest.mark.parametrize("uri, name", LIVE.values(), ids=LIVE)
def test_the_live_table_is_no_input_that_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], uri: str, name: str
) -> None:
    path = tmp_path / "input" / name
    write_rows(path.parent, catalogue(), path.name)
    outputs = [part for side in (*SIDES, "quality") for part in (f"--{side}", str(tmp_path / side))]
    assert step.main(["--input", str(tmp_path / "input"), *outputs, "--input-uri", uri]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Error: InputData is the cleaned table itself, which grows under the same address",
        f"Where: {uri}",
        "Try: take a snapshot (python -m pipelines.run --start does) and give its address",
    ]
    assert not (tmp_path / "train").exists()


def test_by_hand_the_live_table_s_folders_are_read(tmp_path: Path) -> None:
    days = ("2026-11-19", catalogue()[:200]), ("2026-11-20", catalogue()[100:])
    for day, beers in days:
        write_rows(tmp_path / f"input/dt={day}", beers, f"cleaned-1-{day}-10-00-00-x")
    outputs = [part for side in (*SIDES, "quality") for part in (f"--{side}", str(tmp_path / "live" / side))]
    assert step.main(["--input", str(tmp_path / "input"), *outputs]) == 0
    assert contents(tmp_path / "live") == contents(preprocess(tmp_path / "plain", catalogue()))


@pytest.mark.parametrize("shares", [("0.6", "0.4"), ("1", "0"), ("-0.1", "0.1"), ("many", "0.1")])
def test_shares_that_leave_nothing_to_train_on_are_wrong_usage(shares: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        step.parse_arguments(["--test-share", shares[0], "--validation-share", shares[1]])
    assert ended.value.code == 2


def test_the_plausible_ranges_are_those_of_the_record() -> None:
    record = {column.name: (column.low, column.high) for column in RECORD if column.name in rules.RANGES}
    assert record == rules.RANGES
    assert tuple(column.name for column in RECORD) == rows.COLUMNS
