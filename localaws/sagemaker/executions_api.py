"""Executions of pipelines: start, stop, retry, describe, list."""

import json
import random
import string

from localaws import shapes
from localaws.sagemaker import events, runnable, selective, tokens
from localaws.sagemaker.execution import Executions
from localaws.sagemaker.expressions import Scope, as_text
from localaws.sagemaker.parameters import bind
from localaws.sagemaker.pipelines import EXECUTION, executions_of, pipeline_of, version_of, versions_of
from localaws.sagemaker.service import (
    ApiError,
    Service,
    cut,
    listing,
    not_found,
    now,
)
from localaws.store import Document


class Starts:
    """Handlers of the pipeline execution operations."""

    def __init__(self, service: Service, executions: Executions) -> None:
        self.store = service.store
        self.executions = executions
        service.add(
            {
                "StartPipelineExecution": self.start,
                "StopPipelineExecution": self.stop,
                "RetryPipelineExecution": self.retry,
                "UpdatePipelineExecution": self.update,
                "DescribePipelineExecution": self.describe,
                "DescribePipelineDefinitionForExecution": self.describe_definition,
                "ListPipelineExecutions": self.list_executions,
                "ListPipelineExecutionSteps": self.list_steps,
                "ListPipelineParametersForExecution": self.list_parameters,
            }
        )

    def start(self, request: Document) -> Document:
        """StartPipelineExecution. The same ClientRequestToken is the same execution."""
        with self.store.transaction():
            pipeline = pipeline_of(self.store, request["PipelineName"])
            pipeline_arn = pipeline["PipelineArn"]
            earlier = tokens.earlier_answer(self.store, "StartPipelineExecution", pipeline_arn, request)
            if earlier:
                return earlier
            version = versions_of(self.store, pipeline_arn)[-1]
            if "PipelineVersionId" in request:
                version = version_of(self.store, pipeline, request["PipelineVersionId"])
            given = self._parameters({**pipeline, **version}, request)
            execution = _new_execution({**pipeline, **version}, request, given)
            execution_arn = execution["PipelineExecutionArn"]
            self.store.put(EXECUTION, execution_arn, execution)
            answer = {"PipelineExecutionArn": execution_arn}
            tokens.save_answer(self.store, "StartPipelineExecution", pipeline_arn, request, answer)
            events.execution_changed(self.store, execution, None)
        events.send(self.store)
        self.executions.start(execution_arn)
        return answer

    def _parameters(self, pipeline: Document, request: Document) -> list[Document]:
        """The parameters of a new execution; a selective one inherits its source's."""
        given: list[Document] = request.get("PipelineParameters", [])
        config = request.get("SelectiveExecutionConfig")
        if not config:
            return given
        source = selective.source_of(self.store, pipeline["PipelineArn"], config)
        selective.check(self.store, pipeline["PipelineDefinition"], config)
        declared = {each["Name"] for each in json.loads(pipeline["PipelineDefinition"]).get("Parameters", [])}
        inherited = {name: value for name, value in source["Parameters"].items() if name in declared} if source else {}
        inherited |= {each["Name"]: each["Value"] for each in given}
        return [{"Name": name, "Value": as_text(value)} for name, value in inherited.items()]

    def stop(self, request: Document) -> Document:
        """StopPipelineExecution: running steps are ended; the status goes through Stopping to Stopped."""
        execution_arn = self._execution(request["PipelineExecutionArn"])["PipelineExecutionArn"]
        self.executions.stop(execution_arn)
        return {"PipelineExecutionArn": execution_arn}

    def retry(self, request: Document) -> Document:
        """RetryPipelineExecution: runs the failed, stopped and missing steps; succeeded ones stay."""
        execution_arn = request["PipelineExecutionArn"]

        def reopen(document: Document) -> None:
            status = document["PipelineExecutionStatus"]
            if status not in ("Failed", "Stopped"):
                raise ApiError("ConflictException", f"Only a failed or stopped execution can be retried, not {status}.")
            document.update(PipelineExecutionStatus="Executing", LastModifiedTime=now())
            document.pop("FailureReason", None)
            if "ParallelismConfiguration" in request:
                document["ParallelismConfiguration"] = request["ParallelismConfiguration"]

        with self.store.transaction():
            previous = self._execution(execution_arn)["PipelineExecutionStatus"]
            earlier = tokens.earlier_answer(self.store, "RetryPipelineExecution", execution_arn, request)
            if earlier:
                return earlier
            execution = self.store.change(EXECUTION, execution_arn, reopen)
            answer = {"PipelineExecutionArn": execution_arn}
            tokens.save_answer(self.store, "RetryPipelineExecution", execution_arn, request, answer)
            events.execution_changed(self.store, execution, previous)
        events.send(self.store)
        self.executions.start(execution_arn)
        return answer

    def update(self, request: Document) -> Document:
        """UpdatePipelineExecution: display name, description, parallelism."""
        execution = self._execution(request["PipelineExecutionArn"])
        changes = {**request, "LastModifiedTime": now()}
        self.store.change(EXECUTION, execution["PipelineExecutionArn"], lambda document: document.update(changes))
        return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}

    def describe(self, request: Document) -> Document:
        """DescribePipelineExecution."""
        execution = self._execution(request["PipelineExecutionArn"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribePipelineExecution"), execution)

    def describe_definition(self, request: Document) -> Document:
        """DescribePipelineDefinitionForExecution: the definition as it was at the start."""
        execution = self._execution(request["PipelineExecutionArn"])
        return {"PipelineDefinition": execution["Definition"], "CreationTime": execution["CreationTime"]}

    def list_executions(self, request: Document) -> Document:
        """ListPipelineExecutions, newest first by default."""
        pipeline = pipeline_of(self.store, request["PipelineName"])
        found = executions_of(self.store, pipeline["PipelineArn"])
        for each in found:
            each["PipelineExecutionFailureReason"] = each.get("FailureReason")
        by = "PipelineExecutionArn" if request.get("SortBy") == "PipelineExecutionArn" else "CreationTime"
        return listing("ListPipelineExecutions", found, request, by=by)

    def list_steps(self, request: Document) -> Document:
        """ListPipelineExecutionSteps: those that have started, newest first by default."""
        execution = self._execution(request["PipelineExecutionArn"])
        started = self.store.all(f"step {execution['PipelineExecutionArn']}")
        return listing("ListPipelineExecutionSteps", started, request, by="StartTime")

    def list_parameters(self, request: Document) -> Document:
        """ListPipelineParametersForExecution: every parameter with this execution's value."""
        execution = self._execution(request["PipelineExecutionArn"])
        listed = [{"Name": name, "Value": as_text(value)} for name, value in execution["Parameters"].items()]
        chosen, more = cut(listed, request)
        return {"PipelineParameters": chosen, **more}

    def _execution(self, execution_arn: str) -> Document:
        execution = self.store.get(EXECUTION, execution_arn)
        if execution is None:
            raise not_found(f"Pipeline execution '{execution_arn}' does not exist.")
        return execution


def _new_execution(pipeline: Document, request: Document, given: list[Document]) -> Document:
    """A new execution's document, with the pipeline's present definition and role. given: its parameters."""
    definition = json.loads(pipeline["PipelineDefinition"])
    parameters = bind(definition, given)
    runnable.require(definition, parameters)
    identifier = "".join(random.choices(string.ascii_lowercase + string.digits, k=12))
    time = now()
    execution = {
        "PipelineArn": pipeline["PipelineArn"],
        "PipelineVersionId": pipeline["PipelineVersionId"],
        "PipelineName": pipeline["PipelineName"],
        "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{identifier}",
        "PipelineExecutionDisplayName": request.get("PipelineExecutionDisplayName", f"execution-{int(time * 1000)}"),
        "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
        "PipelineExecutionStatus": "Executing",
        "ParallelismConfiguration": request.get("ParallelismConfiguration") or pipeline.get("ParallelismConfiguration"),
        "CreationTime": time,
        "LastModifiedTime": time,
        "StartTime": time,
        "Definition": pipeline["PipelineDefinition"],
        "Parameters": parameters,
        "RoleArn": pipeline["RoleArn"],
    }
    if "SelectiveExecutionConfig" in request:
        execution["SelectiveExecutionConfig"] = request["SelectiveExecutionConfig"]
    return execution | _trackers(definition, execution, request)


def _trackers(definition: Document, execution: Document, request: Document) -> Document:
    """PipelineExperimentConfig and MLflowConfig of an execution; no MLflow server runs here."""
    members = {
        "PipelineName": execution["PipelineName"],
        "PipelineArn": execution["PipelineArn"],
        "PipelineExecutionId": execution["PipelineExecutionArn"].rpartition("/")[2],
        "PipelineExecutionArn": execution["PipelineExecutionArn"],
    }
    values = Scope(execution["Parameters"], members, {}, lambda step, file: None)
    experiment = values.resolve(definition.get("PipelineExperimentConfig") or {}, "PipelineExperimentConfig")
    mlflow = values.resolve(definition.get("MlflowConfig") or {}, "MlflowConfig")
    if "MlflowExperimentName" in request:
        mlflow["MlflowExperimentName"] = request["MlflowExperimentName"]
    found = {"PipelineExperimentConfig": experiment, "MLflowConfig": mlflow}
    return {name: value for name, value in found.items() if value}
