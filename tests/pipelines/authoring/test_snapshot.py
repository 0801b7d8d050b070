"""A snapshot is the same for the same rows, in whichever order, objects and format they lie in the tables."""

import hashlib
import io
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from benchmarks.support import tables
from benchmarks.support.accounts import Account
from benchmarks.support.streams import delivered
from ingestion import record
from localaws.endpoint import Endpoint
from pipelines.account import executions, retraining, upsert
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks
from pipelines.authoring import committed
from pipelines.local.punk_api import BUNDLED
from pipelines.records import commands, generate
from tests.support.lake import Lake

_numbers = itertools.count(1)
EARLY, LATE = "2026-11-20-08-00-00", "2026-11-20-09-00-00"
Rows = list[record.Row]


def rows(seed: int) -> Rows:
    """Rows of generated beers, half of them of a beer that is there already, with other values."""
    plan = generate.Plan(60, seed=seed)
    outcomes = [record.to_row(each.content) for each in generate.records(plan)]
    found = [each.row for each in outcomes if isinstance(each, record.Clean)]
    # Of the same time: 9.5 and 10.5 are in another order as numbers than as texts.
    again = [(row[0], row[1], 9.5 if number % 2 else 10.5, *row[3:]) for number, row in enumerate(found * 2)]
    return [*found, *again]


class Cleaned(Lake):
    """The template's tables over a bucket of their own."""

    def __init__(self, clients: Clients) -> None:
        self.clients, self.name = clients, f"snapshots{next(_numbers)}"
        clients.s3.create_bucket(Bucket=f"{self.name}-bucket")
        tables.create(clients.glue, self.name, f"{self.name}-bucket")

    def csv(self, stamp: str, *found: record.Row) -> None:
        """An object of the batch lane."""
        self.put(f"cleaned/dt={stamp[:10]}/landed-{stamp}-{next(_numbers)}.csv", "".join(map(record.to_csv, found)))

    def parquet(self, stamp: str, *found: record.Row) -> None:
        """An object of Firehose's."""
        types = {"integer": pyarrow.int64(), "text": pyarrow.string(), "number": pyarrow.float64()}
        schema = pyarrow.schema([(column.name, types[column.kind]) for column in record.COLUMNS])
        made = pyarrow.Table.from_pylist([dict(zip(record.NAMES, row, strict=True)) for row in found], schema)
        file = io.BytesIO()
        pyarrow.parquet.write_table(made, file)
        key = f"cleaned/parquet/dt={stamp[:10]}/stream-1-{stamp}-{next(_numbers)}.parquet"
        self.clients.s3.put_object(Bucket=f"{self.name}-bucket", Key=key, Body=file.getvalue())

    def snapshot(self) -> str:
        """The digest of a snapshot's rows, which are in no order."""
        done = self.run(tables.statement(self.name, f"{self.name}-bucket", "one"))
        assert done["Status"]["State"] == "SUCCEEDED", done["Status"]
        return digest(self.clients, f"{self.name}-bucket", "snapshots/")


def digest(clients: Clients, bucket: str, prefix: str) -> str:
    """The digest of the rows of Parquet objects, sorted by id."""
    listed = clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    bodies = [clients.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed]
    found = [row for body in bodies for row in pyarrow.parquet.read_table(io.BytesIO(body)).to_pylist()]
    assert len({row["id"] for row in found}) == len(found) > 0
    return hashlib.sha256(json.dumps(sorted(found, key=lambda row: int(row["id"]))).encode()).hexdigest()


@pytest.mark.endpoint
def test_order_objects_and_format_of_the_same_rows_do_not_change_a_snapshot(clients: Clients) -> None:
    found, late = rows(1), rows(1)[:7]
    shuffled = random.Random(2).sample(found, len(found))

    def arrangements() -> Iterator[Cleaned]:
        one = Cleaned(clients)
        one.csv(EARLY, *found)
        one.csv(LATE, *late)
        yield one
        many = Cleaned(clients)
        many.csv(LATE, *reversed(late))
        for start in range(0, len(shuffled), 40):
            many.csv(EARLY, *shuffled[start : start + 40])
        yield many
        typed = Cleaned(clients)
        typed.parquet(LATE, *late)
        typed.parquet(EARLY, *shuffled)
        yield typed
        mixed = Cleaned(clients)
        mixed.parquet(EARLY, *found[:50])
        mixed.csv(EARLY, *found[50:], *found[:10])
        mixed.parquet(LATE, *late)
        yield mixed

    assert len({each.snapshot() for each in arrangements()}) == 1


@pytest.mark.release
def test_the_model_is_the_same_by_stream_by_file_and_as_parquet(
    endpoint: Endpoint, clients: Clients, tmp_path: Path
) -> None:
    beers = json.loads(BUNDLED.read_text())
    dump = tmp_path / "dump.jsonl"
    dump.write_text("".join(json.dumps(beer) + "\n" for beer in reversed(beers)))

    def stream(account: Account) -> None:
        account.clients.kinesis.put_records(
            StreamName=account.stacks.output("ingestion", "StreamName"),
            Records=[{"Data": json.dumps(beer).encode(), "PartitionKey": str(beer["id"])} for beer in beers],
        )
        delivered(endpoint)

    def file(account: Account) -> None:
        commands.load(account.stacks, dump)

    models = set()
    for fill, form in ((file, "csv"), (stream, "csv"), (stream, "parquet")):
        account = Account(clients)
        stacks = Stacks(clients, account.stacks.environment, lambda seconds: None)
        stacks.deploy_one("ingestion", {"CleanedFormat": form})
        fill(account)
        models.add(_model(account))
        account.remove()
    assert len(models) == 1


def _model(account: Account) -> tuple[str, str]:
    """The digests of the snapshot and of the model that a run registers."""
    clients, stacks = account.clients, account.stacks
    settings = upsert.settings(clients, stacks)
    upsert.upsert(clients, settings, committed.definition(settings), stacks.environment.tags)
    run = retraining.wait_for_run(stacks, retraining.start(stacks, {}))
    assert executions.wait(clients, run, lambda text: None, 0.5)["status"] == "Succeeded"
    package = executions.registered_package(clients, run)
    assert package is not None
    listed = clients.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=run, MaxResults=100)
    uri = next(each["Value"] for each in listed["PipelineParameters"] if each["Name"] == "InputData")
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return digest(clients, bucket, prefix), package["CustomerMetadataProperties"]["ArtifactSha256"]
