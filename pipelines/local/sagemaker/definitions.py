"""Pipelines and their executions: create, update, start, stop, retry, describe, list."""

import json
import random
import string
from collections.abc import Callable
from typing import Any

from pipelines import graph
from pipelines.local import shapes
from pipelines.local.sagemaker import events
from pipelines.local.sagemaker.execution import RUNNABLE, Executions
from pipelines.local.sagemaker.service import (
    ApiError,
    Service,
    arn,
    here,
    in_window,
    not_found,
    now,
    page,
    validation_error,
)
from pipelines.local.store import Document

PIPELINE, EXECUTION, TOKEN = "pipeline", "execution", "start-token"
# The types a parameter's text may be turned into.
READERS: dict[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": lambda text: text.lower() == "true",
}


class Definitions:
    """Handlers of the pipeline operations."""

    def __init__(self, service: Service, executions: Executions) -> None:
        self.store = service.store
        self.executions = executions
        service.add(
            {
                "CreatePipeline": self.create,
                "UpdatePipeline": self.update,
                "DeletePipeline": self.delete,
                "DescribePipeline": self.describe,
                "ListPipelines": self.list_pipelines,
                "StartPipelineExecution": self.start,
                "StopPipelineExecution": self.stop,
                "RetryPipelineExecution": self.retry,
                "UpdatePipelineExecution": self.update_execution,
                "DescribePipelineExecution": self.describe_execution,
                "DescribePipelineDefinitionForExecution": self.describe_definition,
                "ListPipelineExecutions": self.list_executions,
                "ListPipelineExecutionSteps": self.list_steps,
                "ListPipelineParametersForExecution": self.list_parameters,
            }
        )

    def create(self, request: Document) -> Document:
        """CreatePipeline."""
        name = request["PipelineName"]
        pipeline_arn = arn(f"pipeline/{name.lower()}")
        definition = read_definition(request)
        with self.store.transaction():
            if self.store.get(PIPELINE, pipeline_arn):
                raise validation_error(
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({name}) already exists."
                )
            time = now()
            members = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")
            document = {member: request[member] for member in members if member in request}
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
            if request.get("Tags"):
                self.store.put("tags", pipeline_arn, {tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {"PipelineArn": pipeline_arn}

    def update(self, request: Document) -> Document:
        """UpdatePipeline; executions under way keep the definition they were started with."""
        pipeline = self._pipeline(request["PipelineName"])
        changes = {key: value for key, value in request.items() if key in pipeline or key.startswith("Pipe")}
        changes |= {key: request[key] for key in ("ParallelismConfiguration", "RoleArn") if key in request}
        if "PipelineDefinition" in request:
            changes["PipelineDefinition"] = read_definition(request)
        changes["LastModifiedTime"] = now()
        self.store.change(PIPELINE, pipeline["PipelineArn"], lambda document: document.update(changes))
        return {"PipelineArn": pipeline["PipelineArn"]}

    def delete(self, request: Document) -> Document:
        """DeletePipeline, with its executions; refused while one runs."""
        pipeline_arn = self._pipeline(request["PipelineName"])["PipelineArn"]
        executions = [each for each in self.store.all(EXECUTION) if each["PipelineArn"] == pipeline_arn]
        if any(each["PipelineExecutionStatus"] in ("Executing", "Stopping") for each in executions):
            raise ApiError("ConflictException", f"An execution of {request['PipelineName']} is under way.")
        with self.store.transaction():
            for each in executions:
                self.store.delete(EXECUTION, each["PipelineExecutionArn"])
            self.store.delete(PIPELINE, pipeline_arn)
        return {"PipelineArn": pipeline_arn}

    def describe(self, request: Document) -> Document:
        """DescribePipeline."""
        pipeline = self._pipeline(request["PipelineName"])
        last = [each for each in self._executions_of(pipeline)]
        if last:
            pipeline["LastRunTime"] = last[-1]["CreationTime"]
        return shapes.project(shapes.output_shape("sagemaker", "DescribePipeline"), pipeline)

    def list_pipelines(self, request: Document) -> Document:
        """ListPipelines."""
        found = here(self.store.all(PIPELINE), "PipelineArn")
        prefix = request.get("PipelineNamePrefix", "")
        found = [each for each in found if each["PipelineName"].startswith(prefix) and in_window(request, each)]
        chosen, more = page(found, request)
        return {"PipelineSummaries": summaries("ListPipelines", "PipelineSummaries", chosen), **more}

    def start(self, request: Document) -> Document:
        """StartPipelineExecution; the same ClientRequestToken is the same start."""
        pipeline = self._pipeline(request["PipelineName"])
        definition = json.loads(pipeline["PipelineDefinition"])
        parameters = bind(definition, request.get("PipelineParameters", []))
        token = f"{pipeline['PipelineArn']} {request['ClientRequestToken']}"
        with self.store.transaction():
            earlier = self.store.get(TOKEN, token)
            if earlier:
                return {"PipelineExecutionArn": earlier["PipelineExecutionArn"]}
            identifier = "".join(random.choices(string.ascii_lowercase + string.digits, k=12))
            execution_arn = f"{pipeline['PipelineArn']}/execution/{identifier}"
            time = now()
            default_name = f"execution-{int(time * 1000)}"
            execution = {
                "PipelineArn": pipeline["PipelineArn"],
                "PipelineName": pipeline["PipelineName"],
                "PipelineExecutionArn": execution_arn,
                "PipelineExecutionDisplayName": request.get("PipelineExecutionDisplayName", default_name),
                "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
                "PipelineExecutionStatus": "Executing",
                "ParallelismConfiguration": request.get("ParallelismConfiguration")
                or pipeline.get("ParallelismConfiguration"),
                "CreationTime": time,
                "LastModifiedTime": time,
                "StartTime": time,
                "Definition": pipeline["PipelineDefinition"],
                "Parameters": parameters,
                "RoleArn": pipeline["RoleArn"],
            }
            self.store.put(EXECUTION, execution_arn, execution)
            self.store.put(TOKEN, token, {"PipelineExecutionArn": execution_arn})
        events.execution_changed(execution, None)
        self.executions.start(execution_arn)
        return {"PipelineExecutionArn": execution_arn}

    def stop(self, request: Document) -> Document:
        """StopPipelineExecution: steps under way are ended, the status goes through Stopping to Stopped."""
        execution = self._execution(request["PipelineExecutionArn"])
        if execution["PipelineExecutionStatus"] == "Executing":
            self.executions.stop(execution["PipelineExecutionArn"])
        elif execution["PipelineExecutionStatus"] != "Stopping":
            status = execution["PipelineExecutionStatus"]
            raise ApiError("ConflictException", f"Only an executing pipeline execution can be stopped, not {status}.")
        return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}

    def retry(self, request: Document) -> Document:
        """RetryPipelineExecution: goes on from the failed or stopped steps; finished ones are kept."""
        execution_arn = request["PipelineExecutionArn"]

        def reopen(document: Document) -> None:
            if document["PipelineExecutionStatus"] not in ("Failed", "Stopped"):
                status = document["PipelineExecutionStatus"]
                raise ApiError("ConflictException", f"Only a failed or stopped execution can be retried, not {status}.")
            document.update(PipelineExecutionStatus="Executing", LastModifiedTime=now())
            document.pop("FailureReason", None)

        previous = self._execution(execution_arn)["PipelineExecutionStatus"]
        execution = self.store.change(EXECUTION, execution_arn, reopen)
        events.execution_changed(execution, previous)
        self.executions.start(execution_arn)
        return {"PipelineExecutionArn": execution_arn}

    def update_execution(self, request: Document) -> Document:
        """UpdatePipelineExecution: its display name, description and parallelism."""
        execution = self._execution(request["PipelineExecutionArn"])
        self.store.change(EXECUTION, execution["PipelineExecutionArn"], lambda document: document.update(request))
        return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}

    def describe_execution(self, request: Document) -> Document:
        """DescribePipelineExecution."""
        execution = self._execution(request["PipelineExecutionArn"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribePipelineExecution"), execution)

    def describe_definition(self, request: Document) -> Document:
        """DescribePipelineDefinitionForExecution: the definition as it was at the start."""
        execution = self._execution(request["PipelineExecutionArn"])
        return {"PipelineDefinition": execution["Definition"], "CreationTime": execution["CreationTime"]}

    def list_executions(self, request: Document) -> Document:
        """ListPipelineExecutions, newest first unless asked otherwise."""
        found = self._executions_of(self._pipeline(request["PipelineName"]))
        found = [each for each in found if in_window(request, each)]
        chosen, more = page(found, request)
        name = "PipelineExecutionSummaries"
        for each in chosen:
            each["PipelineExecutionFailureReason"] = each.get("FailureReason")
        return {name: summaries("ListPipelineExecutions", name, chosen), **more}

    def list_steps(self, request: Document) -> Document:
        """ListPipelineExecutionSteps, newest first unless asked otherwise."""
        execution = self._execution(request["PipelineExecutionArn"])
        started = [each for each in self.executions.steps_of(execution["PipelineExecutionArn"]) if "StartTime" in each]
        chosen, more = page(started, request, by="StartTime")
        name = "PipelineExecutionSteps"
        return {name: summaries("ListPipelineExecutionSteps", name, chosen), **more}

    def list_parameters(self, request: Document) -> Document:
        """ListPipelineParametersForExecution: every parameter with the value this execution has."""
        execution = self._execution(request["PipelineExecutionArn"])
        listed = [{"Name": name, "Value": str(value)} for name, value in execution["Parameters"].items()]
        return {"PipelineParameters": listed}

    def _pipeline(self, name: str) -> Document:
        """The pipeline of a name or ARN."""
        pipeline_arn = name if name.startswith("arn:") else arn(f"pipeline/{name.lower()}")
        pipeline = self.store.get(PIPELINE, pipeline_arn)
        if pipeline is None:
            raise not_found(f"Pipeline '{pipeline_arn}' does not exist.")
        return pipeline

    def _execution(self, execution_arn: str) -> Document:
        execution = self.store.get(EXECUTION, execution_arn)
        if execution is None:
            raise not_found(f"Pipeline execution '{execution_arn}' does not exist.")
        return execution

    def _executions_of(self, pipeline: Document) -> list[Document]:
        return [each for each in self.store.all(EXECUTION) if each["PipelineArn"] == pipeline["PipelineArn"]]


def read_definition(request: Document) -> str:
    """The definition of a Create or Update request, from its text or from S3, checked."""
    text = request.get("PipelineDefinition")
    if text is None and "PipelineDefinitionS3Location" in request:
        from pipelines.local.sagemaker.files import read_object

        place = request["PipelineDefinitionS3Location"]
        text = read_object(place["Bucket"], place["ObjectKey"]).decode()
    if text is None:
        raise validation_error("Either PipelineDefinition or PipelineDefinitionS3Location is needed.")
    try:
        definition = json.loads(text)
    except ValueError as error:
        raise validation_error(f"Unable to parse pipeline definition. {error}") from error
    wrong = list(graph.problems(definition, RUNNABLE))
    if wrong:
        raise validation_error("Unable to parse pipeline definition. " + "; ".join(wrong))
    return str(text)


def bind(definition: dict[str, Any], given: list[Document]) -> Document:
    """Parameter name -> value: the definition's defaults, replaced by what was given, each of its type."""
    declared = {parameter["Name"]: parameter for parameter in definition.get("Parameters", [])}
    values = {name: parameter.get("DefaultValue") for name, parameter in declared.items()}
    for parameter in given:
        name, text = parameter["Name"], parameter["Value"]
        if name not in declared:
            known = ", ".join(declared)
            raise validation_error(f"Parameter '{name}' is not in the pipeline definition (have: {known}).")
        values[name] = typed(declared[name], text)
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise validation_error(f"Parameters without a value: {', '.join(missing)}.")
    return values


def typed(parameter: Document, text: str) -> Any:
    """A parameter's text as the type its definition declares."""
    try:
        value = READERS[parameter["Type"]](text)
    except ValueError as error:
        raise validation_error(
            f"Parameter '{parameter['Name']}' is of type {parameter['Type']}, but {text!r} was given."
        ) from error
    if parameter.get("EnumValues") and value not in parameter["EnumValues"]:
        allowed = ", ".join(map(str, parameter["EnumValues"]))
        raise validation_error(f"Parameter '{parameter['Name']}' is one of {allowed}, but {text!r} was given.")
    return value


def summaries(operation: str, member: str, documents: list[Document]) -> list[Document]:
    """Documents reduced to the summary structure of a List operation."""
    shape = shapes.output_shape("sagemaker", operation).members[member].member
    return [shapes.project(shape, document) for document in documents]
