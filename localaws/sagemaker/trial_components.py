"""Trial components: a job with its parameters, inputs, outputs and metrics, as SageMaker writes one for every job.

https://docs.aws.amazon.com/sagemaker/latest/dg/experiments.html
"""

from collections.abc import Iterator
from typing import Any

from localaws.sagemaker.service import arn
from localaws.store import Document

DATA, MODEL, IMAGE = "DataSet", "Model", "Image"


def component(job: Document, noun: str) -> Document:
    """The trial component of a job. noun: Training, Processing or Transform."""
    name = f"{job[f'{noun}JobName']}-aws-{noun.lower()}-job"
    status: Document = {"PrimaryStatus": job[f"{noun}JobStatus"]}
    if "FailureReason" in job:
        status["Message"] = job["FailureReason"]
    source = {"SourceArn": job[f"{noun}JobArn"], "SourceType": f"SageMaker{noun}Job"}
    found = {
        "TrialComponentName": name,
        "TrialComponentArn": arn(f"experiment-trial-component/{name}"),
        "DisplayName": name,
        "Source": source,
        "TrialComponentSource": source,
        "Status": status,
        "StartTime": job.get(f"{noun}StartTime"),
        "EndTime": job.get(f"{noun}EndTime"),
        "CreationTime": job["CreationTime"],
        "LastModifiedTime": job.get("LastModifiedTime", job["CreationTime"]),
        "Parameters": {name: _parameter(value) for name, value in _parameters(job).items()},
        "InputArtifacts": _artifacts(inputs(job, noun)),
        "OutputArtifacts": _artifacts(outputs(job, noun)),
        "Metrics": [_metric(each, job) for each in job.get("FinalMetricDataList", [])],
        "Type": f"{noun}Job",
        "LineageType": "TrialComponent",
    }
    return {name: value for name, value in found.items() if value is not None}


def inputs(job: Document, noun: str) -> Iterator[tuple[str, str]]:
    """(address, artifact type) of what a job reads: its image and its data."""
    image = job.get("AlgorithmSpecification", {}).get("TrainingImage") or job.get("AppSpecification", {}).get(
        "ImageUri"
    )
    if image:
        yield image, IMAGE
    for channel in job.get("InputDataConfig") or []:
        source = channel["DataSource"].get("S3DataSource")
        if source:
            yield source["S3Uri"], DATA
    for each in job.get("ProcessingInputs") or []:
        if "S3Input" in each:
            yield each["S3Input"]["S3Uri"], DATA
    if noun == "Transform":
        yield job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"], DATA


def outputs(job: Document, noun: str) -> Iterator[tuple[str, str]]:
    """(address, artifact type) of what a job has written; nothing for one that has not completed."""
    if job[f"{noun}JobStatus"] != "Completed":
        return
    if noun == "Training":
        yield job["ModelArtifacts"]["S3ModelArtifacts"], MODEL
    for each in job.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if "S3Output" in each:
            yield each["S3Output"]["S3Uri"], DATA
    if noun == "Transform":
        yield job["TransformOutput"]["S3OutputPath"], DATA


def _artifacts(found: Iterator[tuple[str, str]]) -> Document:
    return {f"SageMaker.{kind}.{number}": {"Value": uri} for number, (uri, kind) in enumerate(found)}


def _parameters(job: Document) -> dict[str, Any]:
    resources = job.get("ResourceConfig") or job.get("ProcessingResources", {}).get("ClusterConfig", {})
    named = {f"SageMaker.{name}": resources[name] for name in ("InstanceType", "InstanceCount") if name in resources}
    return {**job.get("HyperParameters", {}), **named}


def _parameter(value: Any) -> Document:
    try:
        return {"NumberValue": float(value)}
    except ValueError:
        return {"StringValue": str(value)}


def _metric(metric: Document, job: Document) -> Document:
    value = metric["Value"]
    numbers = dict.fromkeys(("Max", "Min", "Last", "Avg"), value)
    return {
        "MetricName": metric["MetricName"],
        "SourceArn": job["TrainingJobArn"],
        "TimeStamp": metric["Timestamp"],
        "Count": 1,
        "StdDev": 0.0,
        **numbers,
    }
