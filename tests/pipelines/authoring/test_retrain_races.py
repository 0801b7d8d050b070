"""Many starts of the state machine retrain at once, and starts while a run is under way."""

import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.support.accounts import GOOD, Account
from benchmarks.support.definitions import Project, until
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from pipelines.authoring import workflows


def test_a_run_under_way_is_not_disturbed_and_a_stopped_one_is_published(account: Account) -> None:
    project = Project(account.clients)
    account.upsert(project.processing("Preprocess", "import time; time.sleep(20)"))
    account.deliver(200, 5)
    before = len(account.runs())
    first = account.start()
    until(lambda: len(account.runs()) > before, "the run")
    run = account.runs()[-1]["PipelineExecutionArn"]
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": f"a run is under way: {run}"})
    assert account.run(force=True)[1]["decision"] == "skipped"
    account.clients.sagemaker.stop_pipeline_execution(PipelineExecutionArn=run, ClientRequestToken=uuid.uuid4().hex)
    assert account.result(first) == ("FAILED", {"Error": "RunStopped", "Cause": f"The run {run} ended as Stopped."})
    assert account.notifications() == [("Tapline: retrain failed", f"RunStopped: The run {run} ended as Stopped.")]


# Ten at once are in test_retrain_events.py.
@pytest.mark.release
@pytest.mark.parametrize("events", [10, 50])
def test_equal_events_at_once_make_one_run(account: Account, events: int) -> None:
    account.upsert(GOOD)
    account.deliver(300 + events, 5)
    before = len(account.runs())
    with ThreadPoolExecutor(events) as pool:
        executions = list(pool.map(lambda _: account.start(), range(events)))
    results = [account.result(each) for each in executions]
    assert {status for status, _ in results} == {"SUCCEEDED"}
    assert {output["decision"] for _, output in results} <= {"trained", "skipped"}
    assert len(account.runs()) == before + 1
    account.notifications()


@pytest.mark.parametrize("answer", ["answer", "refuse"])
def test_a_start_with_another_execution_s_token_is_a_skip_however_the_service_answers_it(
    account: Account, endpoint: Endpoint, answer: str
) -> None:
    first = 1000 + 10 * len(account.runs())
    account.upsert(GOOD)
    account.deliver(first, 5)
    assert account.run()[1]["decision"] == "trained"
    account.deliver(first + 5, 5)
    latest = account.runs()[-1]["PipelineExecutionArn"]
    token = hashlib.sha256(f"{account.pipeline} {latest}".encode()).hexdigest()
    endpoint.control("sagemaker", ReusedToken=answer)
    try:
        machine = account.start()
        # Another execution that has read the same latest run is faster, with a snapshot of its own.
        until(lambda: "Snapshot" in entered(account, machine), "the snapshot", longest=0.02)
        given = {**account.parameters(account.runs()[-1]), "InputData": f"s3://{account.name}/snapshots/other/"}
        other = account.clients.sagemaker.start_pipeline_execution(
            PipelineName=account.pipeline,
            ClientRequestToken=token,
            PipelineParameters=[{"Name": name, "Value": value} for name, value in given.items()],
        )["PipelineExecutionArn"]
        reason = f"another execution started the run {other}"
        assert account.result(machine) == ("SUCCEEDED", {"decision": "skipped", "reason": reason})
    finally:
        endpoint.control("sagemaker", ReusedToken="answer")
    assert account.runs()[-1]["PipelineExecutionArn"] == other
    account.notifications()


def test_a_new_object_starts_it_and_objects_elsewhere_do_not(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0", NewDataState="ENABLED")
    account.upsert(GOOD)
    data = account.stacks.output("ingestion", "DataBucket")
    for key in ("raw/dt=2026-11-20/x.json.gz", "errors/cleaned/processing-failed/dt=2026-11-20/x"):
        clients.s3.put_object(Bucket=data, Key=key, Body=b"{}")
    account.deliver(1, 3)
    until(account.runs, "the run")
    executions = clients.stepfunctions.list_executions(stateMachineArn=account.machine)["executions"]
    assert len(executions) == 1
    assert account.result(executions[0]["executionArn"])[1]["decision"] == "trained"
    assert len(account.runs()) == 1
    account.remove()


def test_an_execution_that_takes_too_long_ends_by_itself(account: Account, clients: Clients) -> None:
    project = Project(clients)
    account.upsert(project.processing("Preprocess", "import time; time.sleep(20)"))
    account.deliver(500, 5)
    definition = json.loads(clients.stepfunctions.describe_state_machine(stateMachineArn=account.machine)["definition"])
    assert definition["TimeoutSeconds"] == workflows.TIMEOUT_SECONDS
    machine = clients.stepfunctions.create_state_machine(
        name=f"hasty-{account.name}",
        definition=json.dumps({**definition, "TimeoutSeconds": 2}),
        roleArn="arn:aws:iam::000000000000:role/x",
    )["stateMachineArn"]
    execution = clients.stepfunctions.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    assert account.result(execution) == ("TIMED_OUT", {"Error": "States.Timeout", "Cause": None})


@pytest.mark.parametrize("objects", [7, pytest.param(24, marks=pytest.mark.release)])
def test_a_burst_of_objects_makes_as_many_runs_as_there_are_twenties_of_new_beers(
    clients: Clients, objects: int
) -> None:
    account = Account(clients, MinNewBeers="20", MinMinutesBetweenRuns="0", NewDataState="ENABLED")
    account.upsert(GOOD)
    for number in range(objects):
        account.deliver(10 * number, 10, stamp=f"2026-11-20-{number:02d}-00-00")
    account.settle()
    known = [int(account.parameters(run)["DistinctBeers"]) for run in account.runs()]
    # Each run knew at least 20 beers more than the one before, and what is left is too little for another.
    assert all(later - earlier >= 20 for earlier, later in zip([0, *known], known, strict=False))
    assert account.run()[1]["decision"] == ("skipped" if 10 * objects - known[-1] < 20 else "trained")
    account.remove()


def entered(account: Account, execution: str) -> set[str]:
    """The states that an execution has entered so far."""
    pages = account.clients.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
    return {event.get("stateEnteredEventDetails", {}).get("name", "") for page in pages for event in page["events"]}
