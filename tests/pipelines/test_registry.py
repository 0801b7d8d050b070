"""The registry's command on a group with many versions: what it reads, and how often it asks."""

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.support.definitions import Project
from localaws.errors import ExpectedError
from pipelines import registry
from pipelines.account.model_packages import Registry

VERSIONS = 30
# The local SageMaker returns no more than this many packages in a page.
PAGE = 100


@pytest.fixture
def group(project: Project) -> Registry:
    """A group of VERSIONS packages without an evaluation, every other one approved."""
    api = project.clients.sagemaker
    api.create_model_package_group(ModelPackageGroupName=project.name)
    container = {"Image": "image", "ModelDataUrl": project.put("model.tar.gz", b"model")}
    for number in range(VERSIONS):
        api.create_model_package(
            ModelPackageGroupName=project.name,
            ModelApprovalStatus="Approved" if number % 2 else "PendingManualApproval",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )
    return Registry(project.clients, project.name)


@pytest.fixture
def calls(project: Project) -> Iterator[Counter[str]]:
    """How often each SageMaker operation is called while the test runs."""
    counted: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        counted[model.name] += 1

    events = project.clients.sagemaker.meta.events
    events.register("before-call.sagemaker", count)
    yield counted
    events.unregister("before-call.sagemaker", count)


def test_a_list_reads_its_pages_and_then_each_version_once(group: Registry, calls: Counter[str]) -> None:
    calls.clear()
    listed = registry.list_(group, argparse.Namespace())
    assert [each["version"] for each in listed["versions"]] == list(range(1, VERSIONS + 1))
    assert calls == {"ListModelPackages": -(-VERSIONS // PAGE), "DescribeModelPackage": VERSIONS}


def test_one_version_is_found_without_describing_the_others(group: Registry, calls: Counter[str]) -> None:
    calls.clear()
    assert group.package(17)["ModelPackageVersion"] == 17
    assert calls == {"ListModelPackages": 1, "DescribeModelPackage": 1}


def test_an_unknown_version_is_not_found_and_the_error_names_those_that_exist(group: Registry) -> None:
    with pytest.raises(ExpectedError, match=r"there is no version 99 \(have: 1, 2, 3,") as unknown:
        group.packages(3, 99)
    assert unknown.value.code == 3


def test_a_prediction_names_what_was_not_used_of_its_beer() -> None:
    answered = {"ibu": 40.04, "low": 20.0, "high": 60.0, "class": "high"}
    predictions = [
        {"beer": "Ale", **answered, "repaired": ["abv_not_a_number", "gravities_swapped"]},
        {"beer": "Ipa", **answered, "warnings": ["abv_outside_training_range"]},
        {"beer": "3", "error": "the name is not a text", "field": "name"},
    ]
    lines = registry.text("predict", {"model_version": 4, "predictions": predictions}).splitlines()
    assert [line.split(maxsplit=5)[-1] for line in lines[1:3]] == [
        "abv_not_a_number, gravities_swapped",
        "abv_outside_training_range",
    ]
    assert lines[3].split(maxsplit=1) == ["3", "the name is not a text  name"]
    assert lines[4] == "version 4"
