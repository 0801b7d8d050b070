"""The state machine retrain, deployed from the templates and run at the local endpoint through its branches.

The SageMaker Pipeline behind it is a small one of the same name and parameters: what counts here is which runs are
started, and what is published.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.support.accounts import BAD, DEADLINE_SECONDS, GOOD, Account
from benchmarks.support.definitions import Execution, Project
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from pipelines.authoring import archives, workflows


@pytest.fixture(scope="module")
def account(clients: Clients) -> Iterator[Account]:
    """An environment in which every new beer is worth a run."""
    made = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def patient(clients: Clients) -> Iterator[Account]:
    """An environment that waits an hour between runs."""
    made = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="60")
    yield made
    made.remove()


def none(account: Account) -> str:
    return f"s3://{account.stacks.output('artifacts', 'ArtifactBucket')}/{archives.NO_CHAMPION.folder}"


def test_new_beers_make_a_snapshot_and_a_run_and_the_same_data_makes_none(account: Account) -> None:
    account.upsert(GOOD)
    account.deliver(1, 30)
    # A beer that was brewed again: the newest delivery counts, whichever object is read first.
    account.deliver(30, 1, stamp="2026-11-20-13-00-00")
    before = len(account.runs())
    status, output = account.run()
    assert (status, output["decision"], output["reason"]) == ("SUCCEEDED", "trained", "30 new beers")
    assert output["run"] == account.runs()[-1]["PipelineExecutionArn"]
    given = account.parameters(account.runs()[-1])
    assert (given["CutOff"], given["DistinctBeers"]) == ("2026-11-20-13-00-00", "30")
    bucket, _, prefix = given["InputData"].removeprefix("s3://").partition("/")
    assert account.clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] == 1
    message = f"The run {output['run']} succeeded and registered no model."
    assert account.notifications() == [("Tapline: a run ended without a model", message)]
    reason = "too few new beers: 0 since the latest run, 1 are needed"
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": reason})
    assert [body["Message"] for body in account.messages(account.skips)] == [reason]
    assert account.notifications() == []
    assert len(account.runs()) == before + 1


def test_a_new_model_is_published_with_its_description_and_the_command_that_shows_it(account: Account) -> None:
    project = Project(account.clients, account.pipeline)
    register = project.register("Register-RegisterModel", project.put("model.tar.gz", "model"))
    register["Arguments"]["ModelPackageDescription"] = "The error is 12.0 % below the median's."
    account.upsert(register)
    account.deliver(50, 5)
    run = account.run()[1]["run"]
    (package,) = project.packages()
    assert account.notifications() == [
        (
            "Tapline: a new model waits for approval",
            f"Version {package['ModelPackageVersion']}. The error is 12.0 % below the median's. "
            f"See and approve it: python -m pipelines.registry show {package['ModelPackageVersion']} (run {run})",
        )
    ]


def test_a_notification_has_its_outcome_as_an_attribute_by_which_subscriptions_can_filter(account: Account) -> None:
    def outcomes(queue: str) -> list[str]:
        return [body["MessageAttributes"]["outcome"]["Value"] for body in account.messages(queue)]

    outcomes(account.skips)
    account.upsert(GOOD)
    account.deliver(60, 5)
    account.run()
    account.run()
    account.upsert(BAD)
    account.deliver(70, 5)
    account.run()
    assert (outcomes(account.inbox), outcomes(account.skips)) == (["finished", "failed"], ["skipped"])
    account.upsert(GOOD)
    account.run()
    account.notifications()


def test_a_forced_run_trains_on_the_same_snapshot_while_the_table_is_the_same(account: Account) -> None:
    account.upsert(GOOD)
    account.deliver(80, 5)
    assert account.run()[1]["decision"] == "trained"
    assert account.run(force=False)[1]["decision"] == "skipped"
    status, output = account.run(force=True)
    assert (status, output["decision"], output["reason"]) == ("SUCCEEDED", "trained", "0 new beers")
    # More rows of the beers that are known: nothing new to count, and yet other data.
    account.deliver(80, 5)
    assert account.run()[1]["decision"] == "skipped"
    assert account.run(force=True)[1]["decision"] == "trained"
    data = [(given["InputData"], given["Rows"]) for given in map(account.parameters, account.runs()[-3:])]
    assert data[0] == data[1]
    assert (data[2][0] != data[0][0], int(data[2][1]) - int(data[0][1])) == (True, 5)
    account.notifications()


def test_an_expired_snapshot_is_taken_again(account: Account) -> None:
    account.upsert(GOOD)
    account.deliver(85, 5)
    assert account.run()[1]["decision"] == "trained"
    given = account.parameters(account.runs()[-1])
    bucket, _, prefix = given["InputData"].removeprefix("s3://").partition("/")
    for each in account.clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        account.clients.s3.delete_object(Bucket=bucket, Key=each["Key"])
    assert account.run(force=True)[1]["decision"] == "trained"
    again = account.parameters(account.runs()[-1])
    assert (again["CutOff"], again["InputData"] != given["InputData"]) == (given["CutOff"], True)
    account.notifications()


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


def test_fewer_labelled_beers_than_training_needs_start_no_run(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0", MinBeers="10")
    account.upsert(GOOD)
    account.deliver(1, 9)
    key = "cleaned/dt=2026-11-20/stream-1-2026-11-20-12-30-00-x.csv"
    bucket = account.stacks.output("ingestion", "DataBucket")
    clients.s3.put_object(Bucket=bucket, Key=key, Body=b"100,No Label,5.2,,1010,1050,20,10,4.4\n")
    reason = "too few beers: 9 with a bitterness, 10 are needed"
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": reason})
    account.deliver(10, 1)
    assert account.run()[1]["decision"] == "trained"
    # The run has the threshold of the decision.
    assert account.parameters(account.runs()[-1])["MinBeers"] == "10"
    account.remove()


def test_a_run_under_way_is_not_disturbed_and_a_stopped_one_is_published(account: Account) -> None:
    project = Project(account.clients)
    account.upsert(project.processing("Preprocess", "import time; time.sleep(20)"))
    account.deliver(200, 5)
    first = account.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    before = len(account.runs())
    while len(account.runs()) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    run = account.runs()[-1]["PipelineExecutionArn"]
    assert account.run() == ("SUCCEEDED", {"decision": "skipped", "reason": f"a run is under way: {run}"})
    assert account.run(force=True)[1]["decision"] == "skipped"
    account.clients.sagemaker.stop_pipeline_execution(PipelineExecutionArn=run, ClientRequestToken=uuid.uuid4().hex)
    assert account.result(first) == ("FAILED", {"Error": "RunStopped", "Cause": f"The run {run} ended as Stopped."})
    assert account.notifications() == [("Tapline: retrain failed", f"RunStopped: The run {run} ended as Stopped.")]


@pytest.mark.parametrize("events", [10, pytest.param(50, marks=pytest.mark.release)])
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


def test_a_run_too_soon_after_the_last_is_skipped(patient: Account) -> None:
    patient.upsert(GOOD)
    patient.deliver(1, 30)
    assert patient.run()[1]["decision"] == "trained"
    patient.deliver(31, 30)
    assert patient.run() == (
        "SUCCEEDED",
        {"decision": "skipped", "reason": "too soon: 0 minutes since the latest run, 60 are needed"},
    )


def test_the_approved_model_is_passed_on_as_the_champion(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0")
    account.upsert(GOOD)
    account.deliver(1, 3)
    assert account.run()[1]["decision"] == "trained"
    assert account.parameters(account.runs()[-1])["ChampionModel"] == none(account)
    bucket, key = account.stacks.output("artifacts", "ArtifactBucket"), f"{account.pipeline}/model.tar.gz"
    clients.s3.put_object(Bucket=bucket, Key=key, Body=b"model")
    container = {"Image": "image", "ModelDataUrl": f"s3://{bucket}/{key}"}
    for approval in ("Approved", "Rejected"):
        clients.sagemaker.create_model_package(
            ModelPackageGroupName=account.pipeline,
            ModelApprovalStatus=approval,
            CustomerMetadataProperties={"ArtifactSha256": "a" * 64, "AccumulatedLoss": "0.0120"},
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )
    account.deliver(10, 3)
    assert account.run()[1]["decision"] == "trained"
    given = account.parameters(account.runs()[-1])
    names = ("ChampionModel", "ChampionSha256", "ChampionVersion", "ChampionAccumulatedLoss")
    assert [given[name] for name in names] == [f"s3://{bucket}/{key}", "a" * 64, "1", "0.012"]
    # Gone from S3, it does not block its successor.
    clients.s3.delete_object(Bucket=bucket, Key=key)
    account.deliver(20, 3)
    assert account.run()[1]["decision"] == "trained"
    assert account.parameters(account.runs()[-1])["ChampionModel"] == f"s3://{bucket}/{archives.LOST_CHAMPION.folder}"
    account.remove()


def test_a_new_object_starts_it_and_objects_elsewhere_do_not(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0", NewDataState="ENABLED")
    account.upsert(GOOD)
    data = account.stacks.output("ingestion", "DataBucket")
    for key in ("raw/dt=2026-11-20/x.json.gz", "errors/cleaned/processing-failed/dt=2026-11-20/x"):
        clients.s3.put_object(Bucket=data, Key=key, Body=b"{}")
    account.deliver(1, 3)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not account.runs() and time.monotonic() < deadline:
        time.sleep(0.05)
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


@pytest.mark.parametrize("answer", ["answer", "refuse"])
def test_a_start_with_another_execution_s_token_is_a_skip_however_the_service_answers_it(
    clients: Clients, endpoint: Endpoint, answer: str
) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0")
    account.upsert(GOOD)
    account.deliver(1, 5)
    assert account.run()[1]["decision"] == "trained"
    account.deliver(10, 5)
    latest = account.runs()[-1]["PipelineExecutionArn"]
    token = hashlib.sha256(f"{account.pipeline} {latest}".encode()).hexdigest()
    endpoint.control("sagemaker", ReusedToken=answer)
    try:
        machine = account.start()
        deadline = time.monotonic() + DEADLINE_SECONDS
        # Another execution that has read the same latest run is faster, with a snapshot of its own.
        while "Snapshot" not in entered(account, machine) and time.monotonic() < deadline:
            time.sleep(0.01)
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
    account.remove()


def entered(account: Account, execution: str) -> set[str]:
    """The states that an execution has entered so far."""
    pages = account.clients.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
    return {event.get("stateEnteredEventDetails", {}).get("name", "") for page in pages for event in page["events"]}


def test_an_approved_model_behind_a_page_of_others_is_the_champion(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1", MinMinutesBetweenRuns="0")
    account.upsert(GOOD)
    account.deliver(1, 3)
    bucket, key = account.stacks.output("artifacts", "ArtifactBucket"), f"{account.pipeline}/model.tar.gz"
    clients.s3.put_object(Bucket=bucket, Key=key, Body=b"model")
    for approval in ("Approved", *["PendingManualApproval"] * 101):
        clients.sagemaker.create_model_package(
            ModelPackageGroupName=account.pipeline,
            ModelApprovalStatus=approval,
            InferenceSpecification={
                "Containers": [{"Image": "image", "ModelDataUrl": f"s3://{bucket}/{key}"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )
    execution = account.start()
    assert account.result(execution)[1]["decision"] == "trained"
    assert "MoreApprovedModels" in account.history(execution)
    assert account.parameters(account.runs()[-1])["ChampionModel"] == f"s3://{bucket}/{key}"
    account.remove()


def test_a_forced_run_on_an_empty_table_is_a_skip(clients: Clients) -> None:
    account = Account(clients)
    account.upsert(GOOD)
    assert account.run(force=True) == ("SUCCEEDED", {"decision": "skipped", "reason": "the table has no beers yet"})
    account.remove()


def test_parameters_of_the_input_are_those_of_the_run_and_given_data_need_no_snapshot(clients: Clients) -> None:
    account = Account(clients, MinNewBeers="1000")
    account.upsert(GOOD)
    data = f"s3://{account.stacks.output('artifacts', 'ArtifactBucket')}/snapshots/mine/"
    execution = account.start(force=True, parameters={"InputData": data, "Seed": "7"})
    assert account.result(execution)[1]["decision"] == "trained"
    assert "Snapshot" not in account.history(execution)
    given = account.parameters(account.runs()[-1])
    assert (given["InputData"], given["Seed"]) == (data, "7")
    account.remove()
