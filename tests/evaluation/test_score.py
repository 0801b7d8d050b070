"""The scoring job: every row of a snapshot is answered by the verified model, in one complete file."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.support.beers import COLUMNS, catalogue, module, workbench


@pytest.fixture(scope="module")
def artifact() -> Path:
    """A small model's model.tar.gz."""
    return workbench() / "packed" / "model.tar.gz"


def snapshot(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as UNLOAD writes them: Parquet, a name without a suffix, the times of delivery beside the columns."""
    kinds = {
        "id": pyarrow.int64(),
        "name": pyarrow.string(),
        "delivered": pyarrow.string(),
        "arrived": pyarrow.string(),
    }
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in (*COLUMNS, "delivered", "arrived")])
    folder.mkdir()
    times = {"delivered": "2026-11-20-10-00-00", "arrived": "2026-11-19-10-00-00"}
    table = pyarrow.Table.from_pylist([row | times for row in rows], schema=schema)
    pyarrow.parquet.write_table(table, folder / "20261120_100000_00001_abcde_0")
    return folder


def score(tmp_path: Path, model: Path) -> int:
    sha256 = hashlib.sha256((workbench() / "packed" / "model.tar.gz").read_bytes()).hexdigest()
    code: int = module("score").main(
        [
            *("--model", str(model), "--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")),
            *("--sha256", sha256, "--model-version", "3", "--cut-off", "2026-11-20-10-00-00"),
        ]
    )
    return code


def beers(count: int) -> list[dict[str, Any]]:
    """Beers of the catalogue with floats, as a snapshot has them."""
    rows = []
    for beer in catalogue()[:count]:
        rows.append({name: float(beer[name]) if isinstance(beer[name], int) else beer[name] for name in COLUMNS})
        rows[-1]["id"] = int(beer["id"])
    return rows


def test_every_beer_is_answered_also_without_a_label_and_a_row_without_a_value_has_its_error(
    tmp_path: Path, artifact: Path
) -> None:
    rows = beers(30)
    rows[1]["ibu"] = None
    rows[2] = dict.fromkeys(COLUMNS) | {"id": rows[2]["id"], "ibu": 300.0}
    snapshot(tmp_path / "data", rows)
    assert score(tmp_path, artifact.parent) == 0
    (path,) = (tmp_path / "output").iterdir()
    found = pyarrow.parquet.read_table(path).to_pylist()
    classes = [each["name"] for each in module("artifact").load(artifact, tmp_path / "model").card["classes"]]
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [row["actual"] for row in found] == [row["ibu"] for row in rows]
    assert {row["model_version"] for row in found} == {3}
    assert {row["cut_off"] for row in found} == {"2026-11-20-10-00-00"}
    assert (found[1]["actual_class"], found[2]["actual_class"]) == (None, classes[-1])
    answered = [row for row in found if row["error"] is None]
    assert len(answered) == 29 and found[2]["predicted"] is None and "no value" in found[2]["error"]
    assert all(row["low"] <= row["predicted"] <= row["high"] and row["class"] in classes for row in answered)


def test_a_table_in_which_no_row_can_be_answered_is_scored_with_errors(tmp_path: Path, artifact: Path) -> None:
    snapshot(tmp_path / "data", [dict.fromkeys(COLUMNS) | {"id": 1}, dict.fromkeys(COLUMNS) | {"id": 2}])
    assert score(tmp_path, artifact.parent) == 0
    (path,) = (tmp_path / "output").iterdir()
    assert [row["predicted"] for row in pyarrow.parquet.read_table(path).to_pylist()] == [None, None]


def test_a_changed_artifact_is_refused_before_it_is_unpacked(
    tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot(tmp_path / "data", beers(3))
    changed = tmp_path / "changed"
    changed.mkdir()
    shutil.copy(artifact, changed)
    with (changed / artifact.name).open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(module("score"), "load", lambda *_: pytest.fail("it was unpacked"))
    assert score(tmp_path, changed) == 1
    assert capsys.readouterr().err.startswith("Error: the artifact is not the one that was evaluated: SHA-256 ")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("model", ["", "nothing"])
def test_without_a_model_or_rows_the_failure_has_three_lines(
    tmp_path: Path, artifact: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    assert score(tmp_path, tmp_path / model if model else artifact.parent) == 1
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["Error", "Where", "Try"]
