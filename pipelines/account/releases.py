"""What leaves the registry: the release folder of an approved version, and its promotion to another environment."""

import hashlib
import json
from pathlib import Path

from localaws.errors import CONFLICT, ENVIRONMENT, RUN_FAILED, ExpectedError
from pipelines.account import s3
from pipelines.account.clients import aws_errors
from pipelines.account.model_packages import APPROVED, PENDING, Registry
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

# Members of a described package that CreateModelPackage takes; InferenceSpecification and ModelMetrics are rewritten.
CARRIED = ("ModelPackageDescription", "Domain", "Task", "ModelCard")
# Of the deployment in the environment that a package comes from.
LOCAL_METADATA = ("DeploymentStatus", "DeploymentReason", "DeploymentTime", "DeploymentEvent")


def approved(registry: Registry, version: int) -> Document:
    """An approved version, described; raises ExpectedError for one that is not approved."""
    package = registry.package(version)
    if package["ModelApprovalStatus"] != APPROVED:
        raise ExpectedError(
            f"version {version} is not approved: {package['ModelApprovalStatus']}",
            where=package["ModelPackageArn"],
            hint=registry.clients.command("registry", "approve", str(version)),
            code=CONFLICT,
        )
    return package


def approval(package: Document) -> Document:
    """The approval record as the state machine `deploy` writes it: who, when, the note, and what was overridden."""
    metadata = package.get("CustomerMetadataProperties", {})
    actor = package.get("LastModifiedBy", {})
    changed = package.get("LastModifiedTime")
    return {
        "model_package": package["ModelPackageArn"],
        "version": package["ModelPackageVersion"],
        "approval_status": package["ModelApprovalStatus"],
        "approved_by": actor.get("UserProfileName") or actor.get("IamIdentity", {}).get("Arn", ""),
        "approved_at": changed.isoformat(timespec="seconds") if changed else "",
        "note": package.get("ApprovalDescription", ""),
        "override_reason": metadata.get("OverrideReason", "none"),
        "failed_criteria": metadata.get("FailedCriteria", "none"),
        "artifact_sha256": metadata.get("ArtifactSha256", "unknown"),
    }


def release(registry: Registry, version: int, bucket: str, folder: Path) -> Document:
    """Copy the release of an approved version into a folder; returns {"version", "folder", "files"}.

    bucket: the artifact bucket, in which `deploy` has made releases/<version>/. Where the environment has not deployed
    the version, the files are put together here. Raises ExpectedError for an artifact that was exchanged.
    """
    package = approved(registry, version)
    files = contents(registry, f"s3://{bucket}/releases/{version}/")
    if "approval.json" not in files:
        files = contents(registry, registry.evaluation_uri(package).rpartition("/")[0] + "/")
        files["approval.json"] = (json.dumps(approval(package), indent=2) + "\n").encode()
    if "model.tar.gz" not in files:
        files["model.tar.gz"] = s3.read(registry.clients, model_uri(package))
    verified(registry, package, files["model.tar.gz"])
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise ExpectedError(
            f"the release cannot be written: {error.strerror}",
            where=str(folder),
            hint=registry.clients.command("registry", "release", str(version), "--out", "/tmp/release"),
            code=ENVIRONMENT,
        ) from error
    return {"version": version, "folder": str(folder), "files": sorted(files)}


def contents(registry: Registry, home: str) -> dict[str, bytes]:
    """Every file below an S3 address by its name there."""
    return {uri.removeprefix(home): s3.read(registry.clients, uri) for uri in s3.objects(registry.clients, home)}


def verified(registry: Registry, package: Document, artifact: bytes) -> str:
    """The artifact's SHA-256; raises ExpectedError where it is not the one that Evaluate stored with the package."""
    digest = hashlib.sha256(artifact).hexdigest()
    if digest != package.get("CustomerMetadataProperties", {}).get("ArtifactSha256"):
        version = package["ModelPackageVersion"]
        raise ExpectedError(
            f"the artifact of version {version} is not the one that was evaluated (SHA-256 {digest})",
            where=model_uri(package),
            hint=registry.clients.command("registry", "show", str(version)),
            code=RUN_FAILED,
        )
    return digest


def model_uri(package: Document) -> str:
    """The S3 address of a package's model artifact."""
    return str(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])


def promote(source: Registry, version: int, target: Stacks) -> Document:
    """Register an approved version in another environment's group, where its approval is pending.

    The artifact and the evaluation are copied into the target's artifact bucket. The artifact's SHA-256 must be the one
    that Evaluate stored with the package. Returns {"version", "promoted", "group", "sha256"}.
    """
    package = approved(source, version)
    group = target.output("pipelines", "ModelPackageGroupName")
    origin = source.evaluation_uri(package).rpartition("/")[0]
    artifact = s3.read(source.clients, model_uri(package))
    digest = verified(source, package, artifact)
    # Among the target's own runs, whose models its roles read.
    bucket, pipeline = target.output("artifacts", "ArtifactBucket"), target.output("pipelines", "PipelineName")
    home = f"s3://{bucket}/{pipeline}/executions/promoted-{source.group}-{version}-{digest[:16]}"
    for uri in s3.objects(source.clients, origin + "/"):
        s3.write(target.clients, home + uri.removeprefix(origin), s3.read(source.clients, uri))
    s3.write(target.clients, f"{home}/model.tar.gz", artifact)
    request = promoted_request(package, group, home, origin, digest)
    with aws_errors(f"registering version {version} in {group}"):
        arn = target.clients.sagemaker.create_model_package(**request)["ModelPackageArn"]
    return {"version": version, "promoted": int(arn.rpartition("/")[2]), "group": group, "sha256": digest}


def promoted_request(package: Document, group: str, home: str, origin: str, digest: str) -> Document:
    """CreateModelPackage's request: the package with its addresses under `home` instead of `origin`."""
    specification = json.loads(json.dumps(package["InferenceSpecification"]))
    container = specification["Containers"][0]
    container["ModelDataUrl"] = f"{home}/model.tar.gz"
    for measured in ("ModelDataETag", "ImageDigest"):
        container.pop(measured, None)
    metadata = {
        name: value.replace(origin, home)
        for name, value in package.get("CustomerMetadataProperties", {}).items()
        if name not in LOCAL_METADATA
    }
    metadata |= {"PromotedFrom": package["ModelPackageArn"], "PromotedDigest": digest}
    return {
        "ModelPackageGroupName": group,
        "ModelApprovalStatus": PENDING,
        "InferenceSpecification": specification,
        "ModelMetrics": json.loads(json.dumps(package["ModelMetrics"]).replace(origin, home)),
        "CustomerMetadataProperties": metadata,
        # A promotion that is repeated is the same package.
        "ClientToken": hashlib.sha256(f"{package['ModelPackageArn']} {group} {digest}".encode()).hexdigest()[:36],
        **{name: package[name] for name in CARRIED if name in package},
    }
