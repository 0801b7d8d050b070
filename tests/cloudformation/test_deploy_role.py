"""The role that deploys from GitHub holds what `make deploy` calls and what CloudFormation then does, and no more.

What CloudFormation does for a type of resource is AWS's own list: the handlers of the type's schema, which cfn-lint
brings along. From it goes what our templates make no use of (UNUSED), each with the reason.
"""

import inspect
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from pipelines import deploy
from pipelines.account import change_sets, stacks, upsert
from pipelines.authoring import archives, workflows
from pipelines.authoring.settings import Settings, assets
from tests.support import cfn
from tests.support.deploy_role import BESIDE, MADE, RIGHTS, SHARED, UNUSED

GITHUB = cfn.load("github")
RESOURCES = [
    (stack, name, resource["Type"]) for stack in cfn.NAMES for name, resource in cfn.load(stack)["Resources"].items()
]
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "Environment": "dev",
    "Repository": "owner@1/tapline@2",
}


def statements(*, itself: bool) -> Iterator[dict[str, Any]]:
    """What the role may do itself, or what CloudFormation may do with its rights."""
    for _, statement in cfn.grants(GITHUB):
        through = cfn.conditions(statement).get("aws:CalledViaFirst") == ["cloudformation.amazonaws.com"]
        if through != itself:
            yield statement


def granted(*, itself: bool) -> set[str]:
    return {action for statement in statements(itself=itself) for action in cfn.actions(statement)}


