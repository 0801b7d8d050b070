"""What a state machine's role needs: its tasks' calls, what waiting for them implies, and what its queries touch."""

import re
from collections.abc import Iterator
from typing import Any

from pipelines.authoring.templates import below
from pipelines.checks.asl import Machine
from pipelines.checks.integrations import RESOURCE
from pipelines.checks.permissions import Need, arn, bucket_arn, reading, writing

PIPELINE = arn("sagemaker", "pipeline/${PipelineName}")
EXECUTION = f"{PIPELINE}/execution/*"
GROUP = arn("sagemaker", "model-package-group/${ModelPackageGroupName}")
PACKAGES = arn("sagemaker", "model-package/${ModelPackageGroupName}/*")
WORKGROUP = arn("athena", "workgroup/${Workgroup}")
# Where the approved model's artifact lies, as the pipeline has made it.
ARTIFACTS = below(bucket_arn("${ArtifactBucket}"), "${PipelineName}/*")

# IAM action -> what it is asked on (the service authorization reference). ListModelPackages is asked on packages there,
# but a request names their group, so both.
ASKED_ON: dict[str, tuple[str, ...]] = {
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
# Calls whose right has another name.
RIGHTS = {"s3:ListObjectsV2": "s3:ListBucket"}
# To wait for a query is to ask how it does, and to stop it when the execution is stopped.
WAITING = {"athena:StartQueryExecution": ("athena:GetQueryExecution", "athena:StopQueryExecution")}

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
# No grant covers this, so that a call nobody has thought about is found as a right that is missing.
NOT_KNOWN = "what ASKED_ON does not say"


def needs(machine: Machine) -> Iterator[Need]:
    """Every task's."""
    for name, state in machine["States"].items():
        match = RESOURCE.fullmatch(state.get("Resource", ""))
        if match is None:
            continue
        service, call = match[1], match[2]
        action = f"{service}:{call[0].upper()}{call[1:]}"
        action = RIGHTS.get(action, action)
        for each in (action, *(WAITING.get(action, ()) if match[3] else ())):
            topic = state.get("Parameters", {}).get("TopicArn")
            for resource in (topic,) if topic else ASKED_ON.get(each, (NOT_KNOWN,)):
                yield Need(each, resource, f"States.{name}")
        if service == "athena":
            yield from _query(action, state, f"States.{name}")


def _query(action: str, state: dict[str, Any], why: str) -> Iterator[Need]:
    yield from reading(RESULTS, why)
    if action != "athena:StartQueryExecution":
        return
    yield Need("athena:GetDataCatalog", arn("athena", "datacatalog/AwsDataCatalog"), why)
    for part in ("catalog", "database/${GlueDatabase}", "table/${GlueDatabase}/${GlueTable}"):
        for each in ("glue:GetDatabase", "glue:GetPartitions", "glue:GetTable"):
            yield Need(each, arn("glue", part), why)
    yield from reading(CLEANED, why)
    yield from _results(RESULTS, why)
    text = next(str(value) for name, value in state["Parameters"].items() if name.startswith("QueryString"))
    for unloaded in re.findall(r"TO \\?'s3://([^']*?)\\?'", text):
        yield from reading(unloaded.split("{}")[0], why)
        yield from _results(unloaded.split("{}")[0], why)


def _results(address: str, why: str) -> Iterator[Need]:
    """Athena's list for a place of results is one longer than other services' (its page on S3 permissions)."""
    yield from writing(address, why)
    bucket, _, prefix = address.partition("/")
    yield Need("s3:ListMultipartUploadParts", f"arn:${{AWS::Partition}}:s3:::{bucket}/{prefix}*", why)
    yield Need("s3:ListBucketMultipartUploads", f"arn:${{AWS::Partition}}:s3:::{bucket}", why)


def log_delivery() -> Iterator[Need]:
    """What a state machine that logs needs."""
    for each in LOG_DELIVERY:
        yield Need(f"logs:{each}", "*", "LoggingConfiguration")
