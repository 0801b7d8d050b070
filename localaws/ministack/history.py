"""Bounds of what MiniStack remembers, as AWS bounds it: the length of an execution's history, and days of retention."""

import contextvars
import datetime
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from localaws.ministack import patches

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
HISTORY_EVENTS = 25_000
HISTORY_FULL = f"The execution reached the maximum number of history events ({HISTORY_EVENTS})."
END_EVENTS = ("ExecutionFailed", "ExecutionSucceeded", "ExecutionAborted", "ExecutionTimedOut")
DAY = 86400.0
EXECUTION_DAYS = 90
# https://docs.aws.amazon.com/athena/latest/ug/queries-viewing-history.html
QUERY_DAYS = 45
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmHistory.html
ALARM_DAYS = 30
# CloudWatch keeps a metric per minute for 15 days (https://aws.amazon.com/cloudwatch/faqs/): so many values.
METRIC_VALUES = 15 * 24 * 60
# Of a log stream, for the memory's sake: AWS has no such bound.
LOG_EVENTS = 10_000
EVERY_SECONDS = 600
# The execution of the branch or iteration that this thread runs; None for its own states.
_branch_of: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("branch_of", default=None)


class _Ended(SystemExit):
    """Ends the thread of an execution or a branch; no Catch of the state machine sees it, and nothing is printed."""


def bound_executions() -> None:
    """End an execution at AWS's number of history events; hold equal texts in a history once."""
    stepfunctions = patches.module("services.stepfunctions")
    add = stepfunctions._add_event

    def add_bounded(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
        if len(execution["events"]) >= HISTORY_EVENTS - 1 and kind not in END_EVENTS:
            if execution["status"] == "RUNNING":
                stepfunctions._fail_execution(execution, "States.Runtime", HISTORY_FULL)
            raise _Ended
        # A state's output is the next one's input, and each round of a polling loop repeats both.
        shared = {
            name: {key: sys.intern(text) if type(text) is str else text for key, text in members.items()}
            for name, members in (details or {}).items()
        }
        return add(execution, kind, shared)

    stepfunctions._add_event = add_bounded


def record_branches() -> None:
    """Add the states of Parallel's branches and Map's iterations to the history, and end them with their execution.

    MiniStack adds the events of their tasks only, so that an endless branch would never reach the bound.
    """
    stepfunctions = patches.module("services.stepfunctions")
    run = stepfunctions._run_sub_machine

    def run_recorded(states: Any, start_at: str, data: Any, execution: dict[str, Any], context: dict[str, Any]) -> Any:
        token = _branch_of.set(execution)
        try:
            return run(states, start_at, data, execution, context)
        finally:
            _branch_of.reset(token)

    stepfunctions._run_sub_machine = run_recorded
    for kind in ("Pass", "Task", "Choice", "Wait", "Parallel", "Map"):
        name = f"_execute_{kind.lower()}"
        setattr(stepfunctions, name, _recorded(stepfunctions, kind, getattr(stepfunctions, name)))


def _recorded(stepfunctions: Any, kind: str, execute: Callable[..., Any]) -> Callable[..., Any]:
    def execute_recorded(state: dict[str, Any], data: Any, *rest: Any) -> Any:
        execution, context = _branch_of.get(), rest[-1]
        if execution is None:
            return execute(state, data, *rest)
        if execution["status"] != "RUNNING":
            raise _Ended
        name = context["State"]["Name"]
        entered = {"stateEnteredEventDetails": {"name": name, "input": json.dumps(data)}}
        stepfunctions._add_event(execution, f"{kind}StateEntered", entered)
        output, following = execute(state, data, *rest)
        exited = {"stateExitedEventDetails": {"name": name, "output": json.dumps(output)}}
        stepfunctions._add_event(execution, f"{kind}StateExited", exited)
        return output, following

    return execute_recorded


def bound_logs() -> None:
    """Hold the newest events of each log stream, once; a fifth more before the oldest are dropped together."""
    logs = patches.module("services.cloudwatch_logs")
    append = logs._append_log_events

    def append_bounded(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        append(stream, events)
        # An index with a copy of each event, which costs a tenth of a second of each saving.
        logs._log_records.clear()
        if len(stream["events"]) > LOG_EVENTS * 6 // 5:
            with logs._log_events_lock:
                del stream["events"][:-LOG_EVENTS]

    logs._append_log_events = append_bounded


def start() -> None:
    """Drop what is older than its retention, now and then."""
    threading.Thread(target=_expire_repeatedly, name="retention", daemon=True).start()


def _expire_repeatedly() -> None:
    while True:
        expire(time.time())
        time.sleep(EVERY_SECONDS)


def expire(now: float) -> None:
    """Drop ended executions, queries, alarm history, metrics and log events that AWS would have dropped by `now`."""
    stepfunctions, athena = patches.module("services.stepfunctions"), patches.module("services.athena")
    _drop(stepfunctions._executions, lambda each: _time(each["stopDate"]), now - EXECUTION_DAYS * DAY)
    _drop(athena._executions, lambda each: _time(each["Status"].get("CompletionDateTime")), now - QUERY_DAYS * DAY)
    cloudwatch, logs = patches.module("services.cloudwatch"), patches.module("services.cloudwatch_logs")
    for values in list(cloudwatch._metrics._data.values()):
        del values[:-METRIC_VALUES]
    for entries in list(cloudwatch._alarm_history._data.values()):
        oldest = now - ALARM_DAYS * DAY
        entries[:] = [each for each in entries if (_time(each.get("Timestamp")) or now) >= oldest]
    for group in list(logs._log_groups._data.values()):
        if group.get("retentionInDays"):
            oldest_event = (now - group["retentionInDays"] * DAY) * 1000
            for stream in list(group["streams"].values()):
                with logs._log_events_lock:
                    stream["events"] = [event for event in stream["events"] if event["timestamp"] >= oldest_event]


def _drop(store: Any, ended: Callable[[Any], float | None], oldest: float) -> None:
    for key, entry in list(store._data.items()):
        when = ended(entry)
        if when is not None and when < oldest:
            del store._data[key]


def _time(value: Any) -> float | None:
    """Epoch seconds of one of MiniStack's times: a number, an ISO text, or nothing."""
    if isinstance(value, str) and value:
        return datetime.datetime.fromisoformat(value).timestamp()
    return float(value) if value else None
