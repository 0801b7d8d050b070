"""CloudWatch's embedded metric format: metrics that Lambdas print as JSON lines of their logs.

CloudWatch extracts them as the lines arrive; MiniStack does not.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from localaws.ministack import patches


class Datum(NamedTuple):
    """One metric of one dimension set. timestamp: epoch seconds."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    timestamp: float
    unit: str
    values: list[float]


def install() -> None:
    """Extract metrics from every log event that CloudWatch Logs accepts."""
    logs: Any = patches.module("services.cloudwatch_logs")
    append = logs._append_log_events

    def append_and_extract(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        append(stream, events)
        found = [datum for event in events for datum in extract(event["message"])]
        for datum in found:
            _store(datum)
        if found:
            patches.module("services.cloudwatch")._evaluate_all_alarms()

    logs._append_log_events = append_and_extract
    _evaluate_alarms_by_dimensions(patches.module("services.cloudwatch"))


def _evaluate_alarms_by_dimensions(cloudwatch: Any) -> None:
    """Let an alarm read the metric of exactly its dimensions; MiniStack adds up the metrics of all dimensions.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Dimension
    """
    evaluate = cloudwatch._evaluate_alarm

    def evaluate_one_metric(alarm: dict[str, Any]) -> None:
        dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []}
        key = (alarm.get("Namespace"), alarm.get("MetricName"), cloudwatch._dims_key(dimensions))
        # The same function, for which there is no other metric.
        metrics = {key: cloudwatch._metrics.get(key, [])}
        types.FunctionType(evaluate.__code__, {**vars(cloudwatch), "_metrics": metrics})(alarm)

    cloudwatch._evaluate_alarm = evaluate_one_metric


def extract(line: str) -> Iterator[Datum]:
    """The metrics of a log line, none if it is not in the format. Malformed directives are skipped."""
    if '"_aws"' not in line:
        return
    try:
        document = json.loads(line)
        metadata = document["_aws"]
        timestamp = float(metadata.get("Timestamp", time.time() * 1000)) / 1000
        directives = list(metadata["CloudWatchMetrics"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    for directive in directives:
        try:
            yield from list(_of_directive(document, directive, timestamp))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _of_directive(document: dict[str, Any], directive: dict[str, Any], timestamp: float) -> Iterator[Datum]:
    for names in directive.get("Dimensions") or [[]]:
        dimensions = {name: str(document[name]) for name in names}
        for metric in directive["Metrics"]:
            value = document[metric["Name"]]
            values = [float(item) for item in (value if isinstance(value, list) else [value])]
            unit = metric.get("Unit", "None")
            yield Datum(directive["Namespace"], metric["Name"], dimensions, timestamp, unit, values)


def _store(datum: Datum) -> None:
    patches.module("services.cloudwatch")._store_datum(
        datum.namespace,
        datum.name,
        datum.dimensions,
        datum.timestamp,
        datum.unit,
        None,
        datum.values,
        None,
        None,
    )
