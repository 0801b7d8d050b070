"""The scoring job: every row of a snapshot is answered by the verified model, in one complete file."""

import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.support.beers import COLUMNS, module, workbench
from tests.support.scored import beers, score, snapshot


@pytest.fixture(scope="module")
def artifact() -> Path:
    """A small model's model.tar.gz."""
    return workbench() / "packed" / "model.tar.gz"


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
