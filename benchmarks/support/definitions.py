"""Small pipeline definitions, whose scripts are a few lines put in S3, and running them at a local endpoint."""

import hashlib
import io
import json
import tarfile
import textwrap
import time
import uuid
from collections.abc import Callable
from typing import Any

from pipelines.account.clients import Clients
from pipelines.account.executions import UNFINISHED
from pipelines.cli.output import Document

ROLE = "arn:aws:iam::000000000000:role/tests"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
INSTANCE = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
DEADLINE_SECONDS = 60
# A script that writes its argument to the output `out`.
WRITE = "import sys; (OUTPUT / 'out' / 'text').write_text(sys.argv[1])"
# Without a namespace /opt/ml is another folder: a script takes its paths from its environment.
PATHS = "import os, pathlib; INPUT, OUTPUT = (pathlib.Path(os.environ[name]) for name in ('INPUT', 'OUTPUT'))\n"


class Project:
    """A bucket, a model package group and a pipeline of one test's own."""

    def __init__(self, clients: Clients, name: str = "") -> None:
        self.clients = clients
        self.name = name or f"test-{uuid.uuid4().hex[:12]}"
        clients.s3.create_bucket(Bucket=self.name)

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, content: str | bytes) -> str:
        """An object in the bucket; returns its address."""
        self.clients.s3.put_object(Bucket=self.name, Key=key, Body=content)
        return self.uri(key)

    def get(self, key: str) -> bytes:
        content: bytes = self.clients.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def processing(
        self,
        name: str,
        script: str = "",
        *,
        inputs: dict[str, Any] | None = None,
        outputs: tuple[str, ...] = (),
        arguments: tuple[Any, ...] = (),
        seconds: int = 20,
        environment: dict[str, str] | None = None,
        **members: Any,
    ) -> Document:
        """A processing step. Its script finds its inputs in INPUT/<name> and puts its outputs into OUTPUT/<name>."""
        code = PATHS + textwrap.dedent(script)
        key = f"code/{hashlib.sha256(code.encode()).hexdigest()[:16]}"
        self.put(f"{key}/step.py", code)
        home = "/opt/ml/processing"
        sources = {"code": self.uri(key + "/"), **(inputs or {})}
        prefix = {"Std:Join": {"On": "/", "Values": [self.uri("out"), {"Get": "Execution.PipelineExecutionId"}, name]}}
        where = {each: {"Std:Join": {"On": "/", "Values": [prefix, each]}} for each in outputs}
        request: Document = {
            "ProcessingResources": {"ClusterConfig": INSTANCE},
            "RoleArn": ROLE,
            "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
            "AppSpecification": {
                "ImageUri": IMAGE,
                "ContainerEntrypoint": ["python3", f"{home}/input/code/step.py"],
            },
            "ProcessingInputs": [
                {"InputName": each, "S3Input": _s3(uri, f"{home}/input/{each}", "S3InputMode", "File")}
                for each, uri in sources.items()
            ],
        }
        if arguments:
            request["AppSpecification"]["ContainerArguments"] = list(arguments)
        if outputs:
            made = [
                {"OutputName": each, "S3Output": _s3(uri, f"{home}/output/{each}", "S3UploadMode", "EndOfJob")}
                for each, uri in where.items()
            ]
            request["ProcessingOutputConfig"] = {"Outputs": made}
        request["Environment"] = {"INPUT": f"{home}/input", "OUTPUT": f"{home}/output", **(environment or {})}
        return {"Name": name, "Type": "Processing", "Arguments": request, **members}

    def training(
        self, name: str, script: str, *, channels: dict[str, Any] | None = None, seconds: int = 20, **members: Any
    ) -> Document:
        """A training step in script mode. hyperparameters: a member."""
        code = textwrap.dedent(script)
        key = f"code/{hashlib.sha256(code.encode()).hexdigest()[:16]}/source.tar.gz"
        source = self.put(key, packed({"train.py": code}))
        given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": source}
        request: Document = {
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "ResourceConfig": INSTANCE,
            "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
            "OutputDataConfig": {"S3OutputPath": self.uri("models")},
            "HyperParameters": {**given, **members.pop("hyperparameters", {})},
        }
        if channels:
            sources = {each: {"S3DataType": "S3Prefix", "S3Uri": uri} for each, uri in channels.items()}
            request["InputDataConfig"] = [
                {"ChannelName": each, "DataSource": {"S3DataSource": source}} for each, source in sources.items()
            ]
        return {"Name": name, "Type": "Training", "Arguments": request, **members}

    def register(self, name: str, model: Any, **members: Any) -> Document:
        """A step that registers a model in the project's group, which is made when it is missing."""
        pages = self.clients.sagemaker.get_paginator("list_model_package_groups").paginate(NameContains=self.name)
        if not any(page["ModelPackageGroupSummaryList"] for page in pages):
            self.clients.sagemaker.create_model_package_group(ModelPackageGroupName=self.name)
        specification = {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": model}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        request = {"ModelPackageGroupName": self.name, "InferenceSpecification": specification}
        return {"Name": name, "Type": "RegisterModel", "Arguments": request, **members}

    def packages(self) -> list[Document]:
        """The project's model packages."""
        listed = self.clients.sagemaker.list_model_packages(ModelPackageGroupName=self.name)
        return list(listed["ModelPackageSummaryList"])

    def upsert(self, steps: list[Document], parameters: tuple[Document, ...] = (), **members: Any) -> None:
        """Create or update the pipeline."""
        text = definition(steps, parameters)
        api = self.clients.sagemaker
        try:
            api.create_pipeline(PipelineName=self.name, PipelineDefinition=text, RoleArn=ROLE, **members)
        except api.exceptions.ClientError as error:
            if "already exists" not in str(error):
                raise
            api.update_pipeline(PipelineName=self.name, PipelineDefinition=text, **members)

    def start(self, given: dict[str, str] | None = None, **members: Any) -> "Execution":
        """Start the pipeline as it is."""
        parameters = [{"Name": name, "Value": value} for name, value in (given or {}).items()]
        answer = self.clients.sagemaker.start_pipeline_execution(
            PipelineName=self.name, PipelineParameters=parameters, **members
        )
        return Execution(self.clients, answer["PipelineExecutionArn"])

    def run(self, *steps: Document, parameters: tuple[Document, ...] = (), **given: str) -> "Execution":
        """Upsert the steps, start them, wait for the end."""
        self.upsert(list(steps), parameters)
        return self.start(given).wait()


class Execution:
    """A pipeline execution, by its ARN."""

    def __init__(self, clients: Clients, arn: str) -> None:
        self.api = clients.sagemaker
        self.arn = arn

    def describe(self) -> Document:
        return dict(self.api.describe_pipeline_execution(PipelineExecutionArn=self.arn))

    @property
    def status(self) -> str:
        return str(self.describe()["PipelineExecutionStatus"])

    def wait(self) -> "Execution":
        """Wait for the execution's end."""
        until(lambda: self.status not in UNFINISHED, self.arn)
        return self

    def steps(self) -> dict[str, Document]:
        """Step name -> the step as ListPipelineExecutionSteps returns it."""
        pages = self.api.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=self.arn, SortOrder="Ascending"
        )
        return {step["StepName"]: step for page in pages for step in page["PipelineExecutionSteps"]}

    def statuses(self) -> dict[str, str]:
        return {name: step["StepStatus"] for name, step in self.steps().items()}

    def reason(self, step: str) -> str:
        return str(self.steps()[step].get("FailureReason"))

    def stop(self) -> None:
        self.api.stop_pipeline_execution(PipelineExecutionArn=self.arn)

    def retry(self) -> "Execution":
        self.api.retry_pipeline_execution(PipelineExecutionArn=self.arn)
        return self


