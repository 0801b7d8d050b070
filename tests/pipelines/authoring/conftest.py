"""An environment for the tests of the state machine retrain."""

from collections.abc import Iterator

import pytest

from benchmarks.support.accounts import Account
from pipelines.account.clients import Clients


@pytest.fixture(scope="module")
def account(clients: Clients) -> Iterator[Account]:
    """An environment in which every new beer is worth a run."""
    made = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0")
    yield made
    made.remove()
