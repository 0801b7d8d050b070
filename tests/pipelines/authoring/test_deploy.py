"""The state machine deploy, deployed from the templates and run at the local endpoint through its branches."""

import hashlib
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks.support.accounts import DEADLINE_SECONDS, Account
from benchmarks.support.definitions import IMAGE
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients

OTHER_ROLE = "arn:aws:iam::000000000000:role/tests"
# Answers with its version and the sum that it was made with; `broken` models do not load.
CODE = """
import json, os

def model_fn(folder):
    {load}

def transform_fn(model, body, content_type, accept):
    instances = json.loads(body)["instances"]
    predictions = [{{"ibu": {ibu} + each["abv"]}} for each in instances]
    return json.dumps({{"predictions": predictions, "model_version": int(os.environ["MODEL_VERSION"])}}), accept
"""
SMOKE = {
    "request": {"instances": [{"abv": 5.0}, {"abv": 7.0}]},
    "predictions": [{"ibu": 45.0}, {"ibu": 47.0}],
    "tolerance": {"relative": 0.001, "absolute": 0.1},
}


class Served:
    """An environment's deployment with model packages of the test's making."""

    def __init__(self, clients: Clients, account: Account | None = None, **parameters: str) -> None:
        """account: an environment that other tests have used before: this one has names of its own in it."""
        self.clients = clients
        self.account = account or Account(clients)
        self.name = f"serve-{uuid.uuid4().hex[:8]}"
        self.group = self.name
        clients.sagemaker.create_model_package_group(ModelPackageGroupName=self.group)
        values = {"EndpointPrefix": self.name, "ModelPackageGroupName": self.group, **parameters}
        self.account.stacks.environment.parameters["deployment"].update(values)
        self.account.stacks.deploy_one("deployment")
        self.account.stacks._outputs.pop("deployment", None)
        self.machine = self.account.stacks.output("deployment", "DeployStateMachineArn")
        self.endpoint = self.account.stacks.output("deployment", "EndpointName")
        self.bucket = self.account.stacks.output("artifacts", "ArtifactBucket")
        self._earlier: set[str] = set()
        self._earlier = {each["executionArn"] for each in self.executions()}

    def register(self, *, ibu: int = 40, load: str = "return None", smoke: Any = SMOKE) -> str:
        """Register a pending package; returns its ARN. smoke: the expected answers, or None for no file."""
        home = f"{self.account.pipeline}/executions/{uuid.uuid4().hex}"
        code = CODE.format(ibu=ibu, load=load).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            entry = tarfile.TarInfo("code/inference.py")
            entry.size = len(code)
            tar.addfile(entry, io.BytesIO(code))
        self.clients.s3.put_object(Bucket=self.bucket, Key=f"{home}/model.tar.gz", Body=packed.getvalue())
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
        return str(
            self.clients.sagemaker.create_model_package(
                ModelPackageGroupName=self.group,
                ModelApprovalStatus="PendingManualApproval",
                CustomerMetadataProperties={
                    "Evaluation": f"s3://{self.bucket}/{home}/evaluation.json",
                    "ArtifactSha256": hashlib.sha256(packed.getvalue()).hexdigest(),
                },
                InferenceSpecification={
                    "Containers": [container],
                    "SupportedContentTypes": ["application/json"],
                    "SupportedResponseMIMETypes": ["application/json"],
                },
            )["ModelPackageArn"]
        )

    def decide(self, package: str, status: str) -> None:
        """Approve or reject a package, which puts an event."""
        self.clients.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus=status)

    def approve(self, package: str) -> dict[str, Any]:
        """Approve a package; the result of the deployment that its event has started."""
        before = {each["executionArn"] for each in self.executions()}
        self.decide(package, "Approved")
        return self.settled(before)

    def reject(self, package: str) -> dict[str, Any]:
        """Reject a package; the result of the deployment that its event has started."""
        before = {each["executionArn"] for each in self.executions()}
        self.decide(package, "Rejected")
        return self.settled(before)

    def settled(self, before: set[str]) -> dict[str, Any]:
        """The result of the first execution that began after `before`, when it has ended."""
        new = wait_for(lambda: [each for each in self.executions() if each["executionArn"] not in before])
        return self.result(new[-1]["executionArn"])

    def result(self, execution: str) -> dict[str, Any]:
        """Output, or error and cause, of an execution that has ended."""
        return self.account.result(execution)[1]

    def executions(self) -> list[Any]:
        """The state machine's executions since the test began, the newest first."""
        listed = self.clients.stepfunctions.list_executions(stateMachineArn=self.machine)["executions"]
        return [each for each in listed if each["executionArn"] not in self._earlier]

    def quiet(self) -> None:
        """Wait until no execution runs."""
        wait_for(lambda: all(each["status"] != "RUNNING" for each in self.executions()))

    def answer(self) -> dict[str, Any]:
        """What the endpoint answers for one beer."""
        body = json.dumps({"instances": [{"abv": 5.0}]})
        answered = self.clients["sagemaker-runtime"].invoke_endpoint(
            EndpointName=self.endpoint, ContentType="application/json", Accept="application/json", Body=body
        )
        found: dict[str, Any] = json.loads(answered["Body"].read())
        return found

    def metadata(self, package: str) -> dict[str, str]:
        """DeploymentStatus and DeploymentReason of a package."""
        found = self.clients.sagemaker.describe_model_package(ModelPackageName=package)["CustomerMetadataProperties"]
        return {name: found.get(name, "") for name in ("DeploymentStatus", "DeploymentReason")}

    def endpoints(self) -> list[str]:
        """The endpoints of the environment."""
        listed = self.clients.sagemaker.list_endpoints(NameContains=self.name)["Endpoints"]
        return [each["EndpointName"] for each in listed]

    def configs(self) -> list[str]:
        """The endpoint configurations of the environment, sorted."""
        listed = self.clients.sagemaker.list_endpoint_configs(NameContains=self.name)["EndpointConfigs"]
        return sorted(each["EndpointConfigName"] for each in listed)


