"""The rights that roles need and hold: what is deployed fits both ways, and planted faults are found."""

import json

import pytest

from localaws.sagemaker.expressions import UnknownReference
from pipelines.authoring.templates import Grant
from pipelines.checks import (
    Findings,
    artefacts,
    findings,
    least_privilege,
    permissions_of_stacks,
    permissions_of_state_machines,
)
from pipelines.checks.permissions import Need
from tests.support import cfn, planted
from tests.support.planted import FAULTS, plant
from tests.support.template_access import OFFERED_OTHERWISE

REAL = artefacts.all_of_them()


def check(found: artefacts.Artefacts) -> list[str]:
    return [
        finding
        for template in found.templates.values()
        for findings in least_privilege.compare(template, artefacts.needs(found, template))
        for finding in findings
    ]


def test_every_role_holds_what_it_needs_and_nothing_else() -> None:
    assert check(REAL) == []


@pytest.mark.parametrize("fault", FAULTS["rights"], ids=planted.name)
def test_a_planted_fault_is_found(fault: planted.Fault) -> None:
    spoilt = REAL._replace(templates=planted.spoil(REAL.templates, fault))
    expected = planted.wanted(fault)
    assert planted.cut(check(spoilt), expected) == expected


def test_the_checked_templates_are_those_that_the_other_rules_see() -> None:
    assert {name: REAL.templates[name] for name in cfn.NAMES} == {name: cfn.load(name) for name in cfn.NAMES}


def test_every_exemption_is_a_grant_without_a_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_privilege, "EXEMPT", {})
    found = {tuple(each.split(" on ")[0].split(": nothing needs ")) for each in check(REAL)}
    monkeypatch.undo()
    assert found == set(least_privilege.EXEMPT)


# --- A change of the code is a change of the rights -----------------------------------------------


def test_another_call_of_a_lambda_needs_another_right() -> None:
    source = REAL.sources["ingestion.stream"].replace(".put_records(", ".put_record(")
    changed = REAL._replace(sources=REAL.sources | {"ingestion.stream": source})
    assert check(changed) == [
        "CollectorRole: needs kinesis:PutRecord on ${Stream.Arn} (Collector, ingestion.stream)",
        "CollectorRole: nothing needs kinesis:PutRecords on ${Stream.Arn}",
    ]