def handlers() -> set[str]:
    """All that CloudFormation may call to create, read, update and delete our types of resources."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    found = set()
    for kind in {kind for _, _, kind in RESOURCES}:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        for operation in ("create", "read", "update", "delete"):
            found.update(schema["handlers"].get(operation, {}).get("permissions", []))
    return found


def called() -> set[str]:
    """The rights of every AWS operation in the code that deploys."""
    methods = [method for name, method in inspect.getmembers(stacks.Stacks, inspect.isfunction) if name != "delete"]
    # A deletion, of a stack that was rolled back, is a person's.
    changes = [each for name, each in inspect.getmembers(change_sets, inspect.isfunction) if name != "delete"]
    upserting = [each for _, each in inspect.getmembers(upsert, inspect.isfunction)]
    functions = [deploy.deploy, deploy.refuse_orphaned_group, deploy.orphaned_group, stacks.upload, *upserting]
    source = "".join(map(inspect.getsource, (*functions, *methods)))
    source += "".join(map(inspect.getsource, changes)).replace("api.", "clients.cloudformation.")
    found = {"sagemaker:ListModelPackages"}
    source = re.sub(r'get_paginator\("(\w+)"\)', r"\1()", source)
    session = botocore.session.get_session()
    for service, method in re.findall(r"clients\.(\w+)\.(\w+)\(", source):
        names = session.get_service_model(service).operation_names
        operation = {xform_name(name): name for name in names}[method]
        right = f"{service}:{operation}"
        found |= RIGHTS.get(right, {right})
    return found


def unused(right: str) -> bool:
    return any({right, right.split(":")[0]} & rights for rights in UNUSED.values())


def covers(action: str, arn: str) -> bool:
    """Whether a statement of the role allows an action on a resource."""
    return any(
        action in cfn.actions(statement)
        and any(
            fnmatchcase(arn, re.sub(r"\$\{([^}]+)\}", lambda found: VALUES[found[1]], pattern))
            for pattern in cfn.texts(statement["Resource"])
        )
        for _, statement in cfn.grants(GITHUB)
    )


def arn(pattern: str, environment: str, stack: str, name: str, kind: str) -> str:
    full = f"tapline-{environment}-{stack}"
    machine = name.removesuffix("Logs").lower()
    logs = (
        f"/aws/vendedlogs/states/{full}-{machine}"
        if machine in ("retrain", "deploy", "score")
        else f"{full}-{name}-1A2B"
    )
    bucket = f"{full}-{name.removesuffix('Policy')}-1A2B".lower()
    group = f"tapline-ibu-{environment}"
    table = {"table": {"Table": "beers"}.get(name, name.lower()), "database": f"tapline_{environment}_ingestion"}
    values = {"name": logs, "stack": full, "machine": machine, "bucket": bucket, "group": group}
    return "arn:aws:" + pattern.format(**values, **table)


def test_the_role_itself_may_do_what_the_code_calls_and_no_more() -> None:
    assert granted(itself=True) == called() | set(BESIDE)


def test_cloudformation_may_do_with_the_role_what_our_resources_need_and_no_more() -> None:
    needed = {right for right in handlers() if not unused(right)}
    # These it does without being asked by CloudFormation: passing a role is a right, and code is read as it is.
    directly = {"iam:PassRole", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"}
    assert granted(itself=False) == needed - directly
    assert directly <= granted(itself=True)


def test_every_right_listed_as_unused_is_one_that_a_handler_may_call() -> None:
    known = handlers() | {right.split(":")[0] for right in handlers()}
    assert set().union(*UNUSED.values()) - known == set()


@pytest.mark.parametrize(("stack", "name", "kind"), RESOURCES)
def test_a_resource_gets_a_name_that_the_role_may_touch(stack: str, name: str, kind: str) -> None:
    action, pattern = MADE[kind.removeprefix("AWS::")]
    assert covers(action, arn(pattern, "dev", stack, name, kind))
    assert covers(action, arn(pattern, "prod", stack, name, kind)) is (kind.removeprefix("AWS::") in SHARED)


def uploaded(environment: str) -> set[str]:
    """The keys of everything that a deployment puts into the artifact bucket."""
    documents = [archives.document(name, "{}") for name in (*workflows.WORKFLOWS, "templates")]
    settings = Settings(pipeline_name=f"tapline-ibu-{environment}")
    return {asset.key for asset in (*assets(settings), archives.lambda_archive(), *documents)}


def test_the_role_may_upload_exactly_what_a_deployment_uploads() -> None:
    bucket = "arn:aws:s3:::tapline-dev-artifacts-artifactbucket-1a2b"
    keys = uploaded("dev")
    assert {key.partition("/")[0] for key in keys} == {"champion", "code", "tapline-ibu-dev"}
    assert [key for key in keys if not covers("s3:PutObject", f"{bucket}/{key}")] == []
    made_by_runs = (
        "snapshots/1/x",
        "athena/1.csv",
        "captures/x.jsonl",
        "tapline-ibu-dev/executions/1/train/model.tar.gz",
    )
    assert [key for key in made_by_runs if covers("s3:PutObject", f"{bucket}/{key}")] == []
    assert covers("s3:PutObject", f"{bucket.replace('dev', 'prod')}/code/x.zip") is False


def test_every_role_that_it_makes_has_the_boundary_and_the_boundary_has_what_the_roles_have() -> None:
    given = {action for stack in cfn.NAMES for _, each in cfn.grants(cfn.load(stack)) for action in cfn.actions(each)}
    boundary = GITHUB["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    assert set(boundary[0]["Action"]) == given
    unlimited = {
        action
        for statement in statements(itself=False)
        if cfn.conditions(statement).get("iam:PermissionsBoundary") != ["${Boundary}"]
        for action in cfn.actions(statement)
    }
    assert unlimited & {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:DeleteRolePolicy"} == set()
    roles = [role for stack in cfn.NAMES for _, role in cfn.resources(cfn.load(stack), "IAM::Role")]
    assert [role for role in roles if cfn.branches(role["PermissionsBoundary"]) == []] == []


def test_a_key_is_touched_only_by_the_tags_of_its_environment() -> None:
    tagged = {"aws:ResourceTag/environment", "aws:RequestTag/environment"}
    for statement in statements(itself=False):
        keys = [each for each in cfn.texts(statement["Resource"]) if ":kms:" in each or each == "*"]
        if keys and any(action.startswith("kms:") for action in cfn.actions(statement)):
            assert tagged & set(cfn.conditions(statement)), cfn.actions(statement)


@pytest.mark.parametrize("stack", ["tapline-dev-github", "tapline-prod-ingestion", "other"])
def test_the_role_changes_no_stack_but_the_environments(stack: str) -> None:
    assert (
        covers("cloudformation:ExecuteChangeSet", f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{stack}/1")
        is False
    )


@pytest.mark.parametrize("action", ["iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:PassRole"])
@pytest.mark.parametrize("role", ["tapline-dev-github-DeployRole-1A2B", "tapline-prod-pipelines-JobRole-1A2B", "Admin"])
def test_the_role_can_neither_change_nor_pass_itself_or_roles_of_others(action: str, role: str) -> None:
    assert covers(action, f"arn:aws:iam::123456789012:role/{role}") is False


def test_the_role_deletes_no_stack_and_empties_no_bucket() -> None:
    rights = granted(itself=True) | granted(itself=False)
    assert rights & {"cloudformation:DeleteStack", "s3:DeleteObject", "s3:DeleteObjectVersion"} == set()


def test_the_pipeline_and_its_group_are_named_as_the_role_expects() -> None:
    for path in (cfn.FOLDER / "parameters").glob("*.json"):
        given = json.loads(path.read_text())["pipelines"]
        name = f"tapline-ibu-{path.stem}"
        assert (given["PipelineName"], given["ModelPackageGroupName"]) == (name, name)


def test_the_roles_are_passed_to_the_services_that_take_them_and_no_other() -> None:
    takers = {
        service
        for stack in cfn.NAMES
        for name, service, statement in cfn.services(cfn.load(stack))
        if statement["Action"] == "sts:AssumeRole"
    }
    passed = [each for each in statements(itself=True) if cfn.actions(each) == ["iam:PassRole"]]
    assert [set(cfn.conditions(each)["iam:PassedToService"]) for each in passed] == [takers]


def test_every_policy_is_within_the_size_that_iam_takes() -> None:
    sizes = {}
    for name, policy in cfn.resources(GITHUB, "IAM::ManagedPolicy"):
        sizes[name] = written(policy["PolicyDocument"])
    inline = sum(
        written(each["PolicyDocument"]) for each in GITHUB["Resources"]["DeployRole"]["Properties"]["Policies"]
    )
    assert [name for name, size in sizes.items() if size > 6_144] == []
    assert inline <= 10_240


def written(document: dict[str, Any]) -> int:
    """Characters of a policy, without whitespace and with the longest names that may stand in it."""
    text = json.dumps(document, separators=(",", ":"))
    text = re.sub(r'\{"Fn::Sub":("[^"]*")\}', r"\1", text)
    longest = {**VALUES, "AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-7", "Environment": "production"}
    return len(re.sub(r"\$\{([^}]+)\}", lambda found: longest[found[1]], text))
