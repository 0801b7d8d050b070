"""An environment changes the format of what Firehose delivers without losing a record: both tables are read."""

import io
import json

import pyarrow.parquet
import pytest

from benchmarks.support.accounts import GOOD, Account
from benchmarks.support.streams import delivered
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks
from pipelines.records.ledger import ledger


def put(account: Account, *numbers: int) -> None:
    """Put beers on the stream."""
    beers = [{"id": number, "name": f"Beer {number}", "abv": 4.5, "ibu": 40} for number in numbers]
    account.clients.kinesis.put_records(
        StreamName=account.stacks.output("ingestion", "StreamName"),
        Records=[{"Data": json.dumps(beer).encode(), "PartitionKey": str(beer["id"])} for beer in beers],
    )


def formats(account: Account) -> dict[str, int]:
    """How many objects lie in the folder of each table."""
    bucket = account.stacks.output("ingestion", "DataBucket")
    return {
        prefix: account.clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"]
        for prefix in ("cleaned/dt=", "cleaned/parquet/dt=")
    }


def snapshot(account: Account) -> list[int]:
    """The beers of the snapshot that retrain takes."""
    status, result = account.run(force=True)
    assert (status, result["decision"]) == ("SUCCEEDED", "trained")
    bucket, _, prefix = account.parameters(account.runs()[-1])["InputData"].removeprefix("s3://").partition("/")
    [found] = account.clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    content = account.clients.s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
    return sorted(pyarrow.parquet.read_table(io.BytesIO(content)).column("id").to_pylist())


@pytest.mark.release
def test_records_that_come_while_the_format_changes_are_all_in_the_table(endpoint: Endpoint, clients: Clients) -> None:
    account = Account(clients)
    account.upsert(GOOD)
    arriving = iter(range(2, 1000))

    def change(wanted: str) -> None:
        def pause(_: float) -> None:
            put(account, next(arriving))
            delivered(endpoint)

        stacks = Stacks(clients, account.stacks.environment, pause)
        put(account, next(arriving))
        assert stacks.deploy_one("ingestion", {"CleanedFormat": wanted}) == "updated"
        put(account, next(arriving))
        delivered(endpoint)
        assert stacks.deploy_one("ingestion", {"CleanedFormat": wanted}) == "unchanged"

    put(account, 1)
    delivered(endpoint)
    assert formats(account)["cleaned/parquet/dt="] == 0
    change("parquet")
    before = formats(account)
    assert before["cleaned/parquet/dt="] > 0
    assert snapshot(account) == list(range(1, next(arriving)))
    put(account, 5)
    change("csv")
    assert formats(account)["cleaned/dt="] > before["cleaned/dt="]
    assert snapshot(account) == list(range(1, next(arriving)))
    found = ledger(clients.s3, account.stacks.output("ingestion", "DataBucket"))
    assert (found["difference"], found["unexplained"], found["failed"]) == (0, 0, {})
    account.remove()


def test_a_format_is_changed_by_way_of_both_and_after_what_is_buffered(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    account = Account(clients)
    deployed = Stacks.deploy_one

    def deploy(self: Stacks, short: str, overrides: dict[str, str] | None = None) -> str:
        asked.append((overrides or {}).get("CleanedFormat"))
        return deployed(self, short, overrides)

    monkeypatch.setattr(Stacks, "deploy_one", deploy)
    Stacks(clients, account.stacks.environment, asked.append).deploy_one("ingestion", {"CleanedFormat": "parquet"})
    assert asked == ["parquet", "both", 60.0 + 240.0]
    account.remove()
