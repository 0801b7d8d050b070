"""Records that reached the stream before Firehose read it.

A delivery stream with a Kinesis stream as its source begins to read at LATEST when it is created
(https://docs.aws.amazon.com/firehose/latest/dev/writing-with-kinesis-streams.html). An earlier record is in no object
of S3; only CloudWatch has counted it.
"""

import datetime
from typing import Any

from pipelines.account.stacks import Stacks

PERIOD = 60


def before_delivery(stacks: Stacks) -> int:
    """How many records arrived in the minutes between the creation of the stream and that of its deliveries."""
    clients = stacks.clients
    name = stacks.output("ingestion", "StreamName")
    stream = clients.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    # A record that the raw delivery has read is in the ledger, whatever has read it besides.
    created = _created(clients, stacks.output("ingestion", "RawDeliveryName"))
    # A minute's count is of no use when the delivery began within it.
    end = created.replace(second=0, microsecond=0)
    start = stream["StreamCreationTimestamp"].replace(second=0, microsecond=0)
    if end <= start:
        return 0
    points = clients.cloudwatch.get_metric_statistics(
        Namespace="AWS/Kinesis",
        MetricName="IncomingRecords",
        Dimensions=[{"Name": "StreamName", "Value": name}],
        StartTime=start,
        EndTime=end,
        Period=_period(end - start),
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(point["Sum"] for point in points))


def _created(clients: Any, name: str) -> datetime.datetime:
    described = clients.firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    created: datetime.datetime = described["CreateTimestamp"]
    return created


def _period(span: datetime.timedelta) -> int:
    """Seconds of a data point: a call returns at most 1,440 of them."""
    points = span.total_seconds() / PERIOD
    return PERIOD * (int(points // 1_440) + 1)
