"""Step caching: an unchanged step takes the result of an earlier successful one.

The key is AWS's default cache key: the addresses of inputs, not their
contents. A step whose input address stays while its content grows must therefore not be cached. AWS does not check
that the outputs of the earlier step are still in S3: when they are gone, the step that reads them fails.
https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html
"""

import hashlib
import re
import time
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.sagemaker import graph
from localaws.store import Document, Store

KIND = "cache"
KEYS = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
    "Transform": (
        "BatchStrategy",
        "DataProcessing",
        "Environment",
        "MaxConcurrentTransforms",
        "MaxPayloadInMB",
        "ModelClientConfig",
        "ModelName",
        "TransformInput",
    ),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions"),
}
# The keys of step types whose arguments are no request: all arguments count, and these members beside them.
BESIDE = {"Lambda": ("FunctionArn",), "Callback": ("SqsQueueUrl",)}
# ISO 8601, the P optional as in the SageMaker SDK's own example, T12H. Months before the T, minutes after it.
DURATION = re.compile(
    r"P?(?=[\dT])(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?)?", re.IGNORECASE
)
UNIT_SECONDS = (31_536_000, 2_592_000, 604_800, 86_400, 3_600, 60)


def key(pipeline_arn: str, step: graph.Step, arguments: Document) -> str:
    """The identity of a step's work within its pipeline, from its resolved arguments."""
    chosen: dict[str, Any] = {name: arguments.get(name) for name in KEYS.get(step["Type"], arguments)}
    chosen |= {f"step {name}": step.get(name) for name in BESIDE.get(step["Type"], ())}
    text = graph.canonical([step["Name"], step["Type"], chosen])
    return f"{pipeline_arn} {hashlib.sha256(text.encode()).hexdigest()}"


def find(store: Store, identity: str, step: graph.Step) -> Document | None:
    """The latest earlier result, when the step is cached and the result has not expired."""
    if not enabled(step):
        return None
    earlier = store.get(KIND, identity)
    if earlier is None or time.time() > earlier["Time"] + seconds(step["CacheConfig"].get("ExpireAfter")):
        return None
    return earlier


def store_result(
    store: Store, identity: str, step: graph.Step, execution_arn: str, metadata: Document, result: Document
) -> None:
    """Store a successful step's result for later executions."""
    if enabled(step):
        document = {
            "PipelineExecutionArn": execution_arn,
            "Metadata": metadata,
            "Result": result,
            "Time": time.time(),
        }
        store.put(KIND, identity, document)
        crashpoint("cache-stored")


def enabled(step: graph.Step) -> bool:
    """Whether the step's CacheConfig asks for caching."""
    return bool(step.get("CacheConfig", {}).get("Enabled"))


def forget(store: Store, pipeline_arn: str) -> None:
    """Drop the results of a pipeline that is deleted: its executions are gone."""
    store.delete_where(KIND, containing=f"{pipeline_arn} ")


def seconds(duration: str | None) -> float:
    """An ISO 8601 duration such as P30D or PT4H in seconds; endless when there is none. Raises ValueError."""
    if not duration:
        return float("inf")
    match = DURATION.fullmatch(duration)
    if not match:
        raise ValueError(f"{duration!r} is not an ISO 8601 duration such as P30D or PT4H")
    return float(sum(int(amount or 0) * unit for amount, unit in zip(match.groups(), UNIT_SECONDS, strict=True)))
