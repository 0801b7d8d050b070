"""Whose pipeline execution a local run follows: that of the state machine executions which its own objects started."""

import json
from typing import Any

from benchmarks.support.definitions import ROLE, Project
from pipelines.account import retraining
from pipelines.account.clients import Clients


class OneMachine:
    """Stands for the stacks: their only output is a state machine's ARN."""

    def __init__(self, clients: Clients, machine: str) -> None:
        self.clients = clients
        self.machine = machine

    def output(self, short: str, key: str) -> str:
        return self.machine


def started(clients: Clients, machine: str, event: Any) -> str:
    """The ARN of an execution with this input."""
    arn = clients.stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
    return str(arn)


def test_only_executions_for_a_runs_own_objects_are_its_own(clients: Clients, project: Project) -> None:
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    machine = clients.stepfunctions.create_state_machine(
        name=project.name, definition=json.dumps(definition), roleArn=ROLE
    )["stateMachineArn"]
    stacks: Any = OneMachine(clients, machine)
    by_key = {
        key: started(clients, machine, {"detail": {"object": {"key": key}}}) for key in ("cleaned/a", "cleaned/b")
    }
    by_hand = started(clients, machine, {"force": True})
    listed = started(clients, machine, [1])
    assert retraining.executions(stacks) == {*by_key.values(), by_hand, listed}
    assert retraining.executions(stacks, {"cleaned/b", "cleaned/c"}) == {by_key["cleaned/b"]}
    assert retraining.executions(stacks, set(by_key), {by_key["cleaned/b"]}) == {by_key["cleaned/a"]}
