"""What the endpoint remembers is bounded as AWS bounds it, and is the same after a restart."""

import datetime
import json
from typing import Any

import pytest

from benchmarks.support.crash import Victim
from localaws.endpoint import Endpoint
from localaws.ministack import execution_logs, history
from pipelines.account.clients import Clients
from tests.support.state_machines import ROLE, ended, machine

LOOP = {"StartAt": "Loop", "States": {"Loop": {"Type": "Pass", "Next": "Loop"}}}
CAUGHT = {
    "StartAt": "Both",
    "States": {
        "Both": {
            "Type": "Parallel",
            "Branches": [LOOP, {"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Again"}],
            "Next": "Again",
        },
        "Again": {"Type": "Pass", "Next": "Both"},
    },
}


@pytest.mark.parametrize("definition", [LOOP, CAUGHT], ids=["loop", "caught"])
def test_an_endless_execution_fails_at_aws_number_of_events(clients: Clients, definition: dict[str, Any]) -> None:
    execution = clients.stepfunctions.start_execution(stateMachineArn=machine(clients, definition))["executionArn"]
    found = ended(clients, execution)
    cause = "The execution reached the maximum number of history events (25000)."
    assert (found["status"], found["error"], found["cause"]) == ("FAILED", "States.Runtime", cause)
    newest = clients.stepfunctions.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=1)
    assert [(event["id"], event["type"]) for event in newest["events"]] == [(25_000, "ExecutionFailed")]


def test_a_history_of_several_segments_survives_a_kill_in_its_order(victim: Victim) -> None:
    victim.up()
    steps = {f"S{n}": {"Type": "Pass", "Next": f"S{n + 1}"} for n in range(700)}
    definition = {"StartAt": "S0", "States": {**steps, "S700": {"Type": "Pass", "End": True}}}
    clients = victim.clients
    execution = clients.stepfunctions.start_execution(stateMachineArn=machine(clients, definition))["executionArn"]
    ended(clients, execution)

    def events() -> list[dict[str, Any]]:
        pages = victim.clients.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    before = events()
    victim.down()
    victim.up()
    assert (len(before), events()) == (1404, before)


def test_a_state_machine_logs_what_its_configuration_names(clients: Clients) -> None:
    group = f"/states/{datetime.datetime.now().timestamp()}"
    clients.logs.create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    configuration = {"level": "ALL", "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}]}
    definition = {"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}
    logging = machine(clients, definition, loggingConfiguration=configuration)
    ended(clients, clients.stepfunctions.start_execution(stateMachineArn=logging, input='{"a": 1}')["executionArn"])
    lines = clients.logs.filter_log_events(logGroupName=group)["events"]
    records = [json.loads(line["message"]) for line in lines]
    assert [(each["id"], each["type"], each["details"]) for each in records] == [
        ("2", "PassStateEntered", {"name": "End"}),
        ("3", "PassStateExited", {"name": "End"}),
        ("4", "ExecutionSucceeded", {}),
    ]


TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Group": {"Type": "AWS::Logs::LogGroup"},
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "RoleArn": ROLE,
                "DefinitionString": json.dumps({"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}),
                "LoggingConfiguration": {
                    "Level": "ALL",
                    "IncludeExecutionData": "false",
                    "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Group", "Arn"]}}}],
                },
            },
        },
    },
    "Outputs": {"Group": {"Value": {"Ref": "Group"}}, "Machine": {"Value": {"Ref": "Machine"}}},
}


def test_a_state_machine_of_a_stack_logs_what_its_template_names(clients: Clients) -> None:
    stack = f"logging-{datetime.datetime.now().timestamp():.6f}".replace(".", "-")
    clients.cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(TEMPLATE))
    clients.cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})

    def logged() -> tuple[dict[str, Any], list[str]]:
        described = clients.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described}
        machine = outputs["Machine"]
        ended(clients, clients.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"])
        lines = clients.logs.filter_log_events(logGroupName=outputs["Group"])["events"]
        configuration = clients.stepfunctions.describe_state_machine(stateMachineArn=machine)["loggingConfiguration"]
        return configuration, [json.loads(line["message"])["type"] for line in lines]

    configuration, types = logged()
    assert (configuration["level"], configuration["includeExecutionData"]) == ("ALL", False)
    assert types == ["PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    changed = json.loads(json.dumps(TEMPLATE).replace('"ALL"', '"ERROR"'))
    clients.cloudformation.update_stack(StackName=stack, TemplateBody=json.dumps(changed))
    clients.cloudformation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})
    assert (logged()[0]["level"], logged()[1]) == ("ERROR", types)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        ("TaskStateEntered", ["ALL"]),
        ("TaskFailed", ["ALL", "ERROR"]),
        ("ExecutionFailed", ["ALL", "ERROR", "FATAL"]),
        ("ExecutionAborted", ["ALL", "ERROR", "FATAL"]),
    ],
)
def test_a_level_chooses_events(kind: str, levels: list[str]) -> None:
    assert [level for level in ("ALL", "ERROR", "FATAL", "OFF") if execution_logs.logged(kind, level)] == levels


def test_times_of_ministack_are_epoch_seconds() -> None:
    assert [history._time(each) for each in (None, "", 5, "1970-01-01T00:00:05Z", "1970-01-01T00:00:05.000Z")] == [
        None,
        None,
        5.0,
        5.0,
        5.0,
    ]


def test_the_endpoint_names_what_it_cannot_save(endpoint: Endpoint) -> None:
    assert endpoint.control("status")["unsaved"] == {}