def packed(files: dict[str, str]) -> bytes:
    """A tar.gz of texts by path."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


def until(holds: Callable[[], Any], what: str = "what was waited for", *, longest: float = 0.1) -> Any:
    """Poll until `holds` returns something true, and return it; raises AssertionError after DEADLINE_SECONDS.

    The pauses grow with the time that has passed, to `longest` seconds: each poll takes time from what is waited for.
    """
    began = time.monotonic()
    while (passed := time.monotonic() - began) < DEADLINE_SECONDS:
        found = holds()
        if found:
            return found
        time.sleep(min(max(passed / 10, 0.02), longest))
    raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}")


def definition(steps: list[Document], parameters: tuple[Document, ...] = ()) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": list(parameters), "Steps": steps})


def parameter(name: str, kind: str, default: Any = None, **members: Any) -> Document:
    declared = {"Name": name, "Type": kind, **members}
    return declared if default is None else {**declared, "DefaultValue": default}


def condition(name: str, *conditions: Document, then: tuple[Document, ...] = (), other: Any = ()) -> Document:
    arguments = {"Conditions": list(conditions), "IfSteps": list(then), "ElseSteps": list(other)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def compare(kind: str, left: Any, right: Any) -> Document:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def fail(name: str, message: Any) -> Document:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def json_get(step: str, file: str, path: str) -> Document:
    return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{step}.PropertyFiles.{file}"}, "Path": path}}


def output(step: str, name: str) -> Document:
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri"}


def _s3(uri: Any, path: str, mode: str, value: str) -> Document:
    place = {"S3Uri": uri, "LocalPath": path, mode: value}
    return {**place, "S3DataType": "S3Prefix"} if mode == "S3InputMode" else place
