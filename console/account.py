"""What the console reads from AWS, or from any endpoint that speaks its API, as plain dicts and lists."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from console.cache import FRESH_SECONDS, Cache, Cached

Document = dict[str, Any]
UNDER_WAY = ("Executing", "Stopping")
# The kinds of jobs in a step's Metadata: the operation that describes one, its name's member, and its log group.
# https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
JOBS = {
    "ProcessingJob": ("describe_processing_job", "ProcessingJobName", "/aws/sagemaker/ProcessingJobs"),
    "TrainingJob": ("describe_training_job", "TrainingJobName", "/aws/sagemaker/TrainingJobs"),
    "TransformJob": ("describe_transform_job", "TransformJobName", "/aws/sagemaker/TransformJobs"),
    "TuningJob": (
        "describe_hyper_parameter_tuning_job",
        "HyperParameterTuningJobName",
        "/aws/sagemaker/TrainingJobs",
    ),
}
# The largest file that is read into a page.
MAX_BYTES = 8 * 1024 * 1024


class NotFound(LookupError):
    """What a URL names is not there."""


class Refused(Exception):
    """A change that may not be made, and why."""


class Account:
    """Reads through boto3. client: makes the client of a service, such as `boto3.Session().client`."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._make = client
        self._clients: dict[str, Any] = {}
        self.cache = Cache()

    def client(self, service: str) -> Any:
        """The service's client, made when first asked for."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    @property
    def sagemaker(self) -> Any:
        """The client of SageMaker's API."""
        return self.client("sagemaker")

    @property
    def region(self) -> str:
        """The region that is read."""
        return str(self.sagemaker.meta.region_name)

    def runtime_url(self, endpoint: str) -> str:
        """The address that answers an endpoint's requests."""
        base = str(self.client("sagemaker-runtime").meta.endpoint_url).rstrip("/")
        return f"{base}/endpoints/{endpoint}/invocations"

    # --- Pipelines and their executions ---------------------------------------------------------

    def pipelines(self) -> list[Document]:
        """Every pipeline's summary, the last executed first."""
        listed = self._all("list_pipelines", "PipelineSummaries")
        return sorted(listed, key=lambda each: str(each.get("LastExecutionTime", "")), reverse=True)

    def pipeline(self, name: str) -> Document:
        """A pipeline with its definition, parsed (`definition`)."""
        found: Document = self._described("describe_pipeline", PipelineName=name)
        return {**found, "definition": json.loads(found["PipelineDefinition"])}

    def executions(self, name: str) -> Cached:
        """Summaries of every execution, newest first; what has ended is not read twice."""
        return self.cache.get(("executions", name), lambda: self._executions(name))

    def _executions(self, name: str) -> list[Document]:
        known: dict[str, Document] = self.cache.get(("known", name), dict, math.inf).value
        for page in self._pages("list_pipeline_executions", PipelineName=name, SortOrder="Descending", MaxResults=100):
            new = {each["PipelineExecutionArn"]: each for each in page["PipelineExecutionSummaries"]}
            complete = new.keys() <= known.keys() and not any(
                each["PipelineExecutionStatus"] in UNDER_WAY for each in known.values()
            )
            known |= new
            if complete:
                break
        return sorted(known.values(), key=lambda each: str(each.get("StartTime", "")), reverse=True)

    def execution(self, name: str, short: str) -> Document:
        """An execution by the last part of its ARN; raises NotFound."""
        for each in self.executions(name).value:
            if short_id(each["PipelineExecutionArn"]) == short:
                return self.described_execution(each["PipelineExecutionArn"])
        raise NotFound(f"no execution {short} of the pipeline {name}")

    def described_execution(self, arn: str) -> Document:
        """An execution with its parameters (`parameters`: name -> value) and steps in the order of their start."""

        def read() -> Document:
            found: Document = self._described("describe_pipeline_execution", PipelineExecutionArn=arn)
            steps = self._all("list_pipeline_execution_steps", "PipelineExecutionSteps", PipelineExecutionArn=arn)
            steps.sort(key=lambda each: str(each.get("StartTime", "~")))
            return {**found, "parameters": self.parameters(arn), "steps": steps}

        found: Document = self.cache.get(("execution", arn), read, 0.5).value
        return found

    def parameters(self, arn: str) -> dict[str, str]:
        """An execution's parameters by name; they never change."""

        def read() -> dict[str, str]:
            listed = self._all(
                "list_pipeline_parameters_for_execution", "PipelineParameters", PipelineExecutionArn=arn, MaxResults=100
            )
            return {each["Name"]: each["Value"] for each in listed}

        found: dict[str, str] = self.cache.get(("parameters", arn), read, math.inf).value
        return found

    def parameters_of(self, arns: list[str]) -> list[dict[str, str]]:
        """The parameters of several executions, read side by side."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            return list(pool.map(self.parameters, arns))

    def job(self, step: Document) -> Document | None:
        """The job of an execution's step: `kind`, `name`, `arn`, `log_group` and the description; None without one."""
        for kind, (operation, member, group) in JOBS.items():
            arn = step.get("Metadata", {}).get(kind, {}).get("Arn")
            if arn:
                name = arn.rpartition("/")[2]
                described = self._described(operation, **{member: name})
                return {"kind": kind, "name": name, "arn": arn, "log_group": group, "described": described}
        return None

    def log(self, group: str, prefix: str) -> Iterator[str]:
        """Every line of the log streams that begin with a job's name, all pages of them."""
        logs = self.client("logs")
        try:
            pages = logs.get_paginator("describe_log_streams").paginate(
                logGroupName=group, logStreamNamePrefix=f"{prefix}/"
            )
            streams = [each["logStreamName"] for page in pages for each in page["logStreams"]]
        except logs.exceptions.ResourceNotFoundException:
            return
        for stream in streams:
            token: dict[str, str] = {}
            while True:
                page = logs.get_log_events(
                    logGroupName=group, logStreamName=stream, startFromHead=True, limit=10_000, **token
                )
                yield from (str(event["message"]).rstrip("\n") for event in page["events"])
                # The last page's token is the one that it was asked with.
                if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
                    break
                token = {"nextToken": page["nextForwardToken"]}

    # --- Models ---------------------------------------------------------------------------------

    def groups(self) -> list[Document]:
        """Every model package group's summary."""
        return self._all("list_model_package_groups", "ModelPackageGroupSummaryList")

    def packages(self, group: str) -> list[Document]:
        """Every version of a group, newest first, each described (`evaluation`: its statistics, {} without any)."""
        listed = self._all(
            "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group, SortBy="CreationTime"
        )
        with ThreadPoolExecutor(max_workers=8) as pool:
            found = list(pool.map(lambda each: self.package(each["ModelPackageArn"]), listed))
        return sorted(found, key=lambda each: int(each.get("ModelPackageVersion", 0)), reverse=True)

    def package(self, arn: str) -> Document:
        """A model package with its model quality statistics from S3."""

        def read() -> Document:
            found: Document = self._described("describe_model_package", ModelPackageName=arn)
            return {**found, "evaluation": self.statistics(found)}

        found: Document = self.cache.get(("package", arn), read).value
        return found

    def version(self, group: str, version: int) -> Document:
        """One version of a group; raises NotFound."""
        for each in self._all("list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group):
            if each.get("ModelPackageVersion") == version:
                return self.package(each["ModelPackageArn"])
        raise NotFound(f"no version {version} in the model package group {group}")

    def statistics(self, package: Document) -> Document:
        """The JSON that a package's ModelMetrics point to; {} where there is none or it cannot be read."""
        uri = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
        if not uri:
            return {}

        def read() -> Document:
            try:
                content = json.loads(self.object(uri))
            except Exception:
                # A deleted or foreign file leaves the page without figures, not without a page.
                return {}
            return content if isinstance(content, dict) else {}

        found: Document = self.cache.get(("statistics", uri), read, math.inf).value
        return found

    def object(self, uri: str) -> bytes:
        """An S3 object's content, at most MAX_BYTES of it; raises NotFound."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        s3 = self.client("s3")
        try:
            body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read(MAX_BYTES)
        except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket) as error:
            raise NotFound(f"nothing at {uri}") from error
        return body

    # --- Endpoints and alarms -------------------------------------------------------------------

    def endpoints(self) -> list[Document]:
        """Every endpoint, described, with its configuration (`config`)."""
        found = []
        for each in self._all("list_endpoints", "Endpoints"):
            # One may be deleted between the list and its description.
            with contextlib.suppress(NotFound):
                found.append(self.endpoint(each["EndpointName"]))
        return found

    def endpoint(self, name: str) -> Document:
        """An endpoint with its configuration and, by variant, the model it serves (`models`)."""

        def read() -> Document:
            found: Document = self._described("describe_endpoint", EndpointName=name)
            config: Document = self._described(
                "describe_endpoint_config", EndpointConfigName=found["EndpointConfigName"]
            )
            models = {
                each["VariantName"]: self._described("describe_model", ModelName=each["ModelName"])
                for each in config["ProductionVariants"]
                if each.get("ModelName")
            }
            return {**found, "config": config, "models": models}

        found: Document = self.cache.get(("endpoint", name), read, stale=FRESH_SECONDS).value
        return found

    def latency(self, endpoint: Document) -> list[tuple[str, Document]]:
        """(variant, SampleCount, Average and Maximum in milliseconds) of the last hour's requests that had an answer.

        https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
        """
        now, found = datetime.now(UTC), []
        for variant in endpoint.get("ProductionVariants", []):
            names = {"EndpointName": endpoint["EndpointName"], "VariantName": variant["VariantName"]}
            points = self.client("cloudwatch").get_metric_statistics(
                Namespace="AWS/SageMaker",
                MetricName="ModelLatency",
                Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
                StartTime=now - timedelta(hours=1),
                EndTime=now + timedelta(minutes=1),
                Period=60,
                Statistics=["SampleCount", "Average", "Maximum"],
            )["Datapoints"]
            count = sum(each["SampleCount"] for each in points)
            if count:
                average = sum(each["Average"] * each["SampleCount"] for each in points) / count / 1000
                maximum = max(each["Maximum"] for each in points) / 1000
                found.append(
                    (variant["VariantName"], {"SampleCount": int(count), "Average": average, "Maximum": maximum})
                )
        return found

    def captured(self, endpoint: Document, lines: int = 20) -> list[Document]:
        """The last captured requests of an endpoint, newest first; [] where it captures none."""
        capture = endpoint.get("DataCaptureConfig") or {}
        uri = capture.get("DestinationS3Uri", "")
        if not uri:
            return []
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        paginator = self.client("s3").get_paginator("list_objects_v2")
        prefix = "/".join(each for each in (prefix.rstrip("/"), endpoint["EndpointName"]) if each) + "/"
        keys = [
            each["Key"]
            for page in paginator.paginate(Bucket=bucket, Prefix=prefix)
            for each in page.get("Contents", [])
        ]
        found: list[Document] = []
        for key in sorted(keys, reverse=True):
            content = self.object(f"s3://{bucket}/{key}").decode(errors="replace")
            found += [json.loads(line) for line in reversed(content.splitlines()) if line.strip()]
            if len(found) >= lines:
                break
        return found[:lines]

    def alarms(self) -> list[Document]:
        """The CloudWatch alarms, those in ALARM first."""

        def read() -> list[Document]:
            pages = self.client("cloudwatch").get_paginator("describe_alarms").paginate()
            listed = [each for page in pages for each in page.get("MetricAlarms", [])]
            return sorted(listed, key=lambda each: (each["StateValue"] != "ALARM", each["AlarmName"]))

        found: list[Document] = self.cache.get("alarms", read, 5.0).value
        return found

    # --- AWS's calls ----------------------------------------------------------------------------

    def _described(self, operation: str, **request: Any) -> Document:
        try:
            answer: Document = getattr(self.sagemaker, operation)(**request)
        except self.sagemaker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("ResourceNotFound", "ValidationException"):
                raise NotFound(error.response["Error"]["Message"]) from error
            raise
        answer.pop("ResponseMetadata", None)
        return answer

    def _all(self, operation: str, member: str, **request: Any) -> list[Document]:
        return [each for page in self._pages(operation, **request) for each in page[member]]

    def _pages(self, operation: str, **request: Any) -> Iterator[Document]:
        """All pages; a page may be empty and still have a NextToken."""
        token: dict[str, str] = {}
        while True:
            page: Document = getattr(self.sagemaker, operation)(**request, **token)
            yield page
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}


def short_id(arn: str) -> str:
    """The last part of an ARN."""
    return arn.rpartition("/")[2]
