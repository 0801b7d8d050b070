"""The state machine retrain after a run that failed or was rejected: when it tries again, and on which data."""

import pytest

from benchmarks.support.accounts import BAD, GOOD, Account
from benchmarks.support.definitions import Execution, Project
from pipelines.account.clients import Clients


def test_a_rejected_run_is_published_with_its_reason_and_is_not_repeated(account: Account) -> None:
    account.upsert(BAD)
    account.deliver(100, 5)
    status, failed = account.run()
    run = account.runs()[-1]["PipelineExecutionArn"]
    assert (status, failed) == ("FAILED", {"Error": "RunFailed", "Cause": f"Reject: not good enough ({run})"})
    assert account.notifications() == [("Tapline: retrain failed", f"RunFailed: Reject: not good enough ({run})")]
    # The gate's rejection is a result: these beers are no reason for another run.
    account.upsert(GOOD)
    reason = "too few new beers: 0 since the latest run, 1 are needed"
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": reason})


@pytest.mark.release
def test_a_failed_run_is_retried_on_the_same_data_five_times_and_then_waits_for_new_data(account: Account) -> None:
    broken = Project(account.clients).processing("Preprocess", "raise SystemExit('broken')")
    account.upsert(broken)
    account.deliver(110, 5)
    assert account.run()[0] == "FAILED"
    first = account.parameters(account.runs()[-1])
    for attempt in range(1, 6):
        assert account.run()[1]["Error"] == "RunFailed"
        given = account.parameters(account.runs()[-1])
        assert (given["Attempt"], given["InputData"]) == (str(attempt), first["InputData"])
    skipped = "the latest run failed after 5 retries; 0 new beers since, 1 are needed"
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": skipped})
    account.upsert(GOOD)
    assert account.run()[1]["reason"] == skipped
    account.deliver(115, 1)
    status, output = account.run()
    assert (status, output["reason"]) == ("SUCCEEDED", "1 new beers")
    assert account.parameters(account.runs()[-1])["Attempt"] == "0"
    account.notifications()


def test_a_retry_uses_the_failed_run_s_data_although_the_table_has_grown(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="10", MinMinutesBetweenRuns="0")
    account.upsert(Project(clients).processing("Preprocess", "raise SystemExit('broken')"))
    account.deliver(1, 12)
    assert account.run()[0] == "FAILED"
    failed = account.parameters(account.runs()[-1])
    account.upsert(GOOD)
    account.deliver(20, 3, stamp="2026-11-20-14-00-00")
    assert account.run()[1]["reason"] == "retry 1 of 5 on the same data"
    same = ("InputData", "CutOff", "Rows", "DistinctBeers")
    retried = account.parameters(account.runs()[-1])
    assert {name: retried[name] for name in same} == {name: failed[name] for name in same}
    account.remove()


@pytest.mark.release
def test_a_retry_waits_twice_as_long_as_the_one_before(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0", RetryMinutes="15")
    account.upsert(Project(clients).processing("Preprocess", "raise SystemExit('broken')"))
    account.deliver(1, 12)
    assert account.run()[0] == "FAILED"
    given = account.parameters(account.runs()[-1])
    for attempt, minutes in (("0", 15), ("1", 30), ("4", 240)):
        run = clients.sagemaker.start_pipeline_execution(
            PipelineName=account.pipeline,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in {**given, "Attempt": attempt}.items()],
        )["PipelineExecutionArn"]
        Execution(clients, run).wait()
        reason = f"the latest run failed 0 minutes ago and is retried after {minutes}"
        assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": reason})
    account.remove()


def test_a_failed_snapshot_starts_no_run_and_is_published(account: Account) -> None:
    account.upsert(GOOD)
    account.deliver(400, 5)
    before = len(account.runs())
    bucket = account.stacks.output("artifacts", "ArtifactBucket")
    database = account.stacks.output("ingestion", "GlueDatabase")
    table = account.clients.glue.get_table(DatabaseName=database, Name="beers")["Table"]
    account.clients.glue.delete_table(DatabaseName=database, Name="beers")
    try:
        status, failed = account.run()
        assert (status, failed["Error"]) == ("FAILED", "States.TaskFailed")
        assert failed["Cause"].startswith("TABLE_NOT_FOUND")
        assert len(account.runs()) == before
        assert account.notifications()[0][0] == "Tapline: retrain failed"
    finally:
        members = ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")
        account.clients.glue.create_table(DatabaseName=database, TableInput={key: table[key] for key in members})
    assert account.run()[1]["decision"] == "trained"
    assert account.clients.s3.list_objects_v2(Bucket=bucket, Prefix="snapshots/")["KeyCount"] >= 1
    account.notifications()


def test_a_missing_pipeline_is_published_and_nothing_remains(account: Account) -> None:
    account.upsert(GOOD)
    account.clients.sagemaker.delete_pipeline(PipelineName=account.pipeline)
    status, failed = account.run()
    assert (status, failed["Error"]) == ("FAILED", "SageMaker.ResourceNotFoundException")
    assert "does not exist" in failed["Cause"]
    assert account.notifications()[0][0] == "Tapline: retrain failed"
