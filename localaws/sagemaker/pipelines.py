"""Pipelines: create, update, describe, list, delete."""

import json
from collections.abc import Iterator

from localaws import shapes
from localaws.sagemaker import cache, failures, graph, launch, retry, tags, tokens
from localaws.sagemaker.s3 import MissingInput, read_object
from localaws.sagemaker.service import (
    ApiError,
    Service,
    arn,
    here,
    listing,
    not_found,
    now,
    validation_error,
)
from localaws.sagemaker.steps import RUNNABLE
from localaws.store import Document, Store

PIPELINE, EXECUTION, VERSION = "pipeline", "execution", "pipeline-version"
SETTINGS = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")


class Definitions:
    """Handlers of the pipeline operations."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "CreatePipeline": self.create,
                "UpdatePipeline": self.update,
                "DeletePipeline": self.delete,
                "DescribePipeline": self.describe,
                "ListPipelines": self.list_pipelines,
            }
        )

    def create(self, request: Document) -> Document:
        """CreatePipeline."""
        name = request["PipelineName"]
        pipeline_arn = arn(f"pipeline/{name}")
        definition = read_definition(request)
        with self.store.transaction():
            earlier = tokens.earlier_answer(self.store, "CreatePipeline", pipeline_arn, request)
            if earlier:
                return earlier
            if self.store.get(PIPELINE, pipeline_arn):
                raise validation_error(
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({name}) already exists."
                )
            time = now()
            document = {member: request[member] for member in SETTINGS if member in request}
            document |= {
                "PipelineArn": pipeline_arn,
                "PipelineName": name,
                "PipelineDisplayName": request.get("PipelineDisplayName", name),
                "PipelineDefinition": definition,
                "PipelineStatus": "Active",
                "CreationTime": time,
                "LastModifiedTime": time,
            }
            self.store.put(PIPELINE, pipeline_arn, document)
            _add_version(self.store, document)
            tags.put(self.store, pipeline_arn, request.get("Tags"))
            answer = {"PipelineArn": pipeline_arn}
            return tokens.save_answer(self.store, "CreatePipeline", pipeline_arn, request, answer)

    def update(self, request: Document) -> Document:
        """UpdatePipeline. Running executions keep the definition that they were started with."""
        pipeline_arn = pipeline_of(self.store, request["PipelineName"])["PipelineArn"]
        changes = {member: request[member] for member in SETTINGS if member in request}
        if "PipelineDefinition" in request or "PipelineDefinitionS3Location" in request:
            changes["PipelineDefinition"] = read_definition(request)
        changes["LastModifiedTime"] = now()
        with self.store.transaction():
            document = self.store.change(PIPELINE, pipeline_arn, lambda document: document.update(changes))
            version_id = _add_version(self.store, document)
        return {"PipelineArn": pipeline_arn, "PipelineVersionId": version_id}

    def delete(self, request: Document) -> Document:
        """DeletePipeline, with its executions. ConflictException while one runs."""
        with self.store.transaction():
            pipeline_arn = pipeline_of(self.store, request["PipelineName"])["PipelineArn"]
            executions = executions_of(self.store, pipeline_arn)
            if any(each["PipelineExecutionStatus"] in ("Executing", "Stopping") for each in executions):
                raise ApiError("ConflictException", f"An execution of {request['PipelineName']} is under way.")
            for each in executions:
                self.store.remove("kind = ?", f"step {each['PipelineExecutionArn']}")
                self.store.delete(EXECUTION, each["PipelineExecutionArn"])
                tokens.delete_all(self.store, each["PipelineExecutionArn"])
            tokens.delete_all(self.store, pipeline_arn)
            self.store.delete_where(VERSION, containing=f"{pipeline_arn} ")
            cache.forget(self.store, pipeline_arn)
            tags.delete_all(self.store, pipeline_arn)
            self.store.delete(PIPELINE, pipeline_arn)
        return {"PipelineArn": pipeline_arn}

    def describe(self, request: Document) -> Document:
        """DescribePipeline, as it is or as one of its versions was."""
        pipeline = pipeline_of(self.store, request["PipelineName"])
        if "PipelineVersionId" in request:
            pipeline |= version_of(self.store, pipeline, request["PipelineVersionId"])
        pipeline["LastRunTime"] = self._last_run(pipeline["PipelineArn"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribePipeline"), pipeline)

    def list_pipelines(self, request: Document) -> Document:
        """ListPipelines, newest first by default."""
        prefix = request.get("PipelineNamePrefix", "")
        found = here(self.store.all(PIPELINE), "PipelineArn")
        for each in found:
            each["LastExecutionTime"] = self._last_run(each["PipelineArn"])
        return listing(
            "ListPipelines",
            found,
            request,
            matches=lambda pipeline: pipeline["PipelineName"].startswith(prefix),
            by="PipelineName" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def _last_run(self, pipeline_arn: str) -> float | None:
        executions = executions_of(self.store, pipeline_arn)
        return executions[-1]["CreationTime"] if executions else None


def pipeline_of(store: Store, name: str) -> Document:
    """The stored pipeline of a name or ARN; ResourceNotFound when there is none."""
    pipeline_arn = name if name.startswith("arn:") else arn(f"pipeline/{name}")
    pipeline = store.get(PIPELINE, pipeline_arn)
    if pipeline is None:
        raise not_found(f"Pipeline '{pipeline_arn}' does not exist.")
    return pipeline


def versions_of(store: Store, pipeline_arn: str) -> list[Document]:
    """A pipeline's versions, oldest first."""
    return [each for each in store.all(VERSION) if each["PipelineArn"] == pipeline_arn]


