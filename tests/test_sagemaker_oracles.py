"""The local SageMaker beside moto, which imitates the same API independently: the same calls, every answer compared.

A row of the tables says what moto answers otherwise, and why it is the one that errs: by botocore's model, by AWS's
API reference, or by AWS's own clients, which tell errors apart by their code and words.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore import xform_name

from pipelines.aws import Clients
from pipelines.local import shapes
from pipelines.local.sagemaker.part import SageMaker
from pipelines.local.workspace import Workspace
from tests.definitions import IMAGE, ROLE, Project, condition, definition, parameter

Answer = dict[str, Any]
ABSENT = "absent"
# moto takes every caller for one Studio user, whom it makes up; a role has no profile, and both members are optional.
WHO = ("CreatedBy", "LastModifiedBy")
# An ARN's account, an execution's random id, and botocore's print of an error that moto has in the error itself.
OTHER_EACH_TIME = (
    (re.compile(r":\d{12}:"), ":account:"),
    (re.compile(r"execution/[a-z0-9]{12}\b"), "execution/id"),
    (re.compile(r"^An error occ?urr?ed \(\w+\) when calling the \w+ operation: "), ""),
)


@dataclass(frozen=True)
class Call:
    """One call. A text `<Member>` in its request is that member of the last answer that had it.

    differs: JSON address in the answer -> (moto's, ours); lists of unlike length are told by their lengths.
    """

    about: str
    operation: str
    request: Answer
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    why: str = ""


PIPELINE = {"PipelineName": "oracle"}
EXECUTION = {"PipelineExecutionArn": "<PipelineExecutionArn>"}
GROUP = {"ModelPackageGroupName": "Oracle"}
TEXT = definition([condition("Step")], (parameter("N", "Integer", 1), parameter("S", "String", "a")))
WHOLE = {"PipelineDefinition": TEXT, "RoleArn": ROLE}
IN_S3 = {"PipelineDefinitionS3Location": {"Bucket": "bucket", "ObjectKey": "key"}}
MODEL = {
    "InferenceSpecification": {
        "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
}
TAGS = [{"Key": "a", "Value": "1"}]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HERE = "arn:aws:sagemaker:us-east-1:000000000000"
TOLD = HERE.replace("000000000000", "account")

CODE, MESSAGE = "Error.Code", "Error.Message"
NO_PIPELINE = {
    CODE: ("ValidationException", "ResourceNotFound"),
    MESSAGE: ("Could not find pipeline with PipelineName gone.", f"Pipeline '{TOLD}:pipeline/gone' does not exist."),
}
RESOURCE_NOT_FOUND = "botocore's model gives these operations ResourceNotFound, and moto that code to none of them"
NO_VALIDATION = {
    f"ModelPackageStatusDetails.{name}": ("1 items", "0 items") for name in ("ValidationStatuses", "ImageScanStatuses")
}
NOT_VALIDATED = "nothing was validated: the event that EventBridge's documentation shows has two empty lists"
NO_APPROVAL = "a version waits for approval unless it was told otherwise (the registry's documentation)"
DOES_NOT_EXIST = "AWS's Kubernetes controller knows a missing package by its 'does not exist.'"

PIPELINES = [
    Call("create", "CreatePipeline", {**PIPELINE, **WHOLE, "PipelineDescription": "d", "Tags": TAGS}),
    Call("describe one that never ran", "DescribePipeline", PIPELINE),
    Call("list no executions", "ListPipelineExecutions", PIPELINE),
    Call("create it again", "CreatePipeline", {**PIPELINE, **WHOLE}),
    Call(
        "create one with a name in capitals",
        "CreatePipeline",
        {"PipelineName": "Capital", **WHOLE},
        {"PipelineArn": (f"{TOLD}:pipeline/Capital", f"{TOLD}:pipeline/capital")},
        "the ARNs in AWS's documentation are in small letters, a model package's in moto too",
    ),
    Call("create without a definition", "CreatePipeline", {"PipelineName": "oracle-none", "RoleArn": ROLE}),
    Call("create from two definitions", "CreatePipeline", {"PipelineName": "oracle-both", **WHOLE, **IN_S3}),
    Call(
        "update",
        "UpdatePipeline",
        {**PIPELINE, "PipelineDisplayName": "O", "ParallelismConfiguration": {"MaxParallelExecutionSteps": 3}},
    ),
    Call("update from two definitions", "UpdatePipeline", {**PIPELINE, "PipelineDefinition": TEXT, **IN_S3}),
    Call(
        "start",
        "StartPipelineExecution",
        {
            **PIPELINE,
            "PipelineExecutionDisplayName": "first",
            "PipelineExecutionDescription": "d",
            "PipelineParameters": [{"Name": "N", "Value": "2"}],
        },
    ),
    Call(
        "describe an execution",
        "DescribePipelineExecution",
        EXECUTION,
        {"FailureReason": ("", ABSENT), "PipelineExperimentConfig": ({}, ABSENT)},
        "a success has no reason for failing, and the definition configures no experiment",
    ),
    Call(
        "list executions",
        "ListPipelineExecutions",
        PIPELINE,
        {"PipelineExecutionSummaries[0].PipelineExecutionFailureReason": ("None", ABSENT)},
        "Python's None made a text",
    ),
    Call(
        "list an execution's parameters",
        "ListPipelineParametersForExecution",
        EXECUTION,
        {"PipelineParameters": ("1 items", "2 items")},
        "the parameters of an execution, not of the request: those left at their default are among them",
    ),
    Call("describe what was executed", "DescribePipelineDefinitionForExecution", EXECUTION),
    Call("describe one that ran", "DescribePipeline", PIPELINE),
    Call("list by prefix", "ListPipelines", {"PipelineNamePrefix": "oracle"}),
    Call(
        "list by what is no prefix",
        "ListPipelines",
        {"PipelineNamePrefix": "racle"},
        {"PipelineSummaries": ("1 items", "0 items")},
        "the prefix of the name, says the model",
    ),
    Call(
        "list from before there were any", "ListPipelines", {"PipelineNamePrefix": "oracle", "CreatedBefore": LONG_AGO}
    ),
    Call("list tags", "ListTags", {"ResourceArn": "<PipelineArn>"}),
    Call(
        "tag anew",
        "AddTags",
        {"ResourceArn": "<PipelineArn>", "Tags": [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]},
        {"Tags": ("3 items", "2 items")},
        "a tag's key is unique to its resource; AddTags overwrites its value",
    ),
    Call("untag", "DeleteTags", {"ResourceArn": "<PipelineArn>", "TagKeys": ["a"]}),
    Call("list what is left", "ListTags", {"ResourceArn": "<PipelineArn>"}),
    Call("delete", "DeletePipeline", PIPELINE),
    Call("describe none", "DescribePipeline", {"PipelineName": "gone"}, NO_PIPELINE, RESOURCE_NOT_FOUND),
    Call("update none", "UpdatePipeline", {"PipelineName": "gone"}, NO_PIPELINE, RESOURCE_NOT_FOUND),
    Call("delete none", "DeletePipeline", {"PipelineName": "gone"}, NO_PIPELINE, RESOURCE_NOT_FOUND),
    Call("start none", "StartPipelineExecution", {"PipelineName": "gone"}, NO_PIPELINE, RESOURCE_NOT_FOUND),
    Call(
        "list executions of none", "ListPipelineExecutions", {"PipelineName": "gone"}, NO_PIPELINE, RESOURCE_NOT_FOUND
    ),
    *(
        Call(
            f"{operation} of none",
            operation,
            {"PipelineExecutionArn": f"{HERE}:pipeline/gone/execution/abcdefghijkl"},
            {
                **NO_PIPELINE,
                MESSAGE: (
                    NO_PIPELINE[MESSAGE][0],
                    f"Pipeline execution '{TOLD}:pipeline/gone/execution/id' does not exist.",
                ),
            },
            RESOURCE_NOT_FOUND,
        )
        for operation in (
            "DescribePipelineExecution",
            "DescribePipelineDefinitionForExecution",
            "ListPipelineParametersForExecution",
        )
    ),
]

REGISTRY = [
    Call("create a group", "CreateModelPackageGroup", {**GROUP, "ModelPackageGroupDescription": "g", "Tags": TAGS}),
    Call("describe a group", "DescribeModelPackageGroup", GROUP),
    Call("list a group's tags", "ListTags", {"ResourceArn": "<ModelPackageGroupArn>"}),
    Call("list groups", "ListModelPackageGroups", {"NameContains": "racl"}),
    Call("list groups of before", "ListModelPackageGroups", {"NameContains": "Oracle", "CreationTimeBefore": LONG_AGO}),
    Call(
        "register",
        "CreateModelPackage",
        {**GROUP, **MODEL, "ModelPackageDescription": "m", "CustomerMetadataProperties": {"a": "1", "b": "2"}},
    ),
    Call(
        "describe a version",
        "DescribeModelPackage",
        {"ModelPackageName": "<ModelPackageArn>"},
        {**NO_VALIDATION, "ModelApprovalStatus": (ABSENT, "PendingManualApproval")},
        f"{NOT_VALIDATED}; {NO_APPROVAL}",
    ),
    Call(
        "list versions",
        "ListModelPackages",
        GROUP,
        {"ModelPackageSummaryList[0].ModelApprovalStatus": (ABSENT, "PendingManualApproval")},
        NO_APPROVAL,
    ),
    Call("list those of no group", "ListModelPackages", {"NameContains": "Oracle"}),
    Call(
        "list those of every group",
        "ListModelPackages",
        {"NameContains": "racl", "ModelPackageType": "Versioned"},
        {"ModelPackageSummaryList[0].ModelApprovalStatus": (ABSENT, "PendingManualApproval")},
        NO_APPROVAL,
    ),
    Call("list by another name", "ListModelPackages", {"NameContains": "Oracles", "ModelPackageType": "Both"}),
    Call("list the approved", "ListModelPackages", {**GROUP, "ModelApprovalStatus": "Approved"}),
    Call(
        "approve",
        "UpdateModelPackage",
        {
            "ModelPackageArn": "<ModelPackageArn>",
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "good",
            "CustomerMetadataProperties": {"c": "3"},
            "CustomerMetadataPropertiesToRemove": ["b"],
        },
    ),
    Call(
        "describe the approved",
        "DescribeModelPackage",
        {"ModelPackageName": "<ModelPackageArn>"},
        {**NO_VALIDATION, "CustomerMetadataProperties.a": (ABSENT, "1")},
        f"{NOT_VALIDATED}; if an update replaced all properties, there would be no need of a list of those to remove",
    ),
    Call("list the now approved", "ListModelPackages", {**GROUP, "ModelApprovalStatus": "Approved"}),
    Call("register with a name too", "CreateModelPackage", {**GROUP, **MODEL, "ModelPackageName": "named"}),
    Call(
        "register tagged",
        "CreateModelPackage",
        {**GROUP, **MODEL, "Tags": TAGS},
        {
            "ModelPackageArn": (f"{TOLD}:model-package/oracle/2", ABSENT),
            "Error": (
                ABSENT,
                {
                    "Code": "ValidationException",
                    "Message": "A model package of a group has the group's tags and none of its own.",
                },
            ),
        },
        "with a group you cannot supply a tag argument, says the model",
    ),
    Call(
        "register in no group",
        "CreateModelPackage",
        {"ModelPackageGroupName": "gone", **MODEL},
        {
            MESSAGE: (
                "Model Package Group does not exist.",
                f"ModelPackageGroup {TOLD}:model-package-group/gone does not exist.",
            )
        },
        "in the words of DescribeModelPackageGroup, where moto agrees",
    ),
    Call(
        "create it again",
        "CreateModelPackageGroup",
        GROUP,
        {
            "ModelPackageGroupArn": (f"{TOLD}:model-package-group/Oracle", ABSENT),
            "Error": (
                ABSENT,
                {
                    "Code": "ValidationException",
                    "Message": f"Model Package Group already exists: {TOLD}:model-package-group/Oracle",
                },
            ),
        },
        "moto overwrites the group; the SDK looks for 'already exists' where it makes sure that there is one",
    ),
    Call("describe no group", "DescribeModelPackageGroup", {"ModelPackageGroupName": "gone"}),
    Call(
        "list versions of no group",
        "ListModelPackages",
        {"ModelPackageGroupName": "gone"},
        {
            "ModelPackageSummaryList": ([], ABSENT),
            "Error": (
                ABSENT,
                {
                    "Code": "ValidationException",
                    "Message": f"ModelPackageGroup {TOLD}:model-package-group/gone does not exist.",
                },
            ),
        },
        "a group that is not there is not one without versions",
    ),
    *(
        Call(
            f"{operation} of none",
            operation,
            {member: f"{HERE}:model-package/gone/1"},
            {
                MESSAGE: (
                    f"Model package {TOLD}:model-package/gone/1 not found",
                    f"ModelPackage {TOLD}:model-package/gone/1 does not exist.",
                )
            },
            DOES_NOT_EXIST,
        )
        for operation, member in (
            ("DescribeModelPackage", "ModelPackageName"),
            ("UpdateModelPackage", "ModelPackageArn"),
        )
    ),
]

GROUPS = [{"ModelPackageGroupName": f"paged-{letter}"} for letter in "bac"]
PAGED = [
    *(Call("create", "CreateModelPackageGroup", group) for group in GROUPS),
    Call("the first", "ListModelPackageGroups", {"NameContains": "paged-", "MaxResults": 2}),
    Call("the last", "ListModelPackageGroups", {"NameContains": "paged-", "MaxResults": 2, "NextToken": "<NextToken>"}),
    Call("by name", "ListModelPackageGroups", {"NameContains": "paged-", "SortBy": "Name", "SortOrder": "Descending"}),
    *(
        Call("register", "CreateModelPackage", {**group, **MODEL, "ModelApprovalStatus": "Rejected"})
        for group in [GROUPS[0], *GROUPS]
    ),
    Call("all", "ListModelPackages", {"NameContains": "paged-", "ModelPackageType": "Both"}),
    Call("by group", "ListModelPackages", {"NameContains": "paged-", "ModelPackageType": "Both", "SortBy": "Name"}),
    Call("a version", "ListModelPackages", {**GROUPS[0], "MaxResults": 1}),
    Call("the next", "ListModelPackages", {**GROUPS[0], "MaxResults": 1, "NextToken": "<NextToken>"}),
    Call("newest first", "ListModelPackages", {**GROUPS[0], "SortOrder": "Descending"}),
    *(Call("create", "CreatePipeline", {"PipelineName": f"paged-{letter}", **WHOLE}) for letter in "bac"),
    Call("newest first", "ListPipelines", {"PipelineNamePrefix": "paged"}),
    Call("by name", "ListPipelines", {"PipelineNamePrefix": "paged", "SortBy": "Name", "SortOrder": "Ascending"}),
    Call(
        "a page",
        "ListPipelines",
        {"PipelineNamePrefix": "paged", "SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 1},
        {
            "PipelineSummaries[0].PipelineArn": (f"{TOLD}:pipeline/paged-b", f"{TOLD}:pipeline/paged-a"),
            "PipelineSummaries[0].PipelineName": ("paged-b", "paged-a"),
            "PipelineSummaries[0].PipelineDisplayName": ("paged-b", "paged-a"),
        },
        "moto cuts the page before it sorts",
    ),
    *(
        Call("start", "StartPipelineExecution", {"PipelineName": "paged-a", "PipelineExecutionDisplayName": name})
        for name in ("run-1", "run-2")
    ),
    Call(
        "a page of executions",
        "ListPipelineExecutions",
        {"PipelineName": "paged-a", "MaxResults": 1},
        {"PipelineExecutionSummaries": ("2 items", "1 items"), "NextToken": (ABSENT, "text")},
        "moto knows no pages of executions",
    ),
    Call(
        "an unknown page",
        "ListPipelines",
        {"NextToken": "?"},
        {MESSAGE: ('Invalid pagination token because "{0}".', "The pagination token is invalid.")},
        "moto's template is not filled in",
    ),
]

NO_JOBS = [
    Call(
        "a training job",
        "DescribeTrainingJob",
        {"TrainingJobName": "gone"},
        {MESSAGE: (f"Could not find training job '{TOLD}:training-job/gone'.", "Requested resource not found.")},
        "AWS's Kubernetes controller knows a missing training job by these words",
    ),
    Call(
        "a processing job",
        "DescribeProcessingJob",
        {"ProcessingJobName": "gone"},
        {
            MESSAGE: (
                f"Could not find processing job '{TOLD}:processing-job/gone'.",
                "Could not find requested job with name: gone",
            )
        },
        "and a missing processing job by these",
    ),
    Call("training jobs", "ListTrainingJobs", {"NameContains": "gone"}),
    Call("processing jobs", "ListProcessingJobs", {"NameContains": "gone"}),
]

TABLES = {"pipelines": PIPELINES, "registry": REGISTRY, "pages": PAGED, "no jobs": NO_JOBS}
# What to compare these with are the SDK and the AWS CLI, in test_sagemaker_api.
MOTO_LACKS = {
    "DeleteModelPackage",
    "DeleteModelPackageGroup",
    "ListPipelineExecutionSteps",
    "RetryPipelineExecution",
    "StopPipelineExecution",
    "UpdatePipelineExecution",
}

# moto runs nothing: it forgets what it was asked for, or makes up what it tells.
JOBS = {
    "DescribeTrainingJob": {
        "AlgorithmSpecification.MetricDefinitions[0].Name": ("test:dcg", "mae"),
        "AlgorithmSpecification.MetricDefinitions[0].Regex": (
            "#quality_metric: host=\\S+, test dcg <score>=(\\S+)",
            "mae=(.*)",
        ),
        "FinalMetricDataList[0].MetricName": ("train:progress", "mae"),
        "FinalMetricDataList[0].Value": (100.0, 2.0),
        # Starting, Downloading, Training, Uploading, Completed.
        "SecondaryStatusTransitions": ("1 items", "5 items"),
        "TrainingTimeInSeconds": (ABSENT, "seconds"),
        "BillableTimeInSeconds": (ABSENT, "seconds"),
    },
    "ListTrainingJobs": {"TrainingJobSummaries[0].SecondaryStatus": (ABSENT, "Completed")},
    "DescribeProcessingJob": {
        "Environment": (
            ABSENT,
            {"INPUT": "/opt/ml/processing/input", "OUTPUT": "/opt/ml/processing/output"},
        ),
        "ProcessingResources": (
            ABSENT,
            {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}},
        ),
        "ProcessingStartTime": (ABSENT, "time"),
    },
    "ListProcessingJobs": {},
}


@pytest.fixture
def project(clients: Clients) -> Project:
    return Project(clients)


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
            time.sleep(0.01)
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
        return {name: comparable(item, name) for name, item in value.items() if name not in WHO}
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


def test_a_pipelines_jobs_are_told_as_moto_tells_those_it_is_asked_for(project: Project, moto: Any) -> None:
    train = project.training("Train", "print('mae=2')", hyperparameters={"depth": "3"})
    train["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "mae", "Regex": "mae=(.*)"}]
    made = project.run(train, project.processing("Process", outputs=("out",))).steps()
    found: Answer = {}
    for noun, step in (("Training", "Train"), ("Processing", "Process")):
        name = made[step]["Metadata"][f"{noun}Job"]["Arn"].rpartition("/")[2]
        describe, listing = (
            (f"Describe{noun}Job", {f"{noun}JobName": name}),
            (f"List{noun}Jobs", {"NameContains": name}),
        )
        ours = {call[0]: answer(project.clients.sagemaker, *call) for call in (describe, listing)}
        request = shapes.project(shapes.input_shape("sagemaker", f"Create{noun}Job"), ours[describe[0]])
        answer(moto, f"Create{noun}Job", request)
        found |= {call[0]: compared(answer(moto, *call), ours[call[0]]) for call in (describe, listing)}
    assert found == JOBS


def test_every_operation_that_moto_has_too_is_compared(workspace: Workspace) -> None:
    from moto.sagemaker.responses import SageMakerResponse

    workspace.create()
    offered = set(SageMaker(workspace, time_scale=1.0).service.operations())
    assert {each for each in offered if not hasattr(SageMakerResponse, xform_name(each))} == MOTO_LACKS
    assert {call.operation for calls in TABLES.values() for call in calls} == offered - MOTO_LACKS


def test_every_difference_from_moto_has_its_reason() -> None:
    assert [call.about for calls in TABLES.values() for call in calls if bool(call.differs) != bool(call.why)] == []
