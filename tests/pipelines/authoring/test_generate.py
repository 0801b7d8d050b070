"""Generated files: none is stale in the repository; a stale one is reported by the check and where it is used."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion import record
from localaws.errors import ExpectedError
from pipelines.authoring import archives, committed, generate
from pipelines.authoring.settings import Settings

NEW = record.Column("attenuation_level", "number", "feature", "%", "Share of sugar fermented", 0, 100)


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The schema with one column more."""
    monkeypatch.setattr(record, "COLUMNS", (*record.COLUMNS, NEW))
    monkeypatch.setattr(record, "NAMES", (*record.NAMES, NEW.name))
    committed.sources_digest.cache_clear()
    yield
    committed.sources_digest.cache_clear()


def stale() -> set[str]:
    """The generated files that differ from what their sources give now."""
    return {
        path.relative_to(archives.ROOT).as_posix()
        for path, content in generate.derived()
        if path.read_text(encoding="utf-8") != content
    }


def test_no_generated_file_is_stale() -> None:
    assert stale() == set()


def test_a_column_more_makes_exactly_what_names_columns_stale(longer: None) -> None:
    columns = {f"{step}/columns.py" for step in generate.STEPS}
    assert stale() - {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} == {
        *columns,
        "cloudformation/ingestion.yaml",
        "cloudformation/warehouse.yaml",
        "warehouse/macros/cleaned.sql",
        "cloudformation/retrain.asl.json",
        "cloudformation/score.asl.json",
        "cloudformation/sources.sha256",
    }


def test_the_check_names_the_stale_files_and_the_command_that_rewrites_them(longer: None) -> None:
    with pytest.raises(ExpectedError) as raised:
        generate.main(["--check"])
    assert (raised.value.code, raised.value.hint) == (1, "make generate")
    assert "processing/columns.py, " in raised.value.where


@pytest.mark.parametrize("use", [lambda: committed.machine("retrain"), lambda: committed.definition(Settings())])
def test_a_stale_definition_is_refused_where_it_is_used(longer: None, use: object) -> None:
    with pytest.raises(ExpectedError) as raised:
        use()  # type: ignore[operator]
    assert (raised.value.code, raised.value.hint) == (5, "make generate")


@pytest.mark.parametrize(
    "columns",
    [
        (NEW, *record.COLUMNS),
        record.COLUMNS[:-1],
        (*record.COLUMNS[:-2], record.COLUMNS[-1], record.COLUMNS[-2]),
        (*record.COLUMNS[:-1], NEW),
    ],
    ids=["in front", "removed", "moved", "renamed"],
)
def test_a_change_that_misreads_the_rows_already_written_is_refused(
    columns: tuple[record.Column, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "COLUMNS", columns)
    monkeypatch.setattr(record, "NAMES", tuple(column.name for column in columns))
    with pytest.raises(ExpectedError, match="the columns were id, name, abv"):
        generate.check_schema()


def test_a_placeholder_is_filled_in_wherever_it_is_and_none_is_left() -> None:
    text = (archives.ROOT / "cloudformation/pipeline.json").read_text()
    assert set(re.findall(r"\$\{\w+\}", text)) == {*committed.placeholders(Settings()), committed.KMS_KEY}
    assert "${" not in committed.definition(Settings(kms_key_arn="arn:aws:kms:us-east-1:111122223333:key/1"))


def test_outputs_and_volumes_are_encrypted_with_the_environment_s_own_key_or_name_none() -> None:
    key = "arn:aws:kms:us-east-1:111122223333:key/1"
    own = committed.definition(Settings(kms_key_arn=key))
    found = re.findall(r'"((?:Volume)?KmsKeyId)": "([^"]*)"', own)
    assert sorted(found) == [("KmsKeyId", key)] * 3 + [("VolumeKmsKeyId", key)] * 3
    assert "KmsKey" not in committed.definition(Settings())


def test_a_name_with_a_quote_stays_one_text() -> None:
    document = json.loads(committed.definition(Settings(git_commit='a"b\\c')))
    assert [each["DefaultValue"] for each in document["Parameters"] if each["Name"] == "GitCommit"] == ['a"b\\c']


def test_a_region_without_the_image_is_refused() -> None:
    with pytest.raises(ExpectedError, match="is not offered in mars-north-1"):
        committed.definition(Settings(region="mars-north-1"))


def test_generating_writes_nothing_outside_the_repository_s_own_files() -> None:
    assert {path.is_relative_to(Path(archives.ROOT)) for path, _ in generate.derived()} == {True}


def test_every_query_of_a_state_machine_names_its_database() -> None:
    machines = [json.loads(path.read_text()) for path in sorted((archives.ROOT / "cloudformation").glob("*.asl.json"))]
    contexts = {
        name: state["Parameters"].get("QueryExecutionContext")
        for machine in machines
        for name, state in machine["States"].items()
        if "athena:startQueryExecution" in state.get("Resource", "")
    }
    assert contexts == {each: {"Database": "${GlueDatabase}"} for each in ("QueryTable", "Snapshot")}
