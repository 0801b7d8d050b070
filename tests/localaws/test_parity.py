"""README.md of localaws agrees with the code and the tests."""

import re
from pathlib import Path

import pytest
from botocore import xform_name

from localaws import deviations, parity, shapes

TESTS = Path(__file__).parent


def test_the_readme_is_as_the_code_is() -> None:
    # If not: python -m localaws.parity
    assert parity.README.read_text() == parity.render()


def test_every_offered_operation_is_called_by_a_test() -> None:
    called = " ".join(path.read_text() for path in TESTS.rglob("*.py"))
    called += " ".join(path.read_text() for path in (TESTS.parent / "support").glob("*.py"))
    untested = [
        name
        for name in parity.offered()
        if not re.search(rf"\b{xform_name(name)}\b|\"{name}\"|:{name[0].lower()}{name[1:]}\b", called)
    ]
    assert untested == []


def test_every_operation_of_awss_model_is_in_the_readme() -> None:
    words = set(re.findall(r"\w+", parity.README.read_text()))
    assert set(shapes.service_model("sagemaker").operation_names) - words == set()


def test_what_only_stores_is_among_what_is_offered() -> None:
    assert set(deviations.RECORDED) <= {parity.noun(name) for name in parity.offered()}


@pytest.mark.parametrize(
    ("operation", "noun"),
    [
        ("ListTrainingJobs", "TrainingJob"),
        ("AddTags", "Tag"),
        ("Search", "Search"),
        ("BatchDescribeModelPackage", "ModelPackage"),
    ],
)
def test_operations_are_grouped_by_their_resource(operation: str, noun: str) -> None:
    assert parity.noun(operation) == noun


def test_a_stale_readme_is_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "README", tmp_path / "README.md")
    assert parity.main(["--check"]) == 1
    assert parity.main([]) == 0
    assert parity.main(["--check"]) == 0
