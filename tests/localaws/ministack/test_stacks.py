"""A change of parameters adds and removes the resources whose conditions change."""

import json
import uuid
from typing import Any

from pipelines.account import change_sets
from pipelines.account.clients import Clients

TEMPLATE = {
    "Parameters": {"More": {"Type": "String", "Default": "no"}},
    "Conditions": {"HasMore": {"Fn::Equals": [{"Ref": "More"}, "yes"]}},
    "Resources": {
        "One": {"Type": "AWS::SQS::Queue"},
        "Other": {"Type": "AWS::SQS::Queue", "Condition": "HasMore"},
    },
}


def test_a_resource_comes_and_goes_with_its_condition_and_nothing_else_changes(clients: Clients) -> None:
    name = f"conditions-{uuid.uuid4().hex[:8]}"

    def apply(more: str) -> tuple[bool, list[str]]:
        request: dict[str, Any] = {
            "StackName": name,
            "TemplateBody": json.dumps(TEMPLATE),
            "Parameters": [{"ParameterKey": "More", "ParameterValue": more}],
        }
        changed = change_sets.apply(clients, request) is not None
        listed = clients.cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return changed, sorted(each["LogicalResourceId"] for each in listed if "DELETE" not in each["ResourceStatus"])

    assert apply("no") == (True, ["One"])
    assert apply("yes") == (True, ["One", "Other"])
    assert apply("yes") == (False, ["One", "Other"])
    assert apply("no") == (True, ["One"])
