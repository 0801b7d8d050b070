"""The templates keep the rules, the rules find planted faults, and the stacks fit each other and the code."""

import copy
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion import clean, collect
from pipelines.authoring import committed, workflows
from pipelines.authoring.settings import Settings
from tests.support import cfn, template_access, template_operation
from tests.support.cfn import Template

TEMPLATES = {name: cfn.load(name) for name in cfn.ALL}
RULES = {rule.__name__: rule for rule in template_access.RULES + template_operation.RULES}
FAULTS: dict[str, list[dict[str, Any]]] = cfn.parse(
    Path(__file__).parents[1].joinpath("support/template_faults.yaml").read_text()
)
ENVIRONMENTS = {path.stem: json.loads(path.read_text()) for path in sorted((cfn.FOLDER / "parameters").glob("*.json"))}


def spoil(templates: dict[str, Template], fault: dict[str, Any]) -> Template:
    """A copy of the template that `fault` is `at`, with its `put` there, or with nothing there."""
    name, *path, last = fault["at"].split("/")
    spoilt = node = copy.deepcopy(templates[name])
    for key in path:
        node = node[int(key)] if isinstance(node, list) else node[key]
    last = int(last) if isinstance(node, list) else last
    if "put" in fault:
        node[last] = fault["put"]
    else:
        del node[last]
    return spoilt


# --- The rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", cfn.ALL)
def test_a_template_keeps_every_rule(name: str, rule: str) -> None:
    assert RULES[rule](TEMPLATES[name]) == []


@pytest.mark.parametrize(
    ("rule", "fault"),
    [pytest.param(rule, fault, id=f"{rule}-{fault['at']}") for rule in FAULTS for fault in FAULTS[rule]],
)
def test_a_planted_fault_is_found(rule: str, fault: dict[str, Any]) -> None:
    found = fault["found"]
    assert RULES[rule](spoil(TEMPLATES, fault)) == (found if isinstance(found, list) else [found])


def test_every_rule_has_a_planted_fault() -> None:
    assert set(FAULTS) == set(RULES)


def test_every_exception_to_a_rule_is_needed() -> None:
    anywhere = {
        action
        for template in TEMPLATES.values()
        for _, statement in cfn.grants(template)
        if statement["Resource"] == "*"
        for action in cfn.actions(statement)
    }
    named = {path for template in TEMPLATES.values() for path, _ in template_operation.names(template)}
    bare = {
        name
        for template in TEMPLATES.values()
        for name, parameter in template["Parameters"].items()
        if "Default" not in parameter
    }

    assert anywhere == set().union(*template_access.ANY_RESOURCE.values())
    assert set(template_operation.NAMED) <= named
    assert set(template_operation.NO_DEFAULT) == bare


def test_what_is_allowed_on_every_resource_is_what_aws_asks_on_none() -> None:
    reference = json.loads(cfn.POLICIES.read_text())
    offered = set()
    for action in set().union(*template_access.ANY_RESOURCE.values()):
        service, _, name = action.partition(":")
        if reference[service]["Actions"][name.lower()].get("Resources"):
            offered.add(action)
    assert offered == set(template_access.OFFERED_OTHERWISE)


def test_the_stacks_of_an_environment_allow_few_things_on_every_resource() -> None:
    anywhere = [
        (stack, role, cfn.actions(statement)[0])
        for stack in cfn.NAMES
        for role, statement in cfn.grants(TEMPLATES[stack])
        if "*" in cfn.texts(statement["Resource"])
    ]
    assert anywhere == [
        ("ingestion", "LoadRole", "logs:CreateLogDelivery"),
        ("ingestion", "BackfillRole", "logs:CreateLogDelivery"),
        ("pipelines", "RetrainRole", "logs:CreateLogDelivery"),
        ("pipelines", "JobRole", "ecr:GetAuthorizationToken"),
        ("pipelines", "JobRole", "cloudwatch:PutMetricData"),
        ("deployment", "DeployRole", "sagemaker:ListEndpointConfigs"),
        ("deployment", "DeployRole", "logs:CreateLogDelivery"),
        ("deployment", "ScoreRole", "cloudwatch:PutMetricData"),
        ("deployment", "ScoreRole", "logs:CreateLogDelivery"),
        ("deployment", "ScoringRole", "ecr:GetAuthorizationToken"),
        ("deployment", "ScoringRole", "cloudwatch:PutMetricData"),
        ("deployment", "ModelRole", "ecr:GetAuthorizationToken"),
        ("deployment", "ModelRole", "cloudwatch:PutMetricData"),
    ]