def test_another_call_of_the_state_machine_needs_another_right() -> None:
    stop = "arn:aws:states:::aws-sdk:sagemaker:stopPipelineExecution"
    machine = plant(REAL.machines["retrain"], "States/RunStatus/Resource", put=stop)
    changed = REAL._replace(machines=REAL.machines | {"retrain": machine})
    arn = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:pipeline/${PipelineName}/execution/*"
    unknown = permissions_of_state_machines.NOT_KNOWN
    assert check(changed) == [
        f"RetrainRole: needs sagemaker:StopPipelineExecution on {unknown} (States.RunStatus)",
        f"RetrainRole: nothing needs sagemaker:DescribePipelineExecution on {arn}",
    ]


def test_another_place_for_snapshots_needs_rights_there_for_the_query_and_for_the_jobs() -> None:
    text = json.dumps(REAL.machines["retrain"]).replace("/snapshots/", "/pictures/")
    found = check(REAL._replace(machines=REAL.machines | {"retrain": json.loads(text)}))
    bucket = "arn:${AWS::Partition}:s3:::${ArtifactBucket}"
    assert [each for each in found if "needs s3:GetObject" in each] == [
        f"RetrainRole: needs s3:GetObject on {bucket}/pictures/* (States.Snapshot)",
        f"JobRole: needs s3:GetObject on {bucket}/pictures/* (Steps.Preprocess)",
    ]
    assert f"JobRole: nothing needs {bucket}/snapshots/* for s3:GetObject" in found


def test_an_output_in_another_bucket_needs_the_right_to_write_there() -> None:
    at = "Steps/Train/Arguments/OutputDataConfig/S3OutputPath"
    changed = REAL._replace(of_stack=plant(REAL.of_stack, at, put="s3://${DataBucket}/models"))
    assert [each for each in check(changed) if "PutObject" in each] == [
        "JobRole: needs s3:PutObject on arn:${AWS::Partition}:s3:::${DataBucket}/models* (Steps.Train)"
    ]


def test_the_calls_of_a_lambda_are_found_in_what_it_imports() -> None:
    assert list(permissions_of_stacks.calls("ingestion.collect", REAL.sources)) == [
        ("ingestion.stream", "kinesis", "PutRecords")
    ]
    assert list(permissions_of_stacks.calls("ingestion.clean", REAL.sources)) == []


# --- The comparison -------------------------------------------------------------------------------

COVERED = {
    "the very resource": (Grant(("s3:GetObject",), ("b/a",)), Need("s3:GetObject", "b/a", ""), True),
    "a pattern": (Grant(("s3:GetObject",), ("b/*",)), Need("s3:GetObject", "b/a/*", ""), True),
    "another action": (Grant(("s3:PutObject",), ("b/*",)), Need("s3:GetObject", "b/a", ""), False),
    "less than is needed": (Grant(("s3:GetObject",), ("b/a",)), Need("s3:GetObject", "b/*", ""), False),
    "a whole bucket's list": (Grant(("s3:ListBucket",), ("b",)), Need("s3:ListBucket", "b below a/*", ""), True),
    "a list below": (Grant(("s3:ListBucket",), ("b",), ("a/*",)), Need("s3:ListBucket", "b below a/*", ""), True),
    "a list beside": (Grant(("s3:ListBucket",), ("b",), ("c/*",)), Need("s3:ListBucket", "b below a/*", ""), False),
}


@pytest.mark.parametrize("case", COVERED)
def test_a_grant_covers_a_need(case: str) -> None:
    grant, need, covers = COVERED[case]
    assert list(least_privilege.missing([need], [grant], "Role")) == [
        [] if covers else [f"Role: needs {need.action} on {need.resource} ()"]
    ]


def test_the_resources_of_calls_are_those_of_the_service_authorization_reference() -> None:
    reference = json.loads(cfn.POLICIES.read_text())
    kinds = {
        permissions_of_state_machines.PIPELINE: "pipeline",
        permissions_of_state_machines.EXECUTION: "pipeline-execution",
        permissions_of_state_machines.PACKAGES: "model-package",
        permissions_of_state_machines.WORKGROUP: "workgroup",
        permissions_of_state_machines.ARTIFACTS: "bucket",
        permissions_of_state_machines.MODEL: "model",
        permissions_of_state_machines.CONFIG: "endpoint-config",
        permissions_of_state_machines.ENDPOINT: "endpoint",
        permissions_of_state_machines.OUTPUTS: "object",
        permissions_of_state_machines.RELEASES: "object",
        permissions_of_state_machines.JOBS: "processing-job",
        permissions_of_state_machines.TABLE[0]: "catalog",
        permissions_of_state_machines.ENDPOINT_LOGS: "log-group",
        "${DriftAlarm.Arn}": "alarm",
        "${TopicArn}": "topic",
    }
    for action, resources in permissions_of_state_machines.RESOURCES.items():
        service, _, name = action.partition(":")
        if resources == ("*",):
            assert action in OFFERED_OTHERWISE or "Resources" not in reference[service]["Actions"][name.lower()], action
            continue
        assert kinds[resources[0]] in reference[service]["Actions"][name.lower()]["Resources"], action


# --- Any check ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError("Steps"), TypeError("no list"), UnknownReference("'gate[' is not a path")])
def test_a_check_that_stumbles_over_malformed_json_reports_that_after_what_it_had_found(error: Exception) -> None:
    def stumbling() -> Findings:
        yield ["Steps.Train: wrong"]
        raise error

    assert findings(stumbling()) == ["Steps.Train: wrong", f"malformed ({type(error).__name__}: {error})"]
