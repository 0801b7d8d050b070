"""The release folder of an approved version, and its promotion to another environment."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.errors import ExpectedError
from pipelines.account import releases, s3
from pipelines.account.clients import Clients
from pipelines.account.model_packages import Registry
from tests.support.deployments import Deployment

FILES = ["approval.json", "evaluation.json", "model.tar.gz", "report.html", "smoke-test.json"]
NOTE = "better on pale ales"


@pytest.fixture(scope="module")
def target(clients: Clients) -> Iterator[Deployment]:
    """Another environment."""
    made = Deployment(clients)
    yield made
    made.clear()


def registry(deployment: Deployment) -> Registry:
    return Registry(deployment.clients, deployment.account.pipeline)


def address(deployment: Deployment, package: str) -> str:
    """The S3 address of a package's artifact."""
    return releases.model_uri(deployment.clients.sagemaker.describe_model_package(ModelPackageName=package))


def approved(deployment: Deployment, **metadata: str) -> str:
    """Approve a new package with a note and wait for its deployment; returns its ARN."""
    package = deployment.register()
    api = deployment.clients.sagemaker
    if metadata:
        api.update_model_package(ModelPackageArn=package, CustomerMetadataProperties=metadata)
        deployment.quiet()
    deployment.decided(package, "Approved", note=NOTE)
    return package


def test_a_deployed_version_has_a_release_folder_with_its_approval(served: Deployment, tmp_path: Path) -> None:
    package = approved(served, OverrideReason="the market wants it", FailedCriteria="min_relative_gain")
    version = served.version(package)
    found = releases.release(registry(served), version, served.bucket, tmp_path)
    assert found == {"version": version, "folder": str(tmp_path), "files": FILES}
    home = f"s3://{served.bucket}/releases/{version}/"
    assert [uri.removeprefix(home) for uri in s3.objects(served.clients, home)] == FILES
    artifact = s3.read(served.clients, address(served, package))
    assert (tmp_path / "model.tar.gz").read_bytes() == artifact
    approval = json.loads((tmp_path / "approval.json").read_text())
    assert approval.pop("approved_at").startswith("20")
    assert approval == {
        "model_package": package,
        "version": version,
        "approval_status": "Approved",
        "approved_by": served.clients["sts"].get_caller_identity()["Arn"],
        "note": NOTE,
        "override_reason": "the market wants it",
        "failed_criteria": "min_relative_gain",
        "artifact_sha256": hashlib.sha256(artifact).hexdigest(),
    }
    assert approval.keys() | {"approved_at"} == releases.approval(registry(served).package(version)).keys()


def test_a_version_that_is_not_approved_is_not_released(served: Deployment, tmp_path: Path) -> None:
    version = served.version(served.register())
    with pytest.raises(ExpectedError, match=f"version {version} is not approved: PendingManualApproval") as refused:
        releases.release(registry(served), version, served.bucket, tmp_path)
    assert (refused.value.code, list(tmp_path.iterdir())) == (4, [])


def test_a_promoted_version_waits_for_approval_and_then_serves_the_same_artifact(
    served: Deployment, target: Deployment
) -> None:
    package = approved(served)
    version = served.version(package)
    promoted = releases.promote(registry(served), version, target.account.stacks)
    artifact = s3.read(served.clients, address(served, package))
    digest = hashlib.sha256(artifact).hexdigest()
    assert promoted == {"version": version, "promoted": 1, "group": target.account.pipeline, "sha256": digest}
    # A second promotion is the same package.
    assert releases.promote(registry(served), version, target.account.stacks) == promoted
    found = registry(target).package(1)
    metadata = found["CustomerMetadataProperties"]
    assert (found["ModelApprovalStatus"], metadata["PromotedFrom"]) == ("PendingManualApproval", package)
    assert "DeploymentStatus" not in metadata
    target.quiet()
    assert target.endpoints() == []
    assert target.approve(found["ModelPackageArn"])["decision"] == "deployed"
    assert target.answer() == {"predictions": [{"ibu": 45.0}], "model_version": 1}
    assert s3.read(target.clients, f"s3://{target.bucket}/releases/1/model.tar.gz") == artifact


def test_an_artifact_that_was_exchanged_is_neither_promoted_nor_released(
    served: Deployment, target: Deployment, tmp_path: Path
) -> None:
    package = served.register()
    served.without_events()
    served.decide(package, "Approved")
    s3.write(served.clients, address(served, package), b"another")
    version = served.version(package)
    for run in (
        lambda: releases.promote(registry(served), version, target.account.stacks),
        lambda: releases.release(registry(served), version, served.bucket, tmp_path),
    ):
        with pytest.raises(ExpectedError, match="is not the one that was evaluated"):
            run()
    assert list(tmp_path.iterdir()) == []
    served.with_events()
    served.reject(package)
