"""Permissions that a state machine's role needs: its tasks' API calls, what .sync adds, and what Athena does for it.

https://docs.aws.amazon.com/athena/latest/ug/s3-permissions.html
https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.authoring.templates import below
from pipelines.checks.asl import Machine, processors
from pipelines.checks.integrations import RESOURCE
from pipelines.checks.permissions import Need, arn, bucket_arn, reading, writing

PIPELINE = arn("sagemaker", "pipeline/${PipelineName}")
EXECUTION = f"{PIPELINE}/execution/*"
GROUP = arn("sagemaker", "model-package-group/${ModelPackageGroupName}")
PACKAGES = arn("sagemaker", "model-package/${ModelPackageGroupName}/*")
WORKGROUP = arn("athena", "workgroup/${Workgroup}")
# The approved model's artifact, an output of the pipeline.
ARTIFACTS = below(bucket_arn("${ArtifactBucket}"), "${PipelineName}/*")

# IAM action -> resources (https://docs.aws.amazon.com/service-authorization/latest/reference/). ListModelPackages is
# authorized on packages there, but a request names their group, so both.
RESOURCES: dict[str, tuple[str, ...]] = {
    "athena:GetQueryExecution": (WORKGROUP,),
    "athena:GetQueryResults": (WORKGROUP,),
    "athena:StartQueryExecution": (WORKGROUP,),
    "athena:StopQueryExecution": (WORKGROUP,),
    "sagemaker:DescribeModelPackage": (PACKAGES,),
    "sagemaker:DescribePipelineExecution": (EXECUTION,),
    "sagemaker:ListModelPackages": (PACKAGES, GROUP),
    "sagemaker:ListPipelineExecutionSteps": (EXECUTION,),
    "sagemaker:ListPipelineExecutions": (PIPELINE,),
    "sagemaker:ListPipelineParametersForExecution": (EXECUTION,),
    "sagemaker:StartPipelineExecution": (PIPELINE,),
    "s3:ListBucket": (ARTIFACTS,),
    "sns:Publish": ("${TopicArn}",),
}
MODEL = arn("sagemaker", "model/${EndpointPrefix}-*")
CONFIG = arn("sagemaker", "endpoint-config/${EndpointPrefix}-*")
ENDPOINT = arn("sagemaker", "endpoint/${EndpointPrefix}-*")
OUTPUTS, RELEASES = (
    f"{bucket_arn('${ArtifactBucket}')}/{prefix}*" for prefix in ("${PipelineName}/executions/", "releases/")
)
RESOURCES |= {
    "s3:GetObject": (OUTPUTS, RELEASES),
    "s3:PutObject": (RELEASES,),
    "sagemaker:CreateEndpoint": (ENDPOINT, CONFIG),
    "sagemaker:CreateEndpointConfig": (CONFIG,),
    "sagemaker:CreateModel": (MODEL,),
    "sagemaker:DeleteEndpoint": (ENDPOINT,),
    "sagemaker:DeleteEndpointConfig": (CONFIG,),
    "sagemaker:DeleteModel": (MODEL,),
    "sagemaker:DescribeEndpoint": (ENDPOINT,),
    "sagemaker:InvokeEndpoint": (ENDPOINT,),
    # Lists have no resource.
    "sagemaker:ListEndpointConfigs": ("*",),
    "sagemaker:ListEndpoints": ("*",),
    "sagemaker:ListModels": ("*",),
    "sagemaker:UpdateEndpoint": (ENDPOINT, CONFIG),
    "sagemaker:UpdateModelPackage": (PACKAGES,),
}
ENDPOINT_LOGS = arn("logs", "log-group:/aws/sagemaker/Endpoints/${EndpointPrefix}-*")
JOBS = arn("sagemaker", "processing-job/${EndpointPrefix}-*")
RULE = arn("events", "rule/StepFunctionsGetEventsForSageMakerProcessingJobsRule")
TABLE = tuple(
    arn("glue", part) for part in ("catalog", "database/${GlueDatabase}", "table/${GlueDatabase}/${Predictions}")
)
RESOURCES |= {
    "cloudwatch:PutMetricData": ("*",),
    "cloudwatch:SetAlarmState": ("${DriftAlarm.Arn}",),
    "logs:FilterLogEvents": (ENDPOINT_LOGS,),
    "glue:GetTable": TABLE,
    "glue:UpdateTable": TABLE,
    "sagemaker:AddTags": (JOBS,),
    "sagemaker:CreateProcessingJob": (JOBS,),
    "sagemaker:DescribeProcessingJob": (JOBS,),
    "sagemaker:ListTags": (JOBS,),
    "sagemaker:StopProcessingJob": (JOBS,),
}
# What a call needs besides its own action.
IMPLIED: dict[str, tuple[tuple[str, str], ...]] = {
    "sagemaker:CreateModel": (("iam:PassRole", "${ModelRole.Arn}"),),
    # Step Functions waits for a job by an EventBridge rule of its own.
    # https://docs.aws.amazon.com/step-functions/latest/dg/sagemaker-iam.html
    "sagemaker:CreateProcessingJob": (
        ("iam:PassRole", "${ScoringRole.Arn}"),
        *((f"events:{action}", RULE) for action in ("DescribeRule", "PutRule", "PutTargets")),
    ),
    # https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
    "sagemaker:UpdateEndpoint": (("cloudwatch:DescribeAlarms", arn("cloudwatch", "alarm:*")),),
}
# Operation -> IAM action, where the names differ.
ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "cloudwatchlogs:FilterLogEvents": "logs:FilterLogEvents",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:CopyObject": "s3:PutObject",
    "s3:HeadObject": "s3:GetObject",
    "sagemakerruntime:InvokeEndpoint": "sagemaker:InvokeEndpoint",
    "sfn:ListExecutions": "states:ListExecutions",
    "sfn:StartExecution": "states:StartExecution",
}
# .sync polls the query or the job, stops it when the execution is stopped, and marks a job with a tag.
WAITING = {
    "athena:StartQueryExecution": ("athena:GetQueryExecution", "athena:StopQueryExecution"),
    "sagemaker:CreateProcessingJob": tuple(
        f"sagemaker:{action}" for action in ("AddTags", "DescribeProcessingJob", "ListTags", "StopProcessingJob")
    ),
}
# A state's Output that makes an S3 address: `'data': {'uri': 's3://bucket/prefix/' & ...}`.
ADDRESS = re.compile(r"'(\w+)': \{'(\w+)': 's3://([^']*)'")

# Log delivery is set up per account; AWS offers no resource for it.
LOG_DELIVERY = (
    "CreateLogDelivery",
    "DeleteLogDelivery",
    "DescribeLogGroups",
    "DescribeResourcePolicies",
    "GetLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "UpdateLogDelivery",
)
CLEANED = "${DataBucket}/cleaned/"
RESULTS = "${ArtifactBucket}/athena/"
# No grant covers this, so that an action missing from RESOURCES is reported.
NOT_KNOWN = "a resource that RESOURCES does not list"


def needs(machine: Machine, name: str, substitutions: Mapping[str, str]) -> Iterator[Need]:
    """Needs of a machine. name: the end of its name. substitutions: placeholder -> the template's text."""
    for need in _needs(machine, name):
        yield need._replace(resource=substitutions.get(need.resource, need.resource))