def version_of(store: Store, pipeline: Document, version_id: int) -> Document:
    """One version of a pipeline: its settings and definition; ResourceNotFound when there is none."""
    version = store.get(VERSION, f"{pipeline['PipelineArn']} {version_id}")
    if version is None:
        raise not_found(f"Pipeline version {version_id} of '{pipeline['PipelineArn']}' does not exist.")
    return version


def _add_version(store: Store, pipeline: Document) -> int:
    """Store a pipeline as its next version; returns the version's id."""
    earlier = versions_of(store, pipeline["PipelineArn"])
    version_id = earlier[-1]["PipelineVersionId"] + 1 if earlier else 1
    time = pipeline["LastModifiedTime"]
    version = {**pipeline, "PipelineVersionId": version_id, "CreationTime": time}
    store.put(VERSION, f"{pipeline['PipelineArn']} {version_id}", version)
    return int(version_id)


def executions_of(store: Store, pipeline_arn: str) -> list[Document]:
    """A pipeline's executions, oldest first."""
    return [each for each in store.all(EXECUTION) if each["PipelineArn"] == pipeline_arn]


def read_definition(request: Document) -> str:
    """The definition of a Create or Update request, inline or from S3, validated."""
    text, place = request.get("PipelineDefinition"), request.get("PipelineDefinitionS3Location")
    if text is not None and place is not None:
        raise validation_error("Both Pipeline Definition and Pipeline Definition S3 Location shouldn't be present")
    if place is not None:
        try:
            text = read_object(place["Bucket"], place["ObjectKey"]).decode()
        except MissingInput as error:
            raise validation_error(f"Unable to read the pipeline definition. {error}") from error
    if text is None:
        raise validation_error("Either Pipeline Definition or Pipeline Definition S3 location should be provided")
    try:
        definition = json.loads(text)
    except ValueError as error:
        raise validation_error(f"Unable to parse pipeline definition. {error}") from error
    wrong = list(graph.problems(definition, RUNNABLE)) or list(_policy_problems(definition))
    if wrong:
        raise validation_error("Unable to parse pipeline definition. " + "; ".join(wrong))
    # The first step may be seconds away: the libraries are loaded meanwhile.
    launch.prepare()
    return str(text)


def _policy_problems(definition: Document) -> Iterator[str]:
    """The faults of the steps' CacheConfig and RetryPolicies, each with its JSON address."""
    for step in graph.steps(definition):
        try:
            cache.seconds(step.get("CacheConfig", {}).get("ExpireAfter"))
        except ValueError as error:
            yield f"Steps.{step['Name']}.CacheConfig.ExpireAfter: {error}"
        for index, policy in enumerate(step.get("RetryPolicies", [])):
            for kind in retry.kinds(policy):
                if kind not in failures.REASONS:
                    have = ", ".join(failures.REASONS)
                    yield f"Steps.{step['Name']}.RetryPolicies[{index}].ExceptionType: {kind!r} (have: {have})"
