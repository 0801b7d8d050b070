"""Step Functions' logging: the events of an execution in the log group of its state machine's LoggingConfiguration.

MiniStack stores the configuration and logs nothing.
https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
"""

import datetime
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from localaws.ministack import patches

MACHINE = "AWS::StepFunctions::StateMachine"
# What `includeExecutionData: false` leaves out.
DATA = {"input", "output", "parameters", "inputDetails", "outputDetails"}
# An event that is earlier than its stream's last one makes MiniStack merge the whole stream.
ORDER = threading.Lock()
FATAL = {"ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"}


def install() -> None:
    """Log each event that is added to an execution's history."""
    stepfunctions = patches.module("services.stepfunctions")
    add = stepfunctions._add_event

    def add_and_log(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
        event = add(execution, kind, details)
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
        configuration = machine.get("loggingConfiguration") or {}
        if logged(kind, configuration.get("level", "OFF")):
            document = record(execution["executionArn"], event, configuration.get("includeExecutionData", False))
            for destination in configuration.get("destinations") or []:
                _append(destination["cloudWatchLogsLogGroup"]["logGroupArn"], machine["name"], document)
        return event

    stepfunctions._add_event = add_and_log
    handlers = patches.module("services.cloudformation.provisioners")._RESOURCE_HANDLERS[MACHINE]
    handlers |= {operation: _with_api_names(handlers[operation]) for operation in ("create", "update")}


def _with_api_names(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler of a stack's state machine that stores LoggingConfiguration as the API names its members.

    MiniStack stores the template's names, which neither its descriptions nor the log have.
    """

    def handle(*arguments: Any, **options: Any) -> Any:
        return handler(*[_machine(each) if isinstance(each, dict) else each for each in arguments], **options)

    return handle


def _machine(properties: dict[str, Any]) -> dict[str, Any]:
    given = properties.get("LoggingConfiguration")
    return {**properties, "LoggingConfiguration": _api_names(given)} if given else properties


def _api_names(value: Any) -> Any:
    """A template's value with the API's member names; a Boolean of a template may be a text."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _api_names(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_api_names(each) for each in value]
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def logged(kind: str, level: str) -> bool:
    """Whether an event is logged at a level: ALL, ERROR, FATAL or OFF."""
    if level in ("ALL", "OFF"):
        return level == "ALL"
    return kind in FATAL or (level == "ERROR" and kind.endswith(("Failed", "TimedOut", "Aborted")))


def record(execution: str, event: dict[str, Any], with_data: bool) -> dict[str, Any]:
    """The log line of an event as a document. execution: its ARN."""
    when = datetime.datetime.fromisoformat(event["timestamp"])
    details = {
        name: value for members in event.values() if isinstance(members, dict) for name, value in members.items()
    }
    return {
        "id": str(event["id"]),
        "type": event["type"],
        "details": details if with_data else {name: details[name] for name in details.keys() - DATA},
        "previous_event_id": str(event["id"] - 1),
        "event_timestamp": str(int(when.timestamp() * 1000)),
        "execution_arn": execution,
        "redrive_count": "0",
    }


def _append(group_arn: str, machine: str, document: dict[str, Any]) -> None:
    logs = patches.module("services.cloudwatch_logs")
    group = logs._log_groups.get(group_arn.removesuffix(":*").rpartition(":log-group:")[2])
    if group is None:
        return
    with ORDER:
        _append_now(logs, group, machine, document)


def _append_now(logs: Any, group: dict[str, Any], machine: str, document: dict[str, Any]) -> None:
    now = int(time.time() * 1000)
    name = f"states/{machine}/{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    stream = group["streams"].get(name)
    if stream is None:
        times = dict.fromkeys(("firstEventTimestamp", "lastEventTimestamp", "lastIngestionTime"))
        stream = {"events": [], "uploadSequenceToken": "1", "creationTime": now, **times}
        stream = group["streams"].setdefault(name, stream)
    event = {"timestamp": now, "message": json.dumps(document), "ingestionTime": now, "eventId": uuid.uuid4().hex}
    logs._append_log_events(stream, [event])
