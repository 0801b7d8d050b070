"""An environment that serves."""

from collections.abc import Iterator

import pytest

from pipelines.account.clients import Clients
from tests.support.deployments import Deployment


@pytest.fixture(scope="session")
def deployment(clients: Clients) -> Deployment:
    """An environment that tests share; its versions go on from one to the next."""
    return Deployment(clients)


@pytest.fixture
def served(deployment: Deployment) -> Iterator[Deployment]:
    """The environment, in which nothing is approved."""
    yield deployment
    deployment.clear()
