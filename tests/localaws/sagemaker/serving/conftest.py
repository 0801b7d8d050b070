"""An endpoint for each test."""

import contextlib
from collections.abc import Iterator

import pytest

from pipelines.account.clients import Clients
from tests.support.served import Served


@pytest.fixture
def served(clients: Clients) -> Iterator[Served]:
    """Models and an endpoint of the test's own; deleted at the end."""
    made = Served(clients)
    yield made
    with contextlib.suppress(made.api.exceptions.ClientError):
        made.delete()
