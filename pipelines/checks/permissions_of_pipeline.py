"""Permissions that the pipeline's role and the jobs' role need, from the definition: API calls, S3, images and logs.

The definition is built with `${...}` for the stack's values, so that its texts are those of the template. The rules:
https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from localaws.sagemaker import graph
from localaws.sagemaker.expressions import path_segments
from pipelines.checks.asl import Machine
from pipelines.checks.integrations import passed_parameters
from pipelines.checks.permissions import Need, arn, reading, writing
from pipelines.checks.permissions_of_state_machines import GROUP, PACKAGES, addresses
from pipelines.checks.values import is_expression

SETTINGS = {
    "region": "us-east-1",
    "pipeline_name": "${PipelineName}",
    "artifact_bucket": "${ArtifactBucket}",
    "pipeline_role_arn": "${PipelineRole.Arn}",
    "job_role_arn": "arn:aws:iam::111122223333:role/JobRole",
    "model_package_group_name": "${ModelPackageGroupName}",
    "kms_key_arn": "${KmsKeyArn}",
}
# Members of a state machine's input that become a monitoring job's requests, one folder each.
REQUESTS = ("today", "yesterday", "drift")
# A pipeline names its jobs so (the developer guide's page on step properties).
JOBS = {
    "Processing": ("ProcessingJob", arn("sagemaker", "processing-job/pipelines-*")),
    "Training": ("TrainingJob", arn("sagemaker", "training-job/pipelines-*")),
}


def pipeline_role(definition: dict[str, Any]) -> Iterator[Need]:
    """Needs of the pipeline role: start jobs, register models, read the property files of conditions."""
    for step in graph.steps(definition):
        why = f"Steps.{step['Name']}"
        if step["Type"] in JOBS:
            job, resource = JOBS[step["Type"]]
            for action in (f"Create{job}", f"Describe{job}", f"Stop{job}", "AddTags"):
                yield Need(f"sagemaker:{action}", resource, why)
            yield Need("iam:PassRole", "${JobRole.Arn}", f"{why}.Arguments.RoleArn")
        if step["Type"] == "RegisterModel":
            for action, resource in (
                ("CreateModelPackage", GROUP),
                ("CreateModelPackage", PACKAGES),
                ("DescribeModelPackageGroup", GROUP),
                ("DescribeModelPackage", PACKAGES),
                ("AddTags", GROUP),
                ("AddTags", PACKAGES),
            ):
                yield Need(f"sagemaker:{action}", resource, why)
        for each in step.get("PropertyFiles", []):
            found = Addresses(definition, []).of_output(step, each["OutputName"])
            for need in (need for address in found for need in reading(address, f"{why}.PropertyFiles")):
                if need.action != "s3:GetBucketLocation":
                    yield need


def job_role(definition: dict[str, Any], machines: list[Machine]) -> Iterator[Need]:
    """Needs of the job role: read inputs, write outputs. machines: state machines that start the pipeline."""
    addresses = Addresses(definition, machines)
    for step in graph.steps(definition):
        if step["Type"] not in JOBS:
            continue
        why = f"Steps.{step['Name']}"
        for source in _sources(step["Arguments"]):
            for address in addresses.of(source):
                yield from reading(address, why)
        for target in _targets(step["Arguments"]):
            for address in addresses.of(target):
                yield from writing(address, why)
        yield from _container(step, why)
        yield from _encryption(step["Arguments"], why)


def model_role(definition: dict[str, Any]) -> Iterator[Need]:
    """Needs of the endpoint's role: load the artifact, run the container, log, write captured requests.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
    """
    yield from reading("${ArtifactBucket}/releases/", "ModelDataUrl")
    yield from writing("${ArtifactBucket}/captures/", "DataCaptureConfig")
    (register,) = (step for step in graph.steps(definition) if step["Type"] == "RegisterModel")
    (container,) = register["Arguments"]["InferenceSpecification"]["Containers"]
    yield from _run_container(container["Image"], "Endpoints/${EndpointPrefix}-*", "Image")


def scoring_role(definition: dict[str, Any], machine: Machine) -> Iterator[Need]:
    """Needs of the role of the jobs that a state machine runs: read inputs, write outputs, run the container."""
    made = {**addresses(machine), "$states.input.package.model": "${ArtifactBucket}/${PipelineName}/executions/*"}
    (register,) = (step for step in graph.steps(definition) if step["Type"] == "RegisterModel")
    (container,) = register["Arguments"]["InferenceSpecification"]["Containers"]
    for name, state in machine["States"].items():
        request, why = state.get("Arguments", {}), f"States.{name}"
        if "ProcessingJobName" not in request:
            continue
        given = str(request["ProcessingInputs"])
        for address in re.findall(r"'S3Uri': '?([^',]+)", given):
            if address != "$uri":
                yield from reading(made.get(address, address.removeprefix("s3://")), why)
        if "$uri" in given:
            for address in (each for name, each in made.items() if name.split(".")[2] in REQUESTS):
                yield from reading(address, why)
        for expression in re.findall(r"'S3Uri': (\$[\w.]+)", str(request["ProcessingOutputConfig"])):
            yield from writing(made[expression], why)
        yield from _run_container(container["Image"], "ProcessingJobs", why)
        yield from _encryption({"KmsKeyId": "${KmsKeyArn}", "VolumeKmsKeyId": "${KmsKeyArn}"}, why)


def _sources(arguments: Mapping[str, Any]) -> Iterator[Any]:
    yield from (each["S3Input"]["S3Uri"] for each in arguments.get("ProcessingInputs", []))
    yield from (each["DataSource"]["S3DataSource"]["S3Uri"] for each in arguments.get("InputDataConfig", []))


def _targets(arguments: Mapping[str, Any]) -> Iterator[Any]:
    yield from (each["S3Output"]["S3Uri"] for each in arguments.get("ProcessingOutputConfig", {}).get("Outputs", []))
    if "OutputDataConfig" in arguments:
        yield arguments["OutputDataConfig"]["S3OutputPath"]


def _container(step: graph.Step, why: str) -> Iterator[Need]:
    yield from _run_container(_image(step["Arguments"]), f"{step['Type']}Jobs", why)


def _run_container(image: str, log_group: str, why: str) -> Iterator[Need]:
    """Needs of a container: pull the image, write metrics and a log. log_group: below /aws/sagemaker/."""
    account, repository = image.split(".")[0], image.partition("/")[2].split(":")[0]
    for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        resource = f"arn:${{AWS::Partition}}:ecr:${{AWS::Region}}:{account}:repository/{repository}"
        yield Need(f"ecr:{action}", resource, why)
    yield Need("ecr:GetAuthorizationToken", "*", why)
    yield Need("cloudwatch:PutMetricData", "*", why)
    group = arn("logs", f"log-group:/aws/sagemaker/{log_group}")
    for action in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"):
        yield Need(f"logs:{action}", f"{group}:log-stream:*", why)


def _encryption(arguments: Mapping[str, Any], why: str) -> Iterator[Need]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/api-permissions-reference.html"""
    text = json.dumps(arguments)
    for member, action in (("KmsKeyId", "kms:Encrypt"), ("VolumeKmsKeyId", "kms:CreateGrant")):
        for key in re.findall(rf'"{member}": "([^"]+)"', text):
            yield Need(action, key, f"{why}.{member}")


