"""The endpoint that the state machine `deploy` maintains: what serves, and following a deployment."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from localaws.errors import CONFLICT, NOT_FOUND, RUN_FAILED, ExpectedError
from pipelines.account.clients import aws_errors
from pipelines.account.model_packages import APPROVED, Registry, deployment, has_failed
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

POLL_SECONDS = 0.5
# EventBridge delivers within seconds; the state machine then has to wait for its turn and for the endpoint.
START_SECONDS = 120
NONE = "none"
CONFIGURATION = re.compile(r"-v(\d+)-[0-9a-f]{6}$")


class Deployment(NamedTuple):
    """How an execution of `deploy` ended. decision: deployed, unchanged or none."""

    decision: str
    version: int | None
    reason: str


class Serving:
    """The endpoint of an environment."""

    def __init__(self, stacks: Stacks) -> None:
        self.stacks = stacks
        self.clients = stacks.clients
        self.registry = Registry(stacks.clients, stacks.output("pipelines", "ModelPackageGroupName"))

    def kind(self) -> str:
        """`serverless`, `instance`, or `none` where the environment serves nothing."""
        return self.stacks.output("deployment", "Serving") if self.stacks.exists("deployment") else NONE

    def endpoint(self) -> str:
        """The endpoint's name; raises ExpectedError where the environment serves nothing."""
        if self.kind() == NONE:
            raise ExpectedError(
                "this environment serves no model",
                where=f"the parameter Serving of {self.stacks.environment.stack('deployment')}",
                hint=self.stacks.deploy_command(),
                code=NOT_FOUND,
            )
        return self.stacks.output("deployment", "EndpointName")

    def describe(self) -> Document | None:
        """DescribeEndpoint; None while there is no endpoint."""
        import botocore.exceptions

        if self.kind() == NONE:
            return None
        name = self.endpoint()
        with aws_errors(f"reading the endpoint {name}"):
            try:
                found: Document = self.clients.sagemaker.describe_endpoint(EndpointName=name)
            except botocore.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "ValidationException":
                    raise
                return None
        return found

    def version(self, described: Document | None) -> int | None:
        """The version that serves: configurations are named `<endpoint>-v<version>-<digest of the parameters>`."""
        found = CONFIGURATION.search(str((described or {}).get("EndpointConfigName", "")))
        return int(found[1]) if found else None

    def status(self) -> Document:
        """What serves: endpoint, kind, status, version, since, healthy, and a canary under way."""
        described, kind = self.describe(), self.kind()
        version = self.version(described)
        alarms = self.alarms() if described else []
        # Drift is in the data, not in what serves.
        faults = [each for each in alarms if each != self.stacks.outputs("deployment").get("DriftAlarm")]
        outcome = self._deployment(version)
        pending = (described or {}).get("PendingDeploymentSummary")
        changed = (described or {}).get("LastModifiedTime")
        return {
            "endpoint": described["EndpointName"] if described else None,
            "serving": kind,
            "status": described["EndpointStatus"] if described else None,
            "version": version,
            "since": outcome.get("time") or (changed and changed.isoformat(timespec="seconds")),
            "healthy": bool(described) and (described or {})["EndpointStatus"] == "InService" and not faults,
            "alarms": alarms,
            "canary": pending["EndpointConfigName"] if pending else None,
            "failure": (described or {}).get("FailureReason"),
            "deployment": outcome,
        }

    def _deployment(self, version: int | None) -> Document:
        """What `deploy` has written into a version's package; {} where that was deleted while it serves."""
        for each in self.registry.summaries():
            if each["ModelPackageVersion"] == version:
                return deployment(self.registry.describe(each["ModelPackageArn"]))
        return {}

    def alarms(self) -> list[str]:
        """The deployment stack's alarms that are in state ALARM."""
        prefix = self.stacks.environment.stack("deployment")
        with aws_errors("reading the alarms"):
            pages = self.clients.cloudwatch.get_paginator("describe_alarms").paginate(
                AlarmNamePrefix=prefix, StateValue="ALARM"
            )
            return [each["AlarmName"] for page in pages for each in page["MetricAlarms"]]

    def rollback_target(self) -> tuple[int, int]:
        """(version that serves, newest other approved version); raises ExpectedError when there is no such pair."""
        serving = self.version(self.describe())
        if serving is None:
            raise ExpectedError(
                "no model serves",
                where=f"model package group {self.registry.group}",
                hint=self.clients.command("registry", "list"),
                code=NOT_FOUND,
            )
        target = self.fallback(serving)
        if target is None:
            raise ExpectedError(
                f"there is no other approved version than {serving}, which serves, or its deployment has failed",
                where=f"model package group {self.registry.group}",
                hint=self.clients.command("registry", "list"),
                code=CONFLICT,
            )
        return serving, target

    def fallback(self, version: int) -> int | None:
        """The newest other approved version whose deployment has not failed: `deploy` brings it back."""
        others = [
            each
            for each in reversed(self.registry.summaries())
            if each["ModelApprovalStatus"] == APPROVED and each["ModelPackageVersion"] != version
        ]
        usable = (each for each in others if not has_failed(self.registry.describe(each["ModelPackageArn"])))
        return next((int(each["ModelPackageVersion"]) for each in usable), None)

    def start(self, package_arn: str | None = None) -> None:
        """Start `deploy`, which updates the endpoint where the stack's parameters are not those it serves with.

        package_arn: an approved package, deployed although its deployment has failed before.
        """
        machine = self.stacks.output("deployment", "DeployStateMachineArn")
        event = {"detail": {"ModelPackageArn": package_arn, "UpdatedModelPackageFields": ["ModelApprovalStatus"]}}
        with aws_errors("starting deploy"):
            self.clients.stepfunctions.start_execution(
                stateMachineArn=machine, input=json.dumps(event if package_arn else {})
            )

    def executions(self) -> set[str]:
        """ARNs of the executions of `deploy`; none where the environment serves nothing."""
        if self.kind() == NONE:
            return set()
        machine = self.stacks.output("deployment", "DeployStateMachineArn")
        with aws_errors("listing the executions of deploy"):
            pages = self.clients.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine)
            return {each["executionArn"] for page in pages for each in page["executions"]}

    def wait_for_deployment(self, earlier: set[str], package_arn: str, show: Callable[[str], None]) -> Deployment:
        """Wait for the execution of `deploy` that the approval of a package starts, and for its end.

        earlier: the executions before the decision. Raises ExpectedError when the deployment fails, or none begins.
        """
        deadline = time.monotonic() + START_SECONDS
        found: str | None = None
        while found is None:
            found = next(self._started_by(self.executions() - earlier, package_arn), None)
            if found is None and time.monotonic() > deadline:
                raise ExpectedError(
                    f"no deployment has begun within {START_SECONDS} s",
                    where=self.stacks.output("deployment", "DeployStateMachineArn"),
                    hint=self.clients.command("registry", "status"),
                    code=RUN_FAILED,
                )
            time.sleep(POLL_SECONDS)
        return self._ended(found, show)

    def _started_by(self, executions: set[str], package_arn: str) -> Iterator[str]:
        """Those executions whose event is the approval of the package."""
        for arn in executions:
            with aws_errors(f"reading {arn}"):
                described = self.clients.stepfunctions.describe_execution(executionArn=arn)
            detail = json.loads(described.get("input", "{}")).get("detail", {})
            fields = detail.get("UpdatedModelPackageFields", ["ModelApprovalStatus"])
            if detail.get("ModelPackageArn") == package_arn and "ModelApprovalStatus" in fields:
                yield arn

    def _ended(self, execution: str, show: Callable[[str], None]) -> Deployment:
        while True:
            with aws_errors(f"reading {execution}"):
                described = self.clients.stepfunctions.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING":
                break
            endpoint = self.describe()
            show(f"{endpoint['EndpointName']} {endpoint['EndpointStatus']}" if endpoint else "preparing the model")
            time.sleep(POLL_SECONDS)
        if described["status"] != "SUCCEEDED":
            raise ExpectedError(
                f"the deployment failed: {described.get('cause') or described.get('error') or described['status']}",
                where=execution,
                hint=self.clients.command("registry", "status"),
                code=RUN_FAILED,
            )
        output = json.loads(described["output"])
        version = output.get("version")
        return Deployment(
            str(output.get("decision", "unchanged")),
            int(version) if version is not None else None,
            str(output.get("reason", "")),
        )
