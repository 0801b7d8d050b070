"""An environment's deployment with model packages of a test's making, and a copy of its state machine that stops."""

import copy
import hashlib
import io
import json
import tarfile
import uuid
from typing import Any

from benchmarks.support.accounts import Account
from benchmarks.support.definitions import IMAGE, until
from pipelines.account.clients import Clients

# Answers with its version and the sum that it was made with; `broken` models do not load.
CODE = """
import csv, json, os

def model_fn(folder):
    {load}

def transform_fn(model, body, content_type, accept):
    instances = csv.DictReader(body.splitlines()) if content_type == "text/csv" else json.loads(body)["instances"]
    predictions = [{{"ibu": {ibu} + float(each["abv"])}} for each in instances]
    return json.dumps({{"predictions": predictions, "model_version": int(os.environ["MODEL_VERSION"])}}), accept
"""
SMOKE = {
    "request": {"instances": [{"abv": 5.0}, {"abv": 7.0}]},
    "predictions": [{"ibu": 45.0}, {"ibu": 47.0}],
    "tolerance": {"relative": 0.001, "absolute": 0.1},
}


class Deployment:
    """An environment's deployment with model packages of the test's making."""

    def __init__(self, clients: Clients, **parameters: str) -> None:
        self.clients = clients
        self.account = Account(clients)
        self.name = f"serve-{self.account.name}"
        values = {"EndpointPrefix": self.name, "ModelPackageGroupName": self.account.pipeline, **parameters}
        self.account.stacks.environment.parameters["deployment"].update(values)
        self.account.stacks.deploy_one("deployment")
        self.machine = self.account.stacks.output("deployment", "DeployStateMachineArn")
        self.endpoint = self.account.stacks.output("deployment", "EndpointName")
        self.bucket = self.account.stacks.output("artifacts", "ArtifactBucket")
        self.events = True
        self._details: dict[str, dict[str, Any]] = {}

    def register(self, *, ibu: int = 40, load: str = "return None", smoke: Any = SMOKE) -> str:
        """Register a pending package and wait for what its event starts; returns its ARN.

        smoke: the expected answers, or None for no file.
        """
        home = f"{self.account.pipeline}/executions/{uuid.uuid4().hex}"
        code = CODE.format(ibu=ibu, load=load).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            entry = tarfile.TarInfo("code/inference.py")
            entry.size = len(code)
            tar.addfile(entry, io.BytesIO(code))
        self.clients.s3.put_object(Bucket=self.bucket, Key=f"{home}/model.tar.gz", Body=packed.getvalue())
        for name in ("evaluation.json", "report.html"):
            self.clients.s3.put_object(Bucket=self.bucket, Key=f"{home}/{name}", Body=name.encode())
        if smoke is not None:
            self.clients.s3.put_object(Bucket=self.bucket, Key=f"{home}/smoke-test.json", Body=json.dumps(smoke))
        container = {
            "Image": IMAGE,
            "ModelDataUrl": f"s3://{self.bucket}/{home}/model.tar.gz",
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            },
        }
        evaluation = f"s3://{self.bucket}/{home}/evaluation.json"
        package = str(
            self.clients.sagemaker.create_model_package(
                ModelPackageGroupName=self.account.pipeline,
                ModelApprovalStatus="PendingManualApproval",
                CustomerMetadataProperties={
                    "Evaluation": evaluation,
                    "ArtifactSha256": hashlib.sha256(packed.getvalue()).hexdigest(),
                },
                ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": evaluation}}},
                InferenceSpecification={
                    "Containers": [container],
                    "SupportedContentTypes": ["application/json"],
                    "SupportedResponseMIMETypes": ["application/json"],
                },
            )["ModelPackageArn"]
        )
        if self.events:
            self.result(until(lambda: self.started_by(package, approval=False)))
        return package

    def version(self, package: str) -> int:
        """The version of a package."""
        return int(package.rpartition("/")[2])

    def decide(self, package: str, status: str, note: str = "") -> None:
        """Approve or reject a package, which puts an event."""
        self.clients.sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription=note
        )

    def approve(self, package: str) -> dict[str, Any]:
        """Approve a package; the result of the deployment that its event has started."""
        return self.decided(package, "Approved")

    def reject(self, package: str) -> dict[str, Any]:
        """Reject a package; the result of the deployment that its event has started."""
        return self.decided(package, "Rejected")

    def decided(self, package: str, status: str, note: str = "") -> dict[str, Any]:
        """Decide; the result of the deployment that the event has started."""
        before = self.started_by(package)
        self.decide(package, status, note)
        return self.result(until(lambda: self.started_by(package).removeprefix(before)))

    def started_by(self, package: str, *, approval: bool = True) -> str:
        """The ARN of the newest execution that a decision on a package, or its registration, has started, or ""."""
        for each in self.executions():
            arn = str(each["executionArn"])
            detail = self._detail(arn)
            fields = detail.get("UpdatedModelPackageFields", ["registered"])
            wanted = "ModelApprovalStatus" if approval else "registered"
            if detail.get("ModelPackageArn") == package and wanted in fields:
                return arn
        return ""

    def _detail(self, execution: str) -> dict[str, Any]:
        """The detail of the event that has started an execution, or {}."""
        if execution not in self._details:
            given = self.clients.stepfunctions.describe_execution(executionArn=execution)["input"]
            self._details[execution] = json.loads(given).get("detail", {})
        return self._details[execution]

    def result(self, execution: str) -> dict[str, Any]:
        """Output, or error and cause, of an execution that has ended."""
        return self.account.result(execution)[1]

    def executions(self) -> list[Any]:
        """The state machine's executions, the newest first."""
        return list(self.clients.stepfunctions.list_executions(stateMachineArn=self.machine)["executions"])

    def quiet(self) -> None:
        """Wait until no execution runs."""
        until(lambda: all(each["status"] != "RUNNING" for each in self.executions()))

    def clear(self) -> None:
        """Reject what is approved and wait until nothing serves."""
        listed = self.clients.sagemaker.list_model_packages(
            ModelPackageGroupName=self.account.pipeline, ModelApprovalStatus="Approved", MaxResults=100
        )
        for each in listed["ModelPackageSummaryList"]:
            self.decide(each["ModelPackageArn"], "Rejected")
        until(lambda: self.endpoints() == [])
        self.quiet()

    def event(self, package: str, identifier: str = "") -> str:
        """The event of a decision on a package, as an execution's input."""
        detail = {"ModelPackageArn": package, "UpdatedModelPackageFields": ["ModelApprovalStatus"]}
        return json.dumps({"id": identifier or uuid.uuid4().hex, "detail": detail})

    def start(self, machine: str, event: str) -> str:
        """Start an execution; returns its ARN."""
        started = self.clients.stepfunctions.start_execution(stateMachineArn=machine, input=event)
        return str(started["executionArn"])

    def run(self, event: str) -> dict[str, Any]:
        """Run the state machine with an event; its result."""
        return self.result(self.start(self.machine, event))

    def use(self, clients: Clients) -> None:
        """Go on at an endpoint that was started again."""
        self.clients = self.account.clients = self.account.stacks.clients = clients

    def without_events(self) -> None:
        """Decisions start nothing from now on."""
        self.events = False
        self.clients.events.disable_rule(Name=self._rule())

    def with_events(self) -> None:
        """Decisions start the state machine again."""
        self.events = True
        self.clients.events.enable_rule(Name=self._rule())

    def _rule(self) -> str:
        stack = self.account.stacks.environment.stack("deployment")
        rule = self.clients.cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId="ApprovalChanged")
        return str(rule["StackResourceDetail"]["PhysicalResourceId"])

    def answer(self) -> dict[str, Any]:
        """What the endpoint answers for one beer."""
        body = json.dumps({"instances": [{"abv": 5.0}]})
        answered = self.clients["sagemaker-runtime"].invoke_endpoint(
            EndpointName=self.endpoint, ContentType="application/json", Accept="application/json", Body=body
        )
        found: dict[str, Any] = json.loads(answered["Body"].read())
        return found

    def configuration(self) -> tuple[str, str]:
        """(status, configuration) of the endpoint."""
        described = self.clients.sagemaker.describe_endpoint(EndpointName=self.endpoint)
        return described["EndpointStatus"], described["EndpointConfigName"]

    def metadata(self, package: str) -> dict[str, str]:
        """DeploymentStatus and DeploymentReason of a package."""
        found = self.clients.sagemaker.describe_model_package(ModelPackageName=package)["CustomerMetadataProperties"]
        return {name: found.get(name, "") for name in ("DeploymentStatus", "DeploymentReason")}

    def endpoints(self) -> list[str]:
        """The endpoints of the environment."""
        listed = self.clients.sagemaker.list_endpoints(NameContains=self.name)["Endpoints"]
        return [each["EndpointName"] for each in listed]

    def config(self, version: int) -> str:
        """The name of a version's endpoint configuration, with the parameters of the newest one."""
        return f"{self.endpoint}-v{version}-{self.configuration()[1].rpartition('-')[2]}"

    def configs(self) -> list[str]:
        """The endpoint configurations of the environment, sorted."""
        listed = self.clients.sagemaker.list_endpoint_configs(NameContains=self.name)["EndpointConfigs"]
        return sorted(each["EndpointConfigName"] for each in listed)


