"""CloudWatch's embedded metric format: log lines that become metrics."""

import datetime
import json
from typing import Any

import pytest

from benchmarks.support.streams import Streams
from localaws.endpoint import Endpoint
from localaws.ministack.metrics import Datum, extract

WHEN = 1_795_132_800_000


def line(values: dict[str, Any], *directives: Any) -> str:
    return json.dumps({"_aws": {"Timestamp": WHEN, "CloudWatchMetrics": list(directives)}, **values})


def directive(metrics: list[Any], dimensions: Any = ()) -> dict[str, Any]:
    return {"Namespace": "N", "Dimensions": list(dimensions), "Metrics": metrics}


def datum(name: str, values: list[float], unit: str = "None", **dimensions: str) -> Datum:
    return Datum("N", name, dimensions, WHEN / 1000, unit, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("START RequestId: 1", []),
        ('{"message": "no metric"}', []),
        ('{"_aws": "text"}', []),
        ('{"_aws": {}}', []),
        ('not JSON but "_aws"', []),
        (line({"Clean": 3}, directive([{"Name": "Clean"}])), [datum("Clean", [3.0])]),
        (
            line({"Clean": 3, "Took": [1, 2.5]}, directive([{"Name": "Clean", "Unit": "Count"}, {"Name": "Took"}])),
            [datum("Clean", [3.0], "Count"), datum("Took", [1.0, 2.5])],
        ),
        (
            line({"Clean": 3, "A": "a", "B": 2}, directive([{"Name": "Clean"}], [["A"], ["A", "B"], []])),
            [datum("Clean", [3.0], A="a"), datum("Clean", [3.0], A="a", B="2"), datum("Clean", [3.0])],
        ),
        (
            line({"Clean": 3}, {"Namespace": "N"}, directive([{"Name": "Gone"}]), "x", directive([{"Name": "Clean"}])),
            [datum("Clean", [3.0])],
        ),
        (line({"Clean": "many"}, directive([{"Name": "Clean"}])), []),
        (line({"Clean": None}, directive([{"Name": "Clean"}])), []),
    ],
)
def test_a_log_line_holds_these_metrics(text: str, expected: list[Datum]) -> None:
    assert list(extract(text)) == expected


@pytest.fixture
def counting(endpoint: Endpoint) -> tuple[Streams, str]:
    """A Lambda that prints four failures each time, in a namespace of its own."""
    streams = Streams(endpoint)
    code = f"""
import json, time
def handler(event, context):
    sets, metrics = [["Reason"], ["Reason", "Function"]], [{{"Name": "Failed"}}]
    directive = {{"Namespace": "{streams.name}", "Dimensions": sets, "Metrics": metrics}}
    envelope = {{"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}}
    print(json.dumps({{"_aws": envelope, "Reason": "empty", "Function": "f", "Failed": 4}}))
"""
    return streams, streams.function(code)


def test_what_a_lambda_prints_in_the_format_is_a_metric_in_cloudwatch(counting: tuple[Streams, str]) -> None:
    streams, function = counting
    now = datetime.datetime.now(datetime.UTC)
    for _ in range(2):
        streams.lambdas.invoke(FunctionName=function)
    found = streams.client("cloudwatch").get_metric_statistics(
        Namespace=streams.name,
        MetricName="Failed",
        Dimensions=[{"Name": "Reason", "Value": "empty"}],
        StartTime=now - datetime.timedelta(hours=1),
        EndTime=now + datetime.timedelta(hours=1),
        Period=86400,
        Statistics=["Sum", "SampleCount"],
    )
    assert [(point["Sum"], point["SampleCount"]) for point in found["Datapoints"]] == [(8.0, 2.0)]


@pytest.mark.parametrize(("threshold", "state"), [(3, "ALARM"), (4, "OK")])
def test_an_alarm_compares_the_metric_of_exactly_its_dimensions(
    counting: tuple[Streams, str], threshold: int, state: str
) -> None:
    streams, function = counting
    cloudwatch = streams.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=streams.name,
        Namespace=streams.name,
        MetricName="Failed",
        Dimensions=[{"Name": "Reason", "Value": "empty"}],
        Statistic="Sum",
        Period=3600,
        EvaluationPeriods=1,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
    )
    streams.lambdas.invoke(FunctionName=function)
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[streams.name])["MetricAlarms"]
    assert alarm["StateValue"] == state
