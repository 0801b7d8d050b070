"""The rows that preprocessing reads: every form of the table, and files that are no data."""

import gzip
from pathlib import Path

import pytest

from tests.support.beers import COLUMNS, SIDES, catalogue, module, preprocess, to_csv, write_rows
from tests.support.prepared import PUNK, beer_of, contents

step, latest, rows, rules = (module(name) for name in ("preprocess", "latest", "rows", "rules"))


def test_the_latest_row_of_a_beer_is_used_by_the_time_in_the_object_s_name(tmp_path: Path) -> None:
    write_rows(tmp_path, [PUNK | {"ph": 4.1}, PUNK | {"ph": 4.2}], "a-1-2026-11-20-10-05-00-x.csv")
    write_rows(tmp_path, [PUNK | {"ph": 4.0}], "z-1-2026-11-20-10-00-00-x.csv")
    assert [row["ph"] for row in latest.latest_rows(rows.read_rows(tmp_path), 1000).rows] == ["4.2"]


def test_rows_are_read_from_every_form_the_table_has(tmp_path: Path) -> None:
    text = to_csv([PUNK | {"name": 'Punk "IPA", 2007'}])
    header = ",".join(COLUMNS) + "\n"
    forms = {
        "dt=2026-11-20/no-suffix-2026": text.encode(),
        "plain.csv": text.encode(),
        "packed.gz": gzip.compress(text.encode()),
        "headed.csv": (header + text).encode(),
        "mark.csv": b"\xef\xbb\xbf" + text.encode(),
        "mark and header.csv": b"\xef\xbb\xbf" + (header + text).encode(),
        "another order.csv": b"ph,dt,ibu,name,abv,target_og,target_fg,srm,ebc,id\n"
        b'4.4,2026-11-20,60,"Punk ""IPA"", 2007",5.6,1053,1010,8.5,17,192\n',
    }
    for name, content in forms.items():
        path = tmp_path / name.partition(".")[0] / "in" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        found = list(rows.read_rows(path.parent))
        assert [rules.parse(row) for row in found] == [beer_of(**PUNK | {"name": 'Punk "IPA", 2007'})], name


def test_what_is_not_data_is_not_read(tmp_path: Path) -> None:
    for name in ("_SUCCESS", ".beers.csv.crc", "preprocess.py", "20261120.csv.metadata"):
        (tmp_path / name).write_text("no data\n")
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


def test_rows_without_an_id_or_of_another_length_are_counted(tmp_path: Path) -> None:
    write_rows(tmp_path, [PUNK, PUNK | {"id": "x"}, PUNK | {"id": 1.5}])
    (tmp_path / "b.csv").write_text("1,two,3\n")
    found = latest.latest_rows(rows.read_rows(tmp_path), 1000)
    assert (found.read, found.duplicates, dict(found.unidentified)) == (
        4,
        0,
        {"3_columns_instead_of_9": 1, "id_not_a_number": 2},
    )


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
def test_the_address_of_the_live_table_is_refused(
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


def test_without_an_address_the_live_table_s_folders_are_read(tmp_path: Path) -> None:
    days = ("2026-11-19", catalogue()[:200]), ("2026-11-20", catalogue()[100:])
    for day, beers in days:
        write_rows(tmp_path / f"input/dt={day}", beers, f"cleaned-1-{day}-10-00-00-x")
    outputs = [part for side in (*SIDES, "quality") for part in (f"--{side}", str(tmp_path / "live" / side))]
    assert step.main(["--input", str(tmp_path / "input"), *outputs]) == 0
    assert contents(tmp_path / "live") == contents(preprocess(tmp_path / "plain", catalogue()))
