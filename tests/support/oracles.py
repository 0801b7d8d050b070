"""What moto and the local SageMaker are both asked: calls of pipelines, executions and jobs, and their pages.

A row lists where moto's answer differs, and why moto is wrong: by botocore's model, by AWS's API reference,
or by AWS's own clients, which distinguish errors by code and message.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks.support.definitions import IMAGE, ROLE, condition, definition, parameter

Answer = dict[str, Any]
ABSENT = "absent"


@dataclass(frozen=True)
class Call:
    """One call. A text `<Member>` in its request is that member of the last answer that had it.

    differs: JSON address in the answer -> (moto's, ours); lists of unlike length are compared by length.
    """

    about: str
    operation: str
    request: Answer
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    why: str = ""


PIPELINE = {"PipelineName": "oracle"}
EXECUTION = {"PipelineExecutionArn": "<PipelineExecutionArn>"}
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
# One page: other tests use the endpoint too, and MaxResults counts what a filter leaves out.
MANY = {"MaxResults": 100}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HERE = "arn:aws:sagemaker:us-east-1:000000000000"
NAMED = HERE.replace("000000000000", "account")

CODE, MESSAGE = "Error.Code", "Error.Message"
NO_PIPELINE = {
    CODE: ("ValidationException", "ResourceNotFound"),
    MESSAGE: ("Could not find pipeline with PipelineName gone.", f"Pipeline '{NAMED}:pipeline/gone' does not exist."),
}
RESOURCE_NOT_FOUND = "botocore's model gives these operations ResourceNotFound, and moto that code to none of them"

PIPELINES = [
    Call("create", "CreatePipeline", {**PIPELINE, **WHOLE, "PipelineDescription": "d", "Tags": TAGS}),
    Call("describe one that never ran", "DescribePipeline", PIPELINE),
    Call("list no executions", "ListPipelineExecutions", PIPELINE),
    Call("create it again", "CreatePipeline", {**PIPELINE, **WHOLE}),
    Call("create one with a name in capitals", "CreatePipeline", {"PipelineName": "Capital", **WHOLE}),
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
    Call("list by prefix", "ListPipelines", {**MANY, "PipelineNamePrefix": "oracle"}),
    Call(
        "list by what is no prefix",
        "ListPipelines",
        {**MANY, "PipelineNamePrefix": "racle"},
        {"PipelineSummaries": ("1 items", "0 items")},
        "the prefix of the name, by the model",
    ),
    Call(
        "list from before there were any",
        "ListPipelines",
        {**MANY, "PipelineNamePrefix": "oracle", "CreatedBefore": LONG_AGO},
    ),
    Call("list tags", "ListTags", {"ResourceArn": "<PipelineArn>"}),
    Call(
        "tag again",
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
                    f"Pipeline execution '{NAMED}:pipeline/gone/execution/id' does not exist.",
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

GROUPS = [{"ModelPackageGroupName": f"paged-{letter}"} for letter in "bac"]
PAGED = [
    *(Call("create", "CreateModelPackageGroup", group) for group in GROUPS),
    Call("in order of creation", "ListModelPackageGroups", {**MANY, "NameContains": "paged-"}),
    Call(
        "by name",
        "ListModelPackageGroups",
        {**MANY, "NameContains": "paged-", "SortBy": "Name", "SortOrder": "Descending"},
    ),
    *(
        Call("register", "CreateModelPackage", {**group, **MODEL, "ModelApprovalStatus": "Rejected"})
        for group in [GROUPS[0], *GROUPS]
    ),
    Call("all", "ListModelPackages", {**MANY, "NameContains": "paged-", "ModelPackageType": "Both"}),
    Call(
        "by group",
        "ListModelPackages",
        {**MANY, "NameContains": "paged-", "ModelPackageType": "Both", "SortBy": "Name"},
    ),
    Call("a version", "ListModelPackages", {**GROUPS[0], "MaxResults": 1}),
    Call("the next", "ListModelPackages", {**GROUPS[0], "MaxResults": 1, "NextToken": "<NextToken>"}),
    Call("newest first", "ListModelPackages", {**GROUPS[0], "SortOrder": "Descending"}),
    *(Call("create", "CreatePipeline", {"PipelineName": f"paged-{letter}", **WHOLE}) for letter in "bac"),
    Call("newest first", "ListPipelines", {**MANY, "PipelineNamePrefix": "paged"}),
    Call(
        "by name", "ListPipelines", {**MANY, "PipelineNamePrefix": "paged", "SortBy": "Name", "SortOrder": "Ascending"}
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
        {MESSAGE: (f"Could not find training job '{NAMED}:training-job/gone'.", "Requested resource not found.")},
        "AWS's Kubernetes controller knows a missing training job by these words",
    ),
    Call(
        "a processing job",
        "DescribeProcessingJob",
        {"ProcessingJobName": "gone"},
        {
            MESSAGE: (
                f"Could not find processing job '{NAMED}:processing-job/gone'.",
                "Could not find requested job with name: gone",
            )
        },
        "and a missing processing job by these",
    ),
    Call("training jobs", "ListTrainingJobs", {"NameContains": "gone", "MaxResults": 100}),
    Call("processing jobs", "ListProcessingJobs", {"NameContains": "gone", "MaxResults": 100}),
]

# moto runs nothing: it forgets members of the request, or answers with invented ones.
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