def test_checkov_skips_few_checks_each_with_its_reason_beside_it() -> None:
    skips = {
        (name, skip["id"]): skip.get("comment", "")
        for template in TEMPLATES.values()
        for name, resource in template["Resources"].items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }
    assert sorted(skips) == [
        ("ArtifactBucket", "CKV_AWS_18"),
        ("Boundary", "CKV_AWS_108"),
        ("Boundary", "CKV_AWS_109"),
        ("Boundary", "CKV_AWS_111"),
        ("Collector", "CKV_AWS_117"),
        ("DataBucket", "CKV_AWS_18"),
        ("FrontStage", "CKV_AWS_120"),
        ("FrontStage", "CKV_AWS_73"),
        ("FrontStage", "CKV_AWS_76"),
        ("GoldWorkgroup", "CKV_AWS_82"),
        ("Loader", "CKV_AWS_116"),
        ("Loader", "CKV_AWS_117"),
        ("ParquetTransform", "CKV_AWS_116"),
        ("ParquetTransform", "CKV_AWS_117"),
        ("Transform", "CKV_AWS_116"),
        ("Transform", "CKV_AWS_117"),
    ]
    assert [check for check, reason in skips.items() if len(reason.split()) < 5] == []
    # The other way to skip one, which leaves no trace in the template's own data.
    assert [name for name in cfn.ALL if "checkov:skip" in (cfn.FOLDER / f"{name}.yaml").read_text()] == []


def test_the_http_front_is_off_by_default_and_takes_signed_requests_with_a_key_only() -> None:
    template = TEMPLATES["deployment"]
    method = template["Resources"]["FrontMethod"]["Properties"]
    assert template["Parameters"]["HttpFront"]["Default"] == "none"
    assert (method["AuthorizationType"], method["ApiKeyRequired"], method["HttpMethod"]) == ("AWS_IAM", True, "POST")
    made = {name: each.get("Condition") for name, each in template["Resources"].items() if name.startswith("Front")}
    assert made.keys() >= {"Front", "FrontRole", "FrontStage", "FrontPlan"} and set(made.values()) == {"HasFront"}


def test_no_template_is_left_out() -> None:
    assert {path.stem for path in cfn.FOLDER.glob("*.yaml")} == set(cfn.ALL)


# --- The stacks fit each other --------------------------------------------------------------------


def test_what_a_stack_is_not_given_is_an_output_of_a_stack_before_it_or_has_a_default() -> None:
    outputs: set[str] = set()
    uploaded = {"CodeKey", "EvaluationCode", "ImageUri"} | {
        f"{name.title()}DefinitionKey" for name in workflows.WORKFLOWS
    }
    for name in cfn.NAMES:
        bare = {key for key, value in TEMPLATES[name]["Parameters"].items() if "Default" not in value}
        assert bare - outputs - uploaded == set()
        outputs |= set(TEMPLATES[name]["Outputs"])


def test_every_output_is_described() -> None:
    outputs = [output for template in TEMPLATES.values() for output in template["Outputs"].values()]
    assert [output for output in outputs if not output.get("Description")] == []


def test_parameters_of_the_same_name_have_the_same_definition_in_every_stack() -> None:
    first: dict[str, Template] = {}
    for template in TEMPLATES.values():
        for name, parameter in template["Parameters"].items():
            if name != "NoncurrentExpirationInDays":
                bounds = {key: value for key, value in parameter.items() if key != "Description"}
                assert first.setdefault(name, bounds) == bounds


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_gives_parameters_that_exist_values_that_are_allowed(environment: str) -> None:
    stacks = ENVIRONMENTS[environment]
    assert stacks.keys() - {"protected"} == {*cfn.NAMES, "tags"}
    refused = [
        f"{stack}.{name}: {value}"
        for stack in cfn.NAMES
        for name, value in stacks[stack].items()
        if not allowed(TEMPLATES[stack]["Parameters"][name], value)
    ]
    assert refused == []


def allowed(parameter: Template, value: str) -> bool:
    """Whether CloudFormation takes `value`, which API and CLI know as text only."""
    if not isinstance(value, str) or not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
        return False
    if parameter["Type"] == "Number":
        high = float(parameter.get("MaxValue", "inf"))
        if not float(parameter.get("MinValue", "-inf")) <= float(value) <= high:
            return False
    choices = [str(choice) for choice in parameter.get("AllowedValues", [value])]
    return value in choices


@pytest.mark.parametrize("name", cfn.ALL)
def test_every_default_is_an_allowed_value(name: str) -> None:
    parameters = TEMPLATES[name]["Parameters"]
    refused = {
        key: value["Default"]
        for key, value in parameters.items()
        if "Default" in value and not allowed(value, str(value["Default"]))
    }
    assert refused == {}


def test_environments_share_an_account_without_sharing_a_name() -> None:
    named = ("PipelineName", "ModelPackageGroupName")
    given = [stacks["pipelines"][name] for stacks in ENVIRONMENTS.values() for name in named]
    assert given == [f"tapline-ibu-{environment}" for environment in ("dev", "prod", "staging") for _ in named]