def _needs(machine: Machine, own: str) -> Iterator[Need]:
    for state, inner in processors(machine):
        yield from _needs(inner, own)
        if state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED":
            # https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
            yield Need("states:StartExecution", arn("states", f"stateMachine:${{AWS::StackName}}-{own}"), "a Map")
            for each in ("states:DescribeExecution", "states:StopExecution"):
                yield Need(each, arn("states", f"execution:${{AWS::StackName}}-{own}:*"), "a Map")
    # A state machine may list its own executions, by its logical id.
    known = RESOURCES | {"states:ListExecutions": (f"${{{own.capitalize()}}}",)}
    made = addresses(machine)
    for name, state in machine["States"].items():
        match = RESOURCE.fullmatch(state.get("Resource", ""))
        if match is None:
            continue
        service, call = match[1], match[2]
        action = f"{service}:{call[0].upper()}{call[1:]}"
        action = ACTIONS.get(action, action)
        if "KmsKeyId" in state.get("Arguments", {}):
            # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
            yield Need("kms:CreateGrant", "${KmsKeyArn}", f"States.{name}.KmsKeyId")
        for each in (action, *(WAITING.get(action, ()) if match[3] else ())):
            for resource in _named(state, made) or known.get(each, (NOT_KNOWN,)):
                yield Need(each, resource, f"States.{name}")
        for implied, resource in IMPLIED.get(action, ()):
            yield Need(implied, resource, f"States.{name}")
        if service == "athena":
            yield from _query(action, state, f"States.{name}")


