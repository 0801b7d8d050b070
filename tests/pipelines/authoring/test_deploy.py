"""The state machine deploy, deployed from the templates and run at the local endpoint through its branches."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks.support.definitions import IMAGE, until
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from pipelines.account.serving import Serving
from tests.support.deployments import Deployment

OTHER_ROLE = "arn:aws:iam::000000000000:role/tests"


def test_an_approved_package_serves_and_the_outcome_is_on_the_package_and_published(served: Deployment) -> None:
    package = served.register()
    served.quiet()
    served.account.notifications()
    result = served.approve(package)
    version = served.version(package)
    assert result == {"decision": "deployed", "version": str(version), "endpoint": served.endpoint, "previous": ""}
    assert served.answer() == {"predictions": [{"ibu": 45.0}], "model_version": version}
    reason = f"Serving at {served.endpoint}"
    assert served.metadata(package) == {"DeploymentStatus": "Serving", "DeploymentReason": reason}
    subjects = [subject for subject, _ in served.account.notifications() if subject.startswith("Tapline")]
    assert subjects == ["Tapline: a model serves"]


def test_its_own_note_on_the_package_starts_no_second_deployment(served: Deployment) -> None:
    before = {each["executionArn"] for each in served.executions()}
    served.approve(served.register())
    served.quiet()
    new = [each["executionArn"] for each in served.executions() if each["executionArn"] not in before]
    assert [served.result(each).get("decision", "ignored") for each in new].count("deployed") == 1


def test_a_newer_approved_version_takes_over_and_rejecting_it_brings_back_the_one_before(served: Deployment) -> None:
    first, second = served.register(), served.register()
    served.approve(first)
    served.approve(second)
    assert served.answer()["model_version"] == served.version(second)
    serves = f"version {served.version(second)} serves"
    assert served.metadata(first) == {"DeploymentStatus": "Replaced", "DeploymentReason": serves}
    assert served.reject(second)["version"] == str(served.version(first))
    assert served.answer()["model_version"] == served.version(first)
    assert served.metadata(first)["DeploymentStatus"] == "Serving"


# That the pages of every list are followed, test_lists.py reads from the definition.
@pytest.mark.release
def test_what_serves_is_found_behind_a_page_of_others(served: Deployment) -> None:
    first, second = served.register(), served.register()
    served.approve(first)
    served.approve(second)
    api = served.clients.sagemaker
    container = {"Image": IMAGE}
    others = [f"another-{uuid.uuid4().hex[:12]}" for _ in range(101)]
    for name in others:
        api.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=OTHER_ROLE)
        variant = {"VariantName": "A", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    # The model and the configuration of the first are on the second page now.
    assert served.reject(second) == {
        "decision": "deployed",
        "version": str(served.version(first)),
        "endpoint": served.endpoint,
        "previous": served.config(served.version(second)),
    }
    assert served.answer()["model_version"] == served.version(first)
    for name in others:
        api.delete_endpoint_config(EndpointConfigName=name)
        api.delete_model(ModelName=name)


def test_the_last_two_configurations_stay_and_older_ones_go(served: Deployment) -> None:
    versions = [served.version(package) for package in (served.register() for _ in range(3)) if served.approve(package)]
    assert served.configs() == sorted(map(served.config, versions[1:]))
    models = served.clients.sagemaker.list_models(NameContains=served.name)["Models"]
    assert sorted(each["ModelName"] for each in models) == served.configs()


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ({"ibu": 80}, "SmokeTestFailed", "2 of 2 answers differ from the evaluation: version "),
        ({"load": "raise ValueError('damaged')"}, "RolledBack", "the endpoint is InService with"),
        ({"smoke": None}, "S3.NoSuchKeyException", "smoke-test.json of the evaluation cannot be read: "),
    ],
    ids=["wrong answers", "crashes at load", "no smoke test"],
)
def test_a_version_that_fails_leaves_the_one_before_and_has_the_reason(
    served: Deployment, fault: dict[str, Any], error: str, reason: str
) -> None:
    good, bad = served.register(), served.register(**fault)
    served.approve(good)
    result = served.approve(bad)
    assert (result["Error"], reason in result["Cause"]) == (error, True)
    assert result["Cause"].endswith(f"; version {served.version(good)} serves")
    assert served.answer() == {"predictions": [{"ibu": 45.0}], "model_version": served.version(good)}
    found = served.metadata(bad)
    assert (found["DeploymentStatus"], found["DeploymentReason"].startswith(f"{error}: {reason}")) == ("Failed", True)


@pytest.mark.parametrize("way", [pytest.param("roll-back", marks=pytest.mark.release), "roll-back-silently"])
def test_an_update_that_rolls_back_is_a_failure_although_the_endpoint_is_in_service(
    served: Deployment, endpoint: Endpoint, way: str
) -> None:
    first, second = served.register(), served.register()
    served.approve(first)
    served.quiet()
    endpoint.control("sagemaker", EndpointUpdate=way)
    assert served.approve(second)["Error"] == "RolledBack"
    assert served.answer()["model_version"] == served.version(first)
    assert served.metadata(second)["DeploymentStatus"] == "Failed"


@pytest.mark.release
def test_an_endpoint_whose_rollback_failed_is_made_again_with_the_version_before(
    served: Deployment, endpoint: Endpoint
) -> None:
    first, second = served.register(), served.register()
    served.approve(first)
    served.quiet()
    endpoint.control("sagemaker", EndpointUpdate="rollback-failed")
    result = served.approve(second)
    assert (result["Error"], "UpdateRollbackFailed" in result["Cause"]) == ("RolledBack", True)
    assert served.configuration() == ("InService", served.config(served.version(first)))
    assert served.answer()["model_version"] == served.version(first)


def test_a_first_version_that_fails_leaves_no_endpoint(served: Deployment) -> None:
    assert served.approve(served.register(ibu=80))["Error"] == "SmokeTestFailed"
    until(lambda: served.endpoints() == [])


@pytest.mark.release
def test_a_failed_version_is_passed_over_until_it_is_approved_again(served: Deployment) -> None:
    first, second, third = served.register(), served.register(ibu=80), served.register()
    for package in (first, second, third):
        served.approve(package)
    # The newest approved one is the failed one.
    assert served.reject(third)["version"] == str(served.version(first))
    served.reject(second)
    assert served.approve(second)["Error"] == "SmokeTestFailed"
    assert served.answer()["model_version"] == served.version(first)


def test_an_artifact_that_was_exchanged_after_its_evaluation_does_not_serve(served: Deployment) -> None:
    first, second = served.register(), served.register()
    served.approve(first)
    described = served.clients.sagemaker.describe_model_package(ModelPackageName=second)
    key = described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"].partition(f"{served.bucket}/")[2]
    artifact = bytearray(served.clients.s3.get_object(Bucket=served.bucket, Key=key)["Body"].read())
    artifact[-1] ^= 1
    served.clients.s3.put_object(Bucket=served.bucket, Key=key, Body=bytes(artifact))
    assert served.approve(second)["Error"] == "ArtifactChanged"
    assert served.metadata(second)["DeploymentStatus"] == "Failed"
    assert served.answer()["model_version"] == served.version(first)


def test_a_deployment_whose_outcome_cannot_be_written_ends_too(
    served: Deployment, failing: Callable[..., None]
) -> None:
    package = served.register()
    failing("sagemaker:UpdateModelPackage", times=None, containing="DeploymentStatus")
    assert served.approve(package)["decision"] == "deployed"
    assert served.metadata(package)["DeploymentStatus"] == ""


@pytest.mark.parametrize(
    ("ibu", "events", "ending"),
    [
        (40, 4, "deployed"),
        pytest.param(40, 20, "deployed", marks=pytest.mark.release),
        pytest.param(80, 6, "SmokeTestFailed", marks=pytest.mark.release),
    ],
)
def test_equal_events_make_one_deployment(served: Deployment, ibu: int, events: int, ending: str) -> None:
    package = served.register(ibu=ibu)
    served.quiet()
    before = {each["executionArn"] for each in served.executions()}
    event = served.event(package)
    served.decide(package, "Approved")
    with ThreadPoolExecutor(events) as pool:
        list(pool.map(lambda _: served.start(served.machine, event), range(events)))
    served.quiet()
    new = [each["executionArn"] for each in served.executions() if each["executionArn"] not in before]
    results = [served.result(each) for each in new]
    # The decision is an event of its own, after which a failed version is tried once more.
    endings = [each.get("decision") or each.get("Error", "ignored") for each in results]
    assert endings.count(ending) in (1, 2) if ending == "SmokeTestFailed" else endings.count(ending) == 1
    assert set(endings) <= {ending, "unchanged", "none", "ignored"}


def test_of_two_approvals_at_once_the_newer_version_serves(served: Deployment) -> None:
    packages = [served.register(), served.register()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda package: served.decide(package, "Approved"), packages))
    until(lambda: served.metadata(packages[1])["DeploymentStatus"] == "Serving")
    served.quiet()
    newer = served.version(packages[1])
    assert served.answer()["model_version"] == newer
    described = served.clients.sagemaker.describe_endpoint(EndpointName=served.endpoint)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == (
        "InService",
        served.config(newer),
    )


@pytest.mark.parametrize("status", ["Rejected", pytest.param("PendingManualApproval", marks=pytest.mark.release)])
def test_without_an_approved_package_the_endpoint_is_deleted(served: Deployment, status: str) -> None:
    package = served.register()
    served.approve(package)
    assert served.decided(package, status) == {"decision": "none", "reason": "no model package is approved"}
    until(lambda: served.endpoints() == [])


@pytest.mark.release
def test_without_an_approved_package_the_endpoint_stays_by_parameter(clients: Clients) -> None:
    served = Deployment(clients, WithoutApproval="keep")
    first, bad = served.register(), served.register(ibu=80)
    served.approve(first)
    assert served.reject(first)["decision"] == "none"
    assert served.answer()["model_version"] == 1
    # What fails then puts back what served before, although it is not approved.
    assert served.approve(bad)["Error"] == "SmokeTestFailed"
    assert served.answer()["model_version"] == 1
    served.account.remove()


@pytest.mark.release
def test_a_changed_parameter_of_the_endpoint_is_deployed_with_the_version_that_serves(
    clients: Clients, endpoint: Endpoint
) -> None:
    served = Deployment(clients)
    earlier, package = served.register(), served.register()
    served.approve(earlier)
    served.approve(package)
    before = served.configuration()[1]
    served.account.stacks.environment.parameters["deployment"]["MemorySizeInMB"] = "3072"
    served.account.stacks.deploy_one("deployment")
    endpoint.control("sagemaker", EndpointUpdate="roll-back")
    assert served.run("{}")["Error"] == "RolledBack"
    # No other version is tried with parameters with which the one that serves fails.
    assert (served.configuration(), served.answer()["model_version"]) == (("InService", before), 2)
    assert (served.metadata(earlier)["DeploymentStatus"], served.metadata(package)["DeploymentStatus"]) == (
        "Replaced",
        "Serving",
    )
    Serving(served.account.stacks).start()
    until(lambda: served.configuration() != ("InService", before) and served.configuration()[0] == "InService")
    served.quiet()
    described = clients.sagemaker.describe_endpoint(EndpointName=served.endpoint)
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"]["MemorySizeInMB"] == 3072
    assert (served.answer()["model_version"], served.metadata(package)["DeploymentStatus"]) == (2, "Serving")
    assert Serving(served.account.stacks).version(described) == 2
    assert served.run(served.event(package)) == {"decision": "unchanged", "version": "2"}
    assert served.configs() == sorted([before, described["EndpointConfigName"]])
    served.account.remove()


@pytest.mark.release
def test_a_switch_to_instances_serves_with_canaries_and_deletes_the_old_endpoint(clients: Clients) -> None:
    served = Deployment(clients)
    first, second = served.register(), served.register()
    served.approve(first)
    old = served.endpoint
    key = clients.kms.create_key()["KeyMetadata"]["Arn"]
    values = {"Serving": "instance", "InstanceCount": "2", "KmsKeyArn": key}
    served.account.stacks.environment.parameters["deployment"].update(values)
    served.account.stacks.deploy_one("deployment")
    served.endpoint = served.account.stacks.output("deployment", "EndpointName")
    assert served.run(served.event(first))["endpoint"] == served.endpoint
    until(lambda: served.endpoints() == [served.endpoint])
    assert (old != served.endpoint, served.answer()["model_version"]) == (True, 1)
    config = clients.sagemaker.describe_endpoint_config(EndpointConfigName=served.config(1))
    capture = config["DataCaptureConfig"]
    assert (config["KmsKeyId"], capture["KmsKeyId"]) == (key, key)
    assert capture["DestinationS3Uri"] == f"s3://{served.bucket}/captures"
    served.decide(second, "Approved")
    # The canary and the rest of the fleet answer side by side.
    until(lambda: {served.answer()["model_version"] for _ in range(10)} == {1, 2})
    until(lambda: served.metadata(second)["DeploymentStatus"] == "Serving")
    assert {served.answer()["model_version"] for _ in range(5)} == {2}
    served.quiet()
    # Deleting the environment deletes what the state machine has made.
    served.account.remove()
    assert (served.endpoints(), served.configs()) == ([], [])
    assert clients.sagemaker.list_models(NameContains=served.name)["Models"] == []