# --- The stacks fit the code ----------------------------------------------------------------------


def test_the_handlers_exist() -> None:
    handlers = [function["Handler"] for _, function in cfn.resources(TEMPLATES["ingestion"], "Lambda::Function")]
    assert handlers == [f"ingestion.{module}.handler" for module in ("collect", "clean", "clean", "load")]
    for handler in handlers:
        module, function = handler.rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), function))


def test_the_transform_writes_every_format_the_stack_offers() -> None:
    parameters = TEMPLATES["ingestion"]["Parameters"]
    assert set(parameters["CleanedFormat"]["AllowedValues"]) - {"both"} <= set(clean.WRITERS)


def test_the_lambdas_count_what_alarms_and_graphs_may_show(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "Lambda")
    clean.handler({"records": []})
    collect._emit({"fetched": 0, "sent": 0, "refused": {}, "retries": 0})

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counted = [name for line in lines for name in line if name not in ("_aws", "FunctionName")]
    assert sorted(counted) == sorted(template_operation.COUNTED)
    assert [line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for line in lines] == [[["FunctionName"]]] * 2


def test_the_stack_fills_in_every_placeholder_of_retrain_and_no_other() -> None:
    machine = TEMPLATES["pipelines"]["Resources"]["Retrain"]["Properties"]
    placeholders = re.findall(r"\$\{(\w+)\}", committed.machine("retrain"))
    assert set(machine["DefinitionSubstitutions"]) == set(placeholders)


def test_retrain_may_call_the_services_it_calls_and_no_other() -> None:
    called = set(re.findall(r"arn:aws:states:::(?:aws-sdk:)?([\w:.]+)", committed.machine("retrain")))
    # To wait for a query's end is to ask how it does, and to stop it when the execution is stopped.
    waited = {"athena:getQueryExecution", "athena:stopQueryExecution", "athena:getDataCatalog"}
    # What S3 is asked for has other names than the rights to it: the checks of rights compare those.
    needed = {call.removesuffix(".sync") for call in called if not call.startswith("s3:")} | waited

    granted = granted_actions("RetrainRole", "athena", "sagemaker", "sns")
    assert granted == {re.sub(r":(\w)", lambda match: match[0].upper(), call) for call in needed}


def granted_actions(role: str, *services: str) -> set[str]:
    """Actions of `services` that a role of the pipelines stack holds."""
    statements = [each for name, each in cfn.grants(TEMPLATES["pipelines"]) if name == role]
    return {action for statement in statements for action in cfn.actions(statement) if action.split(":")[0] in services}


def test_the_jobs_may_read_everything_that_the_pipeline_names() -> None:
    settings = Settings(artifact_bucket="${ArtifactBucket}", pipeline_name="${PipelineName}")
    named = set(re.findall(r'"s3://([^"]*)', committed.definition(settings)))
    readable = {
        resource.split(":::")[1].removesuffix("*")
        for name, statement in cfn.grants(TEMPLATES["pipelines"])
        if name == "JobRole" and "s3:GetObject" in cfn.actions(statement)
        for resource in cfn.texts(statement["Resource"])
    }
    snapshots = "${ArtifactBucket}/snapshots/"

    assert readable - {snapshots} == {prefix for prefix in readable for address in named if address.startswith(prefix)}
    assert [address for address in named if not address.startswith(tuple(readable))] == []


# --- The loader -----------------------------------------------------------------------------------


def test_short_intrinsics_load_as_their_long_forms() -> None:
    template = cfn.parse(
        """
        a: !Ref Topic
        b: !GetAtt Table.Arn.Of.It
        c: !If [HasKey, !Ref Key, !Ref AWS::NoValue]
        d: !Sub ['${x}', {x: !GetAtt [Key, Arn]}]
        e: 2026-01-01
        """
    )
    assert template == {
        "a": {"Ref": "Topic"},
        "b": {"Fn::GetAtt": ["Table", "Arn.Of.It"]},
        "c": {"Fn::If": ["HasKey", {"Ref": "Key"}, {"Ref": "AWS::NoValue"}]},
        "d": {"Fn::Sub": ["${x}", {"x": {"Fn::GetAtt": ["Key", "Arn"]}}]},
        "e": "2026-01-01",
    }


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "[&x {a: 1}, *x]"])
def test_yaml_that_cloudformation_refuses_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        cfn.parse(text)


def test_a_stream_on_demand_has_no_number_of_shards() -> None:
    stream = TEMPLATES["ingestion"]["Resources"]["Stream"]["Properties"]
    assert stream["StreamModeDetails"] == {"StreamMode": {"Ref": "StreamMode"}}
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-kinesis-stream.html
    assert stream["ShardCount"] == {"Fn::If": ["IsProvisioned", {"Ref": "ShardCount"}, {"Ref": "AWS::NoValue"}]}
