"""The commands about serving: approval, rejection, rollback, status and predictions at the local endpoint."""

import contextlib
from typing import Any

import pytest

from localaws.errors import ExpectedError
from pipelines import registry
from pipelines.account import decisions
from pipelines.cli.output import Document
from tests.support.deployments import SMOKE, Deployment


def command(served: Deployment, *words: str) -> Document:
    """The result of a sub-command."""
    return registry.run(served.account.stacks, registry.arguments().parse_args(words))


def serving(served: Deployment) -> tuple[int | None, float]:
    """(version by `status`, IBU that the endpoint predicts for a beer of 5 %)."""
    predicted = command(served, "predict", "--abv", "5")
    assert predicted["model_version"] == command(served, "status")["version"]
    return predicted["model_version"], predicted["predictions"][0]["ibu"]


def test_approved_models_serve_and_a_rollback_and_a_rejection_bring_back_what_served_before(served: Deployment) -> None:
    one = served.version(served.register(ibu=40))
    two = served.version(served.register(ibu=50, smoke={**SMOKE, "predictions": [{"ibu": 55.0}, {"ibu": 57.0}]}))
    assert command(served, "status")["status"] is None
    with pytest.raises(ExpectedError, match="no model serves") as early:
        command(served, "predict", "--abv", "5")
    assert early.value.code == 3
    first = command(served, "approve", str(one), "--note", "good")
    assert (first["before"], first["approval_status"]) == ("PendingManualApproval", "Approved")
    # Unchanged, when the execution of an earlier event has read the approval and deployed it first.
    assert first["deployment"]["decision"] in ("deployed", "unchanged")
    assert first["deployment"]["version"] == one
    assert serving(served) == (one, 45.0)
    assert command(served, "approve", str(two))["deployment"]["version"] == two
    assert serving(served) == (two, 55.0)
    state = command(served, "status")
    assert (state["healthy"], state["serving"], state["deployment"]["status"]) == (True, "serverless", "Serving")
    back = command(served, "rollback", "--note", "too bitter")
    assert (back["version"], back["approval_status"], back["deployment"]["version"]) == (two, "Rejected", one)
    assert serving(served) == (one, 45.0)
    with pytest.raises(ExpectedError, match="no other approved version") as last:
        command(served, "rollback")
    assert last.value.code == 4
    none = command(served, "reject", str(one))
    assert (none["deployment"]["decision"], none["deployment"]["version"]) == ("none", None)
    assert command(served, "status")["status"] is None
    assert "no model serves" in registry.text("status", command(served, "status"))


def test_a_deployment_that_fails_is_an_error_with_its_reason_and_the_decision_stands(served: Deployment) -> None:
    arn = served.register(ibu=40, smoke={**SMOKE, "predictions": [{"ibu": 1.0}, {"ibu": 2.0}]})
    with pytest.raises(ExpectedError, match="answers differ from the evaluation") as failed:
        command(served, "approve", arn.rpartition("/")[2])
    assert (failed.value.code, "registry status" in failed.value.hint) == (1, True)
    package = served.clients.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["CustomerMetadataProperties"]["DeploymentStatus"] == "Failed"
    # Approved again, it is tried again.
    with pytest.raises(ExpectedError, match="answers differ from the evaluation"):
        command(served, "approve", arn.rpartition("/")[2])
    assert command(served, "reject", arn.rpartition("/")[2])["deployment"]["version"] is None


def test_a_rollback_passes_over_versions_whose_deployment_has_failed(served: Deployment) -> None:
    one, bad = served.register(), served.register(ibu=80)
    two = served.register()
    for package in (one, bad, two):
        served.approve(package)
    served.clients.sagemaker.delete_model_package(ModelPackageName=one)
    with pytest.raises(ExpectedError, match="or its deployment has failed"):
        command(served, "rollback")
    served.clients.sagemaker.delete_model_package(ModelPackageName=two)
    assert command(served, "status")["version"] == served.version(two)


def test_a_prediction_without_any_answered_row_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    given: Any = {"model_version": 1, "predictions": [{"beer": "1", "error": "no value"}]}
    monkeypatch.setattr(registry, "run", lambda stacks, arguments: given)
    monkeypatch.setattr(registry, "connected", lambda given, module: contextlib.nullcontext())
    assert registry.main(["predict", "--name", ""]) == 1
    given["predictions"].append({"beer": "2", "ibu": 40.0})
    assert registry.main(["predict", "--name", ""]) == 0


def test_a_failure_that_another_event_s_execution_found_is_the_decision_s() -> None:
    before = {"CustomerMetadataProperties": {"Evaluation": "s3://a/b"}}
    failed = {"DeploymentStatus": "Failed", "DeploymentReason": "no", "DeploymentEvent": "1", "DeploymentTime": "2"}
    after = {"CustomerMetadataProperties": failed}
    assert (decisions.failed_since(before, after), decisions.failed_since(after, after)) == ("no", "")


def test_a_model_that_was_registered_against_the_gate_is_approved_with_a_note_only(served: Deployment) -> None:
    arn = served.register()
    served.clients.sagemaker.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"OverrideReason": "the market wants it"}
    )
    with pytest.raises(ExpectedError, match="its approval needs a note") as refused:
        command(served, "approve", arn.rpartition("/")[2])
    assert refused.value.code == 2
    assert "--note 'the market wants it'" in refused.value.hint