def wait_for(found: Callable[[], Any]) -> Any:
    """Poll until there is something."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.03)
    return value


@pytest.fixture(scope="module")
def account(clients: Clients) -> Iterator[Account]:
    """An environment for all tests of the module."""
    made = Account(clients)
    yield made
    made.remove()


@pytest.fixture
def served(clients: Clients, account: Account) -> Iterator[Served]:
    """A deployment in which nothing is approved."""
    made = Served(clients, account)
    yield made
    made.quiet()
    for name in made.endpoints():
        clients.sagemaker.delete_endpoint(EndpointName=name)


def test_an_approved_package_serves_and_the_outcome_is_on_the_package_and_published(served: Served) -> None:
    package = served.register()
    served.quiet()
    served.account.notifications()
    result = served.approve(package)
    assert result == {"decision": "deployed", "version": "1", "endpoint": served.endpoint, "previous": ""}
    assert served.answer() == {"predictions": [{"ibu": 45.0}], "model_version": 1}
    reason = f"Serving at {served.endpoint}"
    assert served.metadata(package) == {"DeploymentStatus": "Serving", "DeploymentReason": reason}
    subjects = [subject for subject, _ in served.account.notifications() if subject.startswith("Tapline")]
    assert subjects == ["Tapline: a model serves"]


def test_its_own_note_on_the_package_starts_no_second_deployment(served: Served) -> None:
    served.approve(served.register())
    served.quiet()
    results = [served.result(each["executionArn"]) for each in served.executions()]
    assert [each.get("decision", "ignored") for each in results].count("deployed") == 1


def test_a_newer_approved_version_takes_over_and_rejecting_it_brings_back_the_one_before(served: Served) -> None:
    served.approve(served.register())
    second = served.register()
    served.approve(second)
    assert served.answer()["model_version"] == 2
    assert served.reject(second)["version"] == "1"
    assert served.answer()["model_version"] == 1


def test_what_serves_is_found_behind_a_page_of_others(served: Served) -> None:
    served.approve(served.register())
    second = served.register()
    served.approve(second)
    api = served.clients.sagemaker
    container = {"Image": IMAGE}
    others = [f"another-{uuid.uuid4().hex[:12]}" for _ in range(101)]
    for name in others:
        api.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=OTHER_ROLE)
        variant = {"VariantName": "A", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    # The model and the configuration of version 1 are on the second page now.
    assert served.reject(second) == {
        "decision": "deployed",
        "version": "1",
        "endpoint": served.endpoint,
        "previous": f"{served.endpoint}-v2",
    }
    assert served.answer()["model_version"] == 1
    for name in others:
        api.delete_endpoint_config(EndpointConfigName=name)
        api.delete_model(ModelName=name)


def test_the_last_two_configurations_stay_and_older_ones_go(served: Served) -> None:
    for _ in range(3):
        served.approve(served.register())
    assert served.configs() == [f"{served.endpoint}-v2", f"{served.endpoint}-v3"]
    models = served.clients.sagemaker.list_models(NameContains=served.name)["Models"]
    assert sorted(each["ModelName"] for each in models) == served.configs()


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ({"ibu": 80}, "SmokeTestFailed", "2 of 2 answers differ from the evaluation: version 2 answered"),
        ({"load": "raise ValueError('damaged')"}, "RolledBack", "the endpoint is InService with"),
        ({"smoke": None}, "S3.NoSuchKeyException", ""),
    ],
    ids=["wrong answers", "crashes at load", "no smoke test"],
)
def test_a_version_that_fails_leaves_the_one_before_and_has_the_reason(
    served: Served, fault: dict[str, Any], error: str, reason: str
) -> None:
    served.approve(served.register())
    bad = served.register(**fault)
    result = served.approve(bad)
    assert (result["Error"], reason in result["Cause"]) == (error, True)
    assert served.answer() == {"predictions": [{"ibu": 45.0}], "model_version": 1}
    found = served.metadata(bad)
    assert (found["DeploymentStatus"], found["DeploymentReason"].startswith(f"{error}: {reason}")) == ("Failed", True)


@pytest.mark.parametrize("way", ["roll-back", "roll-back-silently"])
def test_an_update_that_rolls_back_is_a_failure_although_the_endpoint_is_in_service(
    served: Served, endpoint: Endpoint, way: str
) -> None:
    served.approve(served.register())
    second = served.register()
    served.quiet()
    endpoint.control("sagemaker", EndpointUpdate=way)
    assert served.approve(second)["Error"] == "RolledBack"
    assert served.answer()["model_version"] == 1
    assert served.metadata(second)["DeploymentStatus"] == "Failed"


def test_a_first_version_that_fails_leaves_no_endpoint(served: Served) -> None:
    assert served.approve(served.register(ibu=80))["Error"] == "SmokeTestFailed"
    wait_for(lambda: served.endpoints() == [])


def test_a_failed_version_is_passed_over_until_it_is_approved_again(served: Served) -> None:
    first, second = served.register(), served.register(ibu=80)
    served.approve(first)
    served.approve(second)
    third = served.register()
    served.approve(third)
    # The newest approved one is the failed one.
    assert served.reject(third)["version"] == "1"
    served.decide(second, "Rejected")
    served.quiet()
    assert served.approve(second)["Error"] == "SmokeTestFailed"
    assert served.answer()["model_version"] == 1


def test_twenty_equal_events_make_one_deployment(served: Served) -> None:
    package = served.register()
    served.quiet()
    event = {"detail": {"ModelPackageArn": package, "ModelApprovalStatus": "Approved"}}
    served.decide(package, "Approved")
    with ThreadPoolExecutor(20) as pool:
        started = list(
            pool.map(
                lambda _: served.clients.stepfunctions.start_execution(
                    stateMachineArn=served.machine, input=json.dumps(event)
                )["executionArn"],
                range(20),
            )
        )
    served.quiet()
    results = [served.result(each["executionArn"]) for each in served.executions()]
    decisions = [each.get("decision", "ignored") for each in results]
    assert (decisions.count("deployed"), len(started)) == (1, 20)
    assert set(decisions) <= {"deployed", "unchanged", "none", "ignored"}


def test_of_two_approvals_at_once_the_newer_version_serves(served: Served) -> None:
    packages = [served.register(), served.register()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda package: served.decide(package, "Approved"), packages))
    wait_for(lambda: served.metadata(packages[1])["DeploymentStatus"] == "Serving")
    served.quiet()
    assert served.answer()["model_version"] == 2
    described = served.clients.sagemaker.describe_endpoint(EndpointName=served.endpoint)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", f"{served.endpoint}-v2")


def test_without_an_approved_package_the_endpoint_is_deleted(served: Served) -> None:
    package = served.register()
    served.approve(package)
    served.reject(package)
    wait_for(lambda: served.endpoints() == [])


def test_without_an_approved_package_the_endpoint_stays_by_parameter(clients: Clients) -> None:
    served = Served(clients, WithoutApproval="keep")
    package = served.register()
    served.approve(package)
    assert served.reject(package)["decision"] == "none"
    assert served.answer()["model_version"] == 1
    served.account.remove()


def test_a_switch_of_the_kind_serves_on_the_new_endpoint_and_deletes_the_old_one(clients: Clients) -> None:
    served = Served(clients)
    package = served.register()
    served.approve(package)
    old = served.endpoint
    served.account.stacks.environment.parameters["deployment"]["Serving"] = "instance"
    served.account.stacks.deploy_one("deployment")
    served.endpoint = served.account.stacks.output("deployment", "EndpointName")
    event = {"detail": {"ModelPackageArn": package}}
    started = clients.stepfunctions.start_execution(stateMachineArn=served.machine, input=json.dumps(event))
    assert served.result(started["executionArn"])["endpoint"] == served.endpoint
    wait_for(lambda: served.endpoints() == [served.endpoint])
    assert (old != served.endpoint, served.answer()["model_version"]) == (True, 1)
    config = clients.sagemaker.describe_endpoint_config(EndpointConfigName=f"{served.endpoint}-v1")
    assert config["DataCaptureConfig"]["DestinationS3Uri"] == f"s3://{served.bucket}/captures"
    served.account.remove()


def test_deleting_the_environment_deletes_what_the_state_machine_has_made(clients: Clients) -> None:
    served = Served(clients)
    served.approve(served.register())
    served.approve(served.register())
    served.quiet()
    served.account.remove()
    assert (served.endpoints(), served.configs()) == ([], [])
    assert clients.sagemaker.list_models(NameContains=served.name)["Models"] == []
