"""A model to serve for each test; every answer of the local SageMaker is compared with AWS's model."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from localaws import shapes
from pipelines.account.clients import Clients
from tests.support.served import Served

# AWS's answer for a package of a group has no name either, although its model requires one.
AWS_LEAVES_OUT = {"DescribeModelPackage": {"ModelPackageName: required, but missing"}}


@pytest.fixture
def answers(clients: Clients) -> Iterator[list[tuple[str, Any]]]:
    """(operation, raw JSON) of every SageMaker answer while the test runs."""
    seen: list[tuple[str, Any]] = []

    def record(http_response: Any, model: Any, **_: Any) -> None:
        if http_response.status_code == 200:
            seen.append((model.name, json.loads(http_response.content)))

    events = clients.sagemaker.meta.events
    events.register("after-call.sagemaker", record)
    yield seen
    events.unregister("after-call.sagemaker", record)


@pytest.fixture(autouse=True)
def shaped(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test for an answer that is not as AWS's model describes it."""
    if "clients" not in request.fixturenames:
        yield
        return
    answers = request.getfixturevalue("answers")
    yield
    assert [(operation, found) for operation, answer in answers if (found := wrong(operation, answer))] == []


def wrong(operation: str, answer: Any) -> list[str]:
    """What differs from the output shape of an operation."""
    shape = shapes.output_shape("sagemaker", operation)
    found = set(shapes.problems(shape, answer)) if shape else set()
    return sorted(found - AWS_LEAVES_OUT.get(operation, set()))


@pytest.fixture
def served(clients: Clients) -> Iterator[Served]:
    """Models and an endpoint of the test's own; deleted at the end."""
    made = Served(clients)
    yield made
    with contextlib.suppress(made.api.exceptions.ClientError):
        made.delete()
