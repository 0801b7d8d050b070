"""Events without new data, late or out of order: the state machine retrain started as EventBridge does it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.support.accounts import GOOD, Account, Document
from benchmarks.support.definitions import Execution, Project
from pipelines.account.clients import Clients


@pytest.fixture(scope="module")
def account(clients: Clients) -> Iterator[Account]:
    """An environment in which every new beer is worth a run, and every new object an event."""
    made = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0", NewDataState="ENABLED")
    made.upsert(GOOD)
    yield made
    made.remove()


def executions(account: Account) -> list[Document]:
    """The state machine's executions, the newest first, when all that were started have ended."""
    account.settle()
    listed = account.clients.stepfunctions.list_executions(stateMachineArn=account.machine, maxResults=1000)
    return list(listed["executions"])


def snapshots(account: Account) -> set[str]:
    """The folders of the snapshots."""
    bucket = account.stacks.output("artifacts", "ArtifactBucket")
    pages = account.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="snapshots/")
    return {item["Key"].split("/")[1] for page in pages for item in page.get("Contents", [])}


def test_an_event_before_there_is_any_data_is_a_skip(account: Account) -> None:
    reason = "the table has no beers yet"
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": reason})
    assert account.runs() == []


def test_a_late_object_counts_although_newer_ones_came_before_it(account: Account) -> None:
    account.deliver(1, 10, stamp="2026-11-20-12-00-00")
    executions(account)
    known = [account.parameters(run) for run in account.runs()]
    assert [(each["DistinctBeers"], each["CutOff"]) for each in known] == [("10", "2026-11-20-12-00-00")]
    # Firehose tried again for an hour: the object's name has the time of its records.
    account.deliver(8, 5, stamp="2026-11-20-11-00-00")
    executions(account)
    latest = account.parameters(account.runs()[-1])
    assert (latest["DistinctBeers"], latest["CutOff"]) == ("12", "2026-11-20-12-00-00")
    assert latest["InputData"] != known[0]["InputData"]


def test_the_same_object_again_and_deleted_objects_start_no_run(account: Account) -> None:
    bucket = account.stacks.output("ingestion", "DataBucket")
    listed = account.clients.s3.list_objects_v2(Bucket=bucket, Prefix="cleaned/")["Contents"]
    runs, before = account.runs(), len(executions(account))
    body = account.clients.s3.get_object(Bucket=bucket, Key=listed[0]["Key"])["Body"].read()
    account.clients.s3.put_object(Bucket=bucket, Key=listed[0]["Key"], Body=body)
    assert len(executions(account)) == before + 1
    account.clients.s3.delete_object(Bucket=bucket, Key=listed[1]["Key"])
    assert len(executions(account)) == before + 1
    # An event may be older than the deletion of its object.
    assert account.run()[1]["decision"] == "skipped"
    assert account.runs() == runs


def test_events_at_once_start_one_run_on_one_of_their_snapshots(account: Account) -> None:
    runs, taken = len(account.runs()), snapshots(account)
    account.deliver(100, 15, stamp="2026-11-20-14-00-00")
    with ThreadPoolExecutor(10) as pool:
        started = list(pool.map(lambda _: account.start(), range(10)))
    assert {account.result(each)[0] for each in started} == {"SUCCEEDED"}
    executions(account)
    assert len(account.runs()) == runs + 1
    used = account.parameters(account.runs()[-1])["InputData"].split("/")[-2]
    assert used in snapshots(account) - taken


def test_a_run_by_hand_is_left_alone_and_its_beers_are_known_afterwards(account: Account) -> None:
    given = {**account.parameters(account.runs()[-1]), "DistinctBeers": "1000"}
    account.upsert(Project(account.clients).processing("Preprocess", "import time; time.sleep(3)"))
    by_hand = account.clients.sagemaker.start_pipeline_execution(
        PipelineName=account.pipeline,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in given.items()],
    )["PipelineExecutionArn"]
    account.deliver(200, 10, stamp="2026-11-20-15-00-00")
    reason = f"a run is under way: {by_hand}"
    assert account.result(executions(account)[0]["executionArn"]) == (
        "SUCCEEDED",
        {"decision": "skipped", "reason": reason},
    )
    assert Execution(account.clients, by_hand).wait().status == "Succeeded"
    assert account.run()[1]["decision"] == "skipped"
    assert account.runs()[-1]["PipelineExecutionArn"] == by_hand
