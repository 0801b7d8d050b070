"""The state machine retrain, deployed from the templates and run at the local endpoint through its branches.

The SageMaker Pipeline behind it is a small one of the same name and parameters: what counts here is which runs are
started, and what is published.
"""

import json
from collections.abc import Iterator

import pytest

from benchmarks.support.accounts import BAD, GOOD, Account
from benchmarks.support.definitions import Project
from pipelines.account.clients import Clients
from pipelines.authoring import archives, committed


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


def test_a_run_too_soon_after_the_last_is_skipped(patient: Account) -> None:
    patient.upsert(GOOD)
    patient.deliver(1, 30)
    assert patient.run()[1]["decision"] == "trained"
    patient.deliver(31, 30)
    assert patient.run() == (
        "SUCCEEDED",
        {"decision": "skipped", "reason": "too soon: 0 minutes since the latest run, 60 are needed"},
    )


@pytest.mark.parametrize(("minutes", "unknown"), [("7", False), ("-43200", True)])
def test_a_latest_run_in_the_future_blocks_nothing_and_the_decision_names_it(minutes: str, unknown: bool) -> None:
    import jsonata

    def output(state: str, states: dict[str, object]) -> dict[str, object]:
        expression = jsonata.Jsonata(json.loads(committed.machine("retrain"))["States"][state]["Output"][2:-2])
        frame = expression.create_frame()
        frame.bind("states", states)
        return dict(expression.evaluate(None, frame))

    cells = [{"VarCharValue": value} for value in ("300", "290", "12", "310", "2026-11-20-12-00-00", minutes)]
    given = {"last": {"Attempt": "0"}, "settings": {"RetryMinutes": 1}}
    table = output("ReadTable", {"input": given, "result": {"ResultSet": {"Rows": [{}, {"Data": cells}]}}})
    assert table["minutes"] == (1_000_000_000 if unknown else 7)
    why = "12 new beers" + "; the time since the latest run is unknown: its clock was ahead" * unknown
    assert output("NewData", {"input": table})["why"] == why


def test_the_approved_model_is_passed_on_as_the_champion(account: Account) -> None:
    clients = account.clients
    account.upsert(GOOD)
    account.deliver(500, 3)
    assert account.run()[1]["decision"] == "trained"
    assert account.parameters(account.runs()[-1])["ChampionModel"] == none(account)
    bucket, key = account.stacks.output("artifacts", "ArtifactBucket"), f"{account.pipeline}/model.tar.gz"
    clients.s3.put_object(Bucket=bucket, Key=key, Body=b"model")
    container = {"Image": "image", "ModelDataUrl": f"s3://{bucket}/{key}"}
    packages = [
        clients.sagemaker.create_model_package(
            ModelPackageGroupName=account.pipeline,
            ModelApprovalStatus=approval,
            CustomerMetadataProperties={"ArtifactSha256": "a" * 64, "AccumulatedLoss": "0.0120"},
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        for approval in ("Approved", "Rejected")
    ]
    account.deliver(510, 3)
    assert account.run()[1]["decision"] == "trained"
    given = account.parameters(account.runs()[-1])
    names = ("ChampionModel", "ChampionSha256", "ChampionVersion", "ChampionAccumulatedLoss")
    assert [given[name] for name in names] == [
        f"s3://{bucket}/{key}",
        "a" * 64,
        packages[0].rpartition("/")[2],
        "0.012",
    ]
    # Gone from S3, it does not block its successor.
    clients.s3.delete_object(Bucket=bucket, Key=key)
    account.deliver(520, 3)
    assert account.run()[1]["decision"] == "trained"
    assert account.parameters(account.runs()[-1])["ChampionModel"] == f"s3://{bucket}/{archives.LOST_CHAMPION.folder}"


@pytest.mark.release
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


def test_parameters_of_the_input_are_those_of_the_run_and_given_data_need_no_snapshot(patient: Account) -> None:
    data = f"s3://{patient.stacks.output('artifacts', 'ArtifactBucket')}/snapshots/mine/"
    execution = patient.start(force=True, parameters={"InputData": data, "Seed": "7"})
    assert patient.result(execution)[1]["decision"] == "trained"
    assert "Snapshot" not in patient.history(execution)
    given = patient.parameters(patient.runs()[-1])
    assert (given["InputData"], given["Seed"]) == (data, "7")
