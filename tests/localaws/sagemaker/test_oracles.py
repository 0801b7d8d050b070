"""The local SageMaker beside moto, which imitates the same API independently: the same calls, every answer compared."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore import xform_name

from benchmarks.support.definitions import Project
from localaws import shapes
from localaws.sagemaker.component import SageMaker
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from tests.support.oracles import ABSENT, EXECUTION, JOBS, NO_JOBS, PAGED, PIPELINES, Answer, Call
from tests.support.oracles_registry import REGISTRY

TABLES = {"pipelines": PIPELINES, "registry": REGISTRY, "pages": PAGED, "no jobs": NO_JOBS}

# moto takes every caller for one Studio user, whom it makes up; a role has no profile, and both members are optional.
# moto knows no versions of pipelines.
LEFT_OUT = ("CreatedBy", "LastModifiedBy", "PipelineVersionId")
# An ARN's account, an execution's random id, and botocore's print of an error that moto has in the error itself.
OTHER_EACH_TIME = (
    (re.compile(r":\d{12}:"), ":account:"),
    (re.compile(r"execution/[a-z0-9]{12}\b"), "execution/id"),
    (re.compile(r"^An error occ?urr?ed \(\w+\) when calling the \w+ operation: "), ""),
)


@pytest.fixture
def moto() -> Iterator[Any]:
    """A SageMaker client of moto's, with nothing in its account."""
    from moto import mock_aws

    with mock_aws():
        yield boto3.client("sagemaker", region_name="us-east-1")


def answers(client: Any, calls: list[Call]) -> list[Answer]:
    """What each call gives, an error included; an execution that was started is waited for."""
    last: Answer = {}
    given = []
    for call in calls:
        given.append(answer(client, call.operation, filled(call.request, last)))
        last |= given[-1]
        while call.operation == "StartPipelineExecution" and under_way(client, last):
            time.sleep(0.05)
    return given


def answer(client: Any, operation: str, request: Answer) -> Answer:
    try:
        given = getattr(client, xform_name(operation))(**request)
    except botocore.exceptions.ClientError as error:
        return {"Error": error.response["Error"]}
    return {name: value for name, value in given.items() if name != "ResponseMetadata"}


def under_way(client: Any, last: Answer) -> bool:
    described = answer(client, "DescribePipelineExecution", filled(EXECUTION, last))
    return described.get("PipelineExecutionStatus") == "Executing"


def filled(request: Answer, last: Answer) -> Answer:
    return {
        name: last.get(value[1:-1]) if isinstance(value, str) and value.startswith("<") else value
        for name, value in request.items()
    }


def comparable(value: Any, name: str = "") -> Any:
    """A value without what differs from call to call."""
    if isinstance(value, dict):
        return {name: comparable(item, name) for name, item in value.items() if name not in LEFT_OUT}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, datetime):
        return "time"
    if name.endswith("TimeInSeconds"):
        return "seconds"
    if not isinstance(value, str):
        return value
    for pattern, sign in OTHER_EACH_TIME:
        value = pattern.sub(sign, value)
    return "text" if name == "NextToken" else value


def differences(theirs: Any, ours: Any, address: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """(JSON address, (moto's, ours)) of what two comparable answers do not share."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in theirs | ours:
            where = f"{address}.{name}" if address else name
            yield from differences(theirs.get(name, ABSENT), ours.get(name, ABSENT), where)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield address, (f"{len(theirs)} items", f"{len(ours)} items")
            return
        for index, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(*pair, f"{address}[{index}]")
    elif theirs != ours:
        yield address, (theirs, ours)


def compared(theirs: Answer, ours: Answer) -> dict[str, tuple[Any, Any]]:
    return dict(differences(comparable(theirs), comparable(ours)))


@pytest.mark.parametrize("calls", TABLES.values(), ids=TABLES)
def test_the_local_sagemaker_answers_as_moto_does_but_where_moto_errs(
    calls: list[Call], moto: Any, clients: Clients
) -> None:
    theirs, ours = answers(moto, calls), answers(clients.sagemaker, calls)
    found = [(call.about, compared(*pair)) for call, *pair in zip(calls, theirs, ours, strict=True)]
    assert found == [(call.about, call.differs) for call in calls]


def test_a_pipelines_jobs_are_described_as_moto_describes_those_created_by_request(project: Project, moto: Any) -> None:
    train = project.training("Train", "print('mae=2')", hyperparameters={"depth": "3"})
    train["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "mae", "Regex": "mae=(.*)"}]
    made = project.run(train, project.processing("Process", outputs=("out",))).steps()
    found: Answer = {}
    for noun, step in (("Training", "Train"), ("Processing", "Process")):
        name = made[step]["Metadata"][f"{noun}Job"]["Arn"].rpartition("/")[2]
        describe, listing = (
            (f"Describe{noun}Job", {f"{noun}JobName": name}),
            (f"List{noun}Jobs", {"NameContains": name, "MaxResults": 100}),
        )
        ours = {call[0]: answer(project.clients.sagemaker, *call) for call in (describe, listing)}
        request = shapes.project(shapes.input_shape("sagemaker", f"Create{noun}Job"), ours[describe[0]])
        answer(moto, f"Create{noun}Job", request)
        found |= {call[0]: compared(answer(moto, *call), ours[call[0]]) for call in (describe, listing)}
    assert found == JOBS


def test_every_operation_of_pipelines_and_the_registry_that_moto_has_is_compared(workspace: Workspace) -> None:
    from moto.sagemaker.responses import SageMakerResponse

    workspace.create()
    offered = SageMaker(workspace, time_scale=1.0).service.operations()
    subjects = [each for each in offered if any(noun in each for noun in ("Pipeline", "ModelPackage", "Tags"))]
    shared = {each for each in subjects if hasattr(SageMakerResponse, xform_name(each))}
    assert shared - {call.operation for calls in TABLES.values() for call in calls} == set()


def test_every_difference_from_moto_has_its_reason() -> None:
    assert [call.about for calls in TABLES.values() for call in calls if bool(call.differs) != bool(call.why)] == []
