"""Approve, reject and roll back a model package, and follow the deployment that the decision starts."""

from collections.abc import Callable

from localaws.errors import RUN_FAILED, WRONG_USAGE, ExpectedError
from pipelines.account.model_packages import APPROVED, REJECTED, deployment
from pipelines.account.serving import NONE, Serving
from pipelines.cli.output import Document

Show = Callable[[str], None]
# OverrideReason of a package that passed the gate (evaluation/).
NO_OVERRIDE = "none"


def decide(serving: Serving, version: int, status: str, note: str, show: Show) -> Document:
    """Give a version another approval status and follow the deployment.

    Returns {"version", "before", "approval_status", "note", "deployment"}; deployment is None where the environment
    serves nothing. Raises ExpectedError when the deployment fails; the decision stands then.
    """
    registry = serving.registry
    package = registry.package(version)
    reason = override_without_note(package, status, note)
    if reason:
        raise ExpectedError(
            without_note(version, reason),
            where=package["ModelPackageArn"],
            hint=registry.clients.command("registry", "approve", str(version), "--note", reason),
            code=WRONG_USAGE,
        )
    earlier = serving.executions()
    # Approved again, what was never deployed, or failed, is deployed.
    again = serving.kind() != NONE and deployment(package).get("status") in (None, "Failed")
    before = registry.decide(version, status, note, again=status == APPROVED and again)
    show(f"version {version}: {before} -> {status}")
    result = {"version": version, "before": before, "approval_status": status, "note": note, "deployment": None}
    if serving.kind() == NONE:
        return result
    if before == status:
        # An update that changes no status need not put an event.
        serving.start(package["ModelPackageArn"])
    ended = serving.wait_for_deployment(earlier, package["ModelPackageArn"], show)
    reason = failed_since(package, registry.package(version))
    if reason:
        raise ExpectedError(
            f"the deployment failed: {reason}",
            where=package["ModelPackageArn"],
            hint=registry.clients.command("registry", "status"),
            code=RUN_FAILED,
        )
    return {**result, "deployment": {**ended._asdict(), "endpoint": serving.endpoint()}}


def failed_since(before: Document, after: Document) -> str:
    """Why the package's deployment has failed between two descriptions, else "".

    The execution of another event, such as the registration's, may have found the approval first.
    """
    old, new = (each.get("CustomerMetadataProperties", {}) for each in (before, after))
    again = all(old.get(name) == new.get(name) for name in ("DeploymentEvent", "DeploymentTime"))
    return "" if again or new.get("DeploymentStatus") != "Failed" else str(new.get("DeploymentReason", ""))


def override_without_note(package: Document, status: str, note: str) -> str:
    """Why a package was registered in spite of the gate, where its approval has no note; else ""."""
    reason = str(package.get("CustomerMetadataProperties", {}).get("OverrideReason", NO_OVERRIDE))
    return reason if status == APPROVED and reason != NO_OVERRIDE and not note else ""


def without_note(version: int, reason: str) -> str:
    """Why such an approval is refused."""
    return f"version {version} failed the gate and was registered because of {reason!r}: its approval needs a note"


def rollback(serving: Serving, note: str, show: Show) -> Document:
    """Reject the version that serves, so that the newest other approved one is deployed again; as `decide` returns."""
    version, target = serving.rollback_target()
    show(f"version {version} is rejected, version {target} comes back")
    return decide(serving, version, REJECTED, note or f"rolled back to version {target}", show)