def addresses(machine: Machine) -> dict[str, str]:
    """`$states.input.data.uri` -> `bucket/prefix*` of each S3 address that a state makes."""
    found = (each for state in machine["States"].values() for each in ADDRESS.findall(str(state.get("Output", ""))))
    return {f"$states.input.{name}.{member}": f"{address}*" for name, member, address in found}


def _named(state: dict[str, Any], made: dict[str, str]) -> tuple[str, ...]:
    """What a task itself names: a topic, a state machine, or an address that a state of this machine has made."""
    parameters, arguments = state.get("Parameters", {}), state.get("Arguments", {})
    for name in ("TopicArn", "FunctionName", "StateMachineArn"):
        if name in parameters:
            return (parameters[name],)
    named = re.search(r"\$states\.input\.\w+\.\w+", str(arguments.get("Prefix") or arguments.get("Key") or ""))
    if not named or named[0] not in made or "snapshots/" in made[named[0]]:
        return ()
    bucket, _, prefix = made[named[0]].partition("/")
    return (below(bucket_arn(bucket), prefix) if "Prefix" in arguments else f"{bucket_arn(bucket)}/{prefix}",)


def _query(action: str, state: dict[str, Any], why: str) -> Iterator[Need]:
    yield from reading(RESULTS, why)
    if action != "athena:StartQueryExecution":
        return
    yield Need("athena:GetDataCatalog", arn("athena", "datacatalog/AwsDataCatalog"), why)
    # https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html
    yield Need("glue:GetDatabase", arn("glue", "database/default"), why)
    tables = (f"table/${{GlueDatabase}}/${{GlueTable}}{ending}" for ending in ("", "_parquet"))
    for part in ("catalog", "database/${GlueDatabase}", *tables):
        for each in ("glue:GetDatabase", "glue:GetPartitions", "glue:GetTable"):
            yield Need(each, arn("glue", part), why)
    yield from reading(CLEANED, why)
    yield from _results(RESULTS, why)
    text = next(str(value) for name, value in state["Parameters"].items() if name.startswith("QueryString"))
    for unloaded in re.findall(r"TO \\?'s3://([^']*?)\\?'", text):
        yield from reading(unloaded.split("{}")[0], why)
        yield from _results(unloaded.split("{}")[0], why)


def _results(address: str, why: str) -> Iterator[Need]:
    """Needs for a location of query results: writing, and two more for multipart uploads."""
    yield from writing(address, why)
    bucket, _, prefix = address.partition("/")
    yield Need("s3:ListMultipartUploadParts", f"arn:${{AWS::Partition}}:s3:::{bucket}/{prefix}*", why)
    yield Need("s3:ListBucketMultipartUploads", f"arn:${{AWS::Partition}}:s3:::{bucket}", why)


def approval() -> Iterator[Need]:
    """Needs of the person who reads the evaluation and approves a model package."""
    for action in ("DescribeModelPackage", "ListModelPackages", "UpdateModelPackage"):
        for resource in RESOURCES[f"sagemaker:{action}"]:
            yield Need(f"sagemaker:{action}", resource, "registry approve")
    yield Need("s3:GetObject", RESOURCES["s3:GetObject"][0], "registry report")


def log_delivery() -> Iterator[Need]:
    """Needs of a state machine that logs to CloudWatch."""
    for each in LOG_DELIVERY:
        yield Need(f"logs:{each}", "*", "LoggingConfiguration")