class Paused:
    """An execution of a copy of the state machine, which waits before a state until `resume`.

    Executions of the copy do not see those of the original: their turns do not exclude each other, as where
    ListExecutions lags behind.
    """

    def __init__(self, deployment: Deployment, state: str, event: str) -> None:
        self.deployment = deployment
        self._key = f"resume/{uuid.uuid4().hex}"
        described = deployment.clients.stepfunctions.describe_state_machine(stateMachineArn=deployment.machine)
        definition = with_barrier(json.loads(described["definition"]), state, deployment.bucket, self._key)
        machine = deployment.clients.stepfunctions.create_state_machine(
            name=f"paused-{uuid.uuid4().hex[:12]}", definition=json.dumps(definition), roleArn=described["roleArn"]
        )
        self.execution = deployment.start(machine["stateMachineArn"], event)

    def wait(self) -> bool:
        """Wait until the state is next, which is true, or the execution has ended without it."""
        api = self.deployment.clients.stepfunctions

        def found() -> str:
            pages = api.get_paginator("get_execution_history").paginate(executionArn=self.execution)
            entered = [
                each.get("stateEnteredEventDetails", {}).get("name") for page in pages for each in page["events"]
            ]
            status = api.describe_execution(executionArn=self.execution)["status"]
            return "paused" if "Barrier" in entered else status.replace("RUNNING", "")

        return bool(until(found) == "paused")

    def resume(self) -> dict[str, Any]:
        """Let the execution go on; its result."""
        self.deployment.clients.s3.put_object(Bucket=self.deployment.bucket, Key=self._key, Body=b"go")
        return self.deployment.result(self.execution)


def with_barrier(definition: dict[str, Any], state: str, bucket: str, key: str) -> dict[str, Any]:
    """A definition that waits for an object before it enters a state."""
    changed: dict[str, Any] = copy.deepcopy(definition)

    def redirect(value: Any) -> None:
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            if name in ("Next", "Default") and each == state:
                value[name] = "Barrier"
            elif isinstance(each, dict | list):
                redirect(each)

    redirect(changed["States"])
    changed["States"]["Barrier"] = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
        "QueryLanguage": "JSONata",
        "Arguments": {"Bucket": bucket, "Key": key},
        "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 9999, "BackoffRate": 1}],
        "Output": "{% $states.input %}",
        "Next": state,
    }
    return changed
