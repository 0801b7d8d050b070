"""A run by hand goes through the state machine `retrain`, which is forced to train."""

from collections.abc import Callable, Iterator

import pytest

from benchmarks.support.accounts import GOOD, Account
from benchmarks.support.definitions import Execution, Project
from localaws.errors import ExpectedError
from pipelines.account import retraining
from pipelines.account.clients import Clients


@pytest.fixture(scope="module")
def account(clients: Clients) -> Iterator[Account]:
    """An environment that asks for 1,000 new beers, so that no run starts by itself."""
    made = Account(clients, MinNewBeers="1000")
    made.upsert(GOOD)
    yield made
    made.remove()


def by_hand(account: Account, **parameters: str) -> str:
    """Start a run by hand; returns the pipeline execution's ARN."""
    return retraining.wait_for_run(account.stacks, retraining.start(account.stacks, parameters))


def test_an_empty_table_is_an_error_that_collects_beers(account: Account) -> None:
    with pytest.raises(ExpectedError, match="the table has no beers yet") as refused:
        by_hand(account)
    assert "aws lambda invoke --function-name" in refused.value.hint


def test_a_run_by_hand_trains_without_new_beers_and_uses_the_snapshot_again(account: Account) -> None:
    account.deliver(1, 60)
    runs = [by_hand(account)]
    Execution(account.clients, runs[0]).wait()
    account.settle()
    runs.append(by_hand(account))
    assert [each["PipelineExecutionArn"] for each in account.runs()] == runs
    given = [account.parameters(run) for run in account.runs()]
    shared = ("InputData", "CutOff", "Rows", "DistinctBeers")
    assert {name: given[0][name] for name in shared} == {name: given[1][name] for name in shared}
    account.settle()


def test_the_parameters_of_a_run_by_hand_take_precedence(account: Account) -> None:
    account.deliver(90, 5)
    run = by_hand(account, Seed="7", MinBeers="10", CutOff="mine")
    given = account.parameters(account.runs()[-1])
    assert account.runs()[-1]["PipelineExecutionArn"] == run
    assert (given["Seed"], given["MinBeers"], given["CutOff"], given["Rows"]) == ("7", "10", "mine", "65")
    account.settle()


def test_a_run_by_hand_beside_another_one_is_refused(account: Account, project: Project) -> None:
    account.upsert(project.processing("Work", "import time; time.sleep(10)"))
    account.deliver(100, 5)
    first = by_hand(account)
    with pytest.raises(ExpectedError, match=first) as refused:
        by_hand(account)
    assert refused.value.code == 4
    assert "pipelines.runs list" in refused.value.hint
    Execution(account.clients, first).stop()
    account.upsert(GOOD)
    account.settle()


def test_a_state_machine_that_fails_is_reported_with_its_cause(account: Account, failing: Callable[..., None]) -> None:
    failing("athena:StartQueryExecution", times=None, code="InvalidRequestException", message="no such workgroup")
    account.deliver(200, 5)
    with pytest.raises(ExpectedError, match="no such workgroup") as failed:
        by_hand(account)
    assert failed.value.code == 1
    assert failed.value.hint.startswith("aws stepfunctions get-execution-history")
