"""The state machine retrain while the services it calls are throttled or down, at the local endpoint."""

from collections.abc import Callable

import pytest

from benchmarks.support.accounts import GOOD, Account
from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from pipelines.account.clients import Clients
from pipelines.authoring import archives

START = "sagemaker:StartPipelineExecution"
# SageMaker's model names no error of throttling, so that Step Functions reports the SDK's general one.
THROTTLED = {"sagemaker": "SageMaker.SageMakerException", "athena": "Athena.ThrottlingException"}
# The first try and the four that the state machine's Retry adds.
TRIES = 5


def later(*values: object) -> object:
    """A case of the release: that every task has a Retry and a Catch, pipelines.checks reads from the definition."""
    return pytest.param(*values, marks=pytest.mark.release)


@pytest.fixture(scope="module")
def account(account: Account) -> Account:
    """An environment in which every new beer is worth a run, with a pipeline that succeeds."""
    account.upsert(GOOD)
    return account


def answered(endpoint: Endpoint, call: str) -> int:
    """How often a call was made to fail."""
    return int(endpoint.control("faults")["injected"][call])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (START, {}),
        later(START, {"code": "InternalFailure", "message": "down", "status": 500}),
        later("sagemaker:ListPipelineExecutions", {}),
        later("sagemaker:DescribePipelineExecution", {}),
        ("athena:StartQueryExecution", {"code": "TooManyRequestsException"}),
    ],
)
def test_a_call_that_fails_twice_is_tried_again_and_one_run_starts(
    account: Account, endpoint: Endpoint, failing: Callable[..., None], call: str, error: dict[str, object]
) -> None:
    account.deliver(1000 + 10 * len(account.runs()), 5)
    before = len(account.runs())
    failing(call, times=2, **error)
    status, output = account.run()
    assert (status, output["decision"]) == ("SUCCEEDED", "trained")
    assert answered(endpoint, call) == 2
    assert [run["PipelineExecutionArn"] for run in account.runs()[before:]] == [output["run"]]


@pytest.mark.parametrize(
    "call",
    [
        START,
        later("sagemaker:ListPipelineExecutions"),
        later("sagemaker:ListModelPackages"),
        later("sagemaker:ListPipelineParametersForExecution"),
        later("athena:StartQueryExecution"),
        "athena:GetQueryResults",
    ],
)
def test_a_call_that_never_succeeds_fails_with_a_notification_and_nothing_runs(
    account: Account, endpoint: Endpoint, failing: Callable[..., None], call: str
) -> None:
    account.deliver(2000 + 10 * len(account.runs()), 5)
    before = account.runs()
    account.notifications()
    failing(call, times=None)
    status, failed = account.run()
    assert (status, failed["Cause"]) == ("FAILED", "Rate exceeded")
    assert failed["Error"] == THROTTLED[call.partition(":")[0]]
    assert answered(endpoint, call) == TRIES
    failing(call, times=0)
    assert account.notifications() == [("Tapline: retrain failed", f"{failed['Error']}: Rate exceeded")]
    assert account.runs() == before
    # Nothing is left locked: the next event trains.
    assert account.run()[1]["decision"] == "trained"


def test_a_run_that_cannot_be_described_goes_on_after_a_notification(
    account: Account, endpoint: Endpoint, failing: Callable[..., None]
) -> None:
    account.deliver(3000, 5)
    account.notifications()
    before = len(account.runs())
    failing("sagemaker:DescribePipelineExecution", times=None)
    status, failed = account.run()
    assert (status, failed) == ("FAILED", {"Error": THROTTLED["sagemaker"], "Cause": "Rate exceeded"})
    assert [subject for subject, _ in account.notifications()] == ["Tapline: retrain failed"]
    (run,) = account.runs()[before:]
    assert run["PipelineExecutionStatus"] in ("Executing", "Succeeded")


def test_only_calls_with_the_given_text_fail(account: Account, clients: Clients, failing: Callable[..., None]) -> None:
    failing("sagemaker:DescribePipeline", times=None, containing=account.pipeline, code="AccessDeniedException")
    with pytest.raises(clients.sagemaker.exceptions.ResourceNotFound):
        clients.sagemaker.describe_pipeline(PipelineName="another")
    with pytest.raises(clients.sagemaker.exceptions.ClientError, match="AccessDeniedException"):
        clients.sagemaker.describe_pipeline(PipelineName=account.pipeline)
    failing("sagemaker:DescribePipeline", times=0)
    assert clients.sagemaker.describe_pipeline(PipelineName=account.pipeline)["PipelineName"] == account.pipeline


def test_a_fault_of_an_unknown_service_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ExpectedError, match="there is no service 'sagmaker'"):
        endpoint.control("faults", call="sagmaker:DescribePipeline")


def test_a_snapshot_that_could_not_be_written_is_another_query_at_the_next_try(
    account: Account, endpoint: Endpoint, failing: Callable[..., None]
) -> None:
    account.deliver(9000, 5)
    failing("s3:PUT", times=1, containing="snapshots/", code="SlowDown", status=503)
    status, output = account.run()
    assert (status, output["decision"]) == ("SUCCEEDED", "trained")
    assert answered(endpoint, "s3:PUT") == 1


def test_a_champion_that_may_not_be_read_is_an_error_with_a_notification(
    account: Account, clients: Clients, failing: Callable[..., None]
) -> None:
    bucket = account.stacks.output("artifacts", "ArtifactBucket")
    clients.sagemaker.create_model_package(
        ModelPackageGroupName=account.pipeline,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": f"s3://{bucket}/{account.pipeline}/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    account.deliver(9100, 5)
    account.notifications()
    before = len(account.runs())
    failing("s3:GET", times=None, containing="list-type", code="AccessDenied", status=403)
    status, failed = account.run()
    assert (status, failed["Error"]) == ("FAILED", "S3.AccessDeniedException")
    assert [subject for subject, _ in account.notifications()] == ["Tapline: retrain failed"]
    assert len(account.runs()) == before
    failing("s3:GET", times=0)
    assert account.run()[1]["decision"] == "trained"
    given = account.parameters(account.runs()[-1])
    assert given["ChampionModel"] == f"s3://{bucket}/{archives.LOST_CHAMPION.folder}"