def _image(arguments: Mapping[str, Any]) -> str:
    processing, training = arguments.get("AppSpecification", {}), arguments.get("AlgorithmSpecification", {})
    return str(processing.get("ImageUri") or training["TrainingImage"])


class Addresses:
    """Resolves values of a definition to S3 addresses (`bucket/prefix`, `*` for what is known only at run time)."""

    def __init__(self, definition: dict[str, Any], machines: list[Machine]) -> None:
        self.steps = {step["Name"]: step for step in graph.steps(definition)}
        self.parameters = {
            each["Name"]: {str(each["DefaultValue"])} if "DefaultValue" in each else set()
            for each in definition["Parameters"]
        }
        for machine in machines:
            for name, address in _handed_over(machine):
                self.parameters.setdefault(name, set()).add(address)

    def of(self, value: Any) -> set[str]:
        """S3 addresses of a value, without `s3://`; other values are left out."""
        return {text.removeprefix("s3://") for text in self._texts(value) if text.startswith("s3://")}

    def of_output(self, step: graph.Step, output: str) -> set[str]:
        """The S3 addresses of a step's output."""
        listed = step["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        found = [each["S3Output"]["S3Uri"] for each in listed if each["OutputName"] == output]
        return {address for value in found for address in self.of(value)}

    def _texts(self, value: Any) -> set[str]:
        if not is_expression(value):
            return {str(value)}
        if "Std:Join" in value:
            found = {""}
            for index, part in enumerate(value["Std:Join"]["Values"]):
                between = value["Std:Join"].get("On", "") if index else ""
                found = {f"{before}{between}{text}" for before in found for text in self._texts(part)}
            return found
        if "Get" not in value:
            return set()
        root, name, *rest = path_segments(value["Get"])
        if root == "Parameters":
            return self.parameters.get(str(name), set())
        if root == "Execution":
            return {"*"}
        return self._made(self.steps[str(name)], rest)

    def _made(self, step: graph.Step, rest: list[str | int]) -> set[str]:
        if rest[0] == "ModelArtifacts":
            return {f"{text}/*" for text in self._texts(step["Arguments"]["OutputDataConfig"]["S3OutputPath"])}
        return {f"s3://{address}" for address in self.of_output(step, str(rest[2]))}


def _handed_over(machine: Machine) -> Iterator[tuple[str, str]]:
    """(parameter, address) of the S3 addresses with which a state machine starts the pipeline."""
    made = addresses(machine)
    for state in machine["States"].values():
        for parameter, expression in passed_parameters(state).items():
            if expression in made:
                yield parameter, f"s3://{made[expression]}"
