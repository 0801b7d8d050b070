"""The format of the cleaned table is chosen once: the objects of the other format could not be read."""

import pytest

from benchmarks.support.accounts import Account
from localaws.errors import CONFLICT, ExpectedError
from pipelines.account.clients import Clients


def test_a_deployment_that_changes_the_format_of_a_deployed_table_is_refused(clients: Clients) -> None:
    account = Account(clients)
    with pytest.raises(ExpectedError, match="has the format csv, and its objects cannot be read as parquet") as raised:
        account.stacks.deploy_one("ingestion", {"CleanedFormat": "parquet"})
    assert raised.value.code == CONFLICT
    assert account.stacks.deploy_one("ingestion") == "unchanged"
    account.remove()
