"""State machines of a test's own, and their executions."""

import datetime
import json
from typing import Any

from benchmarks.support.definitions import until
from pipelines.account.clients import Clients

ROLE = "arn:aws:iam::000000000000:role/tests"


def machine(clients: Clients, definition: dict[str, Any], **options: Any) -> str:
    name = f"history-{datetime.datetime.now().timestamp():.6f}".replace(".", "-")
    created = clients.stepfunctions.create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE, **options
    )
    return str(created["stateMachineArn"])


def ended(clients: Clients, execution: str) -> dict[str, Any]:
    def described() -> Any:
        found = clients.stepfunctions.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return dict(until(described, "the end of the execution"))
