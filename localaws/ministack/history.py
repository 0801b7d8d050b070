"""Bounds of what MiniStack remembers, as AWS bounds it: the length of an execution's history, and days of retention."""

import datetime
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
EVERY_SECONDS = 600


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
