"""A bucket, a stream, delivery streams and small Lambdas on a local endpoint, for tests and benchmarks."""

import gzip
import io
import itertools
import time
import zipfile
from typing import Any

from benchmarks.support.definitions import until
from localaws import clients
from localaws.clients import REGION
from localaws.endpoint import Endpoint

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/test"
# Longer than any test: only size or a drain makes such a buffer due.
NEVER = 900
_numbers = itertools.count(1)


class Streams:
    """One bucket and one Kinesis stream of an endpoint, under a name of their own."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = f"test-{next(_numbers)}"
        self.connect(endpoint)
        self.s3.create_bucket(Bucket=self.name)
        self.kinesis.create_stream(StreamName=self.name, ShardCount=1)
        self.source = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{self.name}"

    def connect(self, endpoint: Endpoint) -> None:
        """Use this endpoint from now on, after a restart."""
        self.endpoint = endpoint
        self.s3, self.kinesis, self.firehose, self.lambdas = (
            self.client(service) for service in ("s3", "kinesis", "firehose", "lambda")
        )

    def client(self, service: str) -> Any:
        """A boto3 client of the endpoint."""
        return clients.client(self.endpoint.url, service, self.endpoint.credentials, attempts=1)

    def function(self, code: str, timeout: int = 30, **environment: str) -> str:
        """Create a Lambda from source that defines `handler`; return its ARN."""
        return self.packaged({"code.py": code}, "code.handler", timeout, **environment)

    def packaged(self, files: dict[str, str], handler: str, timeout: int = 30, **environment: str) -> str:
        """Create a Lambda from files (name: source); return its ARN."""
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            for name, source in files.items():
                archive.writestr(name, source)
        created = self.lambdas.create_function(
            FunctionName=f"{self.name}-{next(_numbers)}",
            Runtime="python3.12",
            Role=ROLE,
            Handler=handler,
            Code={"ZipFile": package.getvalue()},
            Timeout=timeout,
            Environment={"Variables": environment},
        )
        return str(created["FunctionArn"])

    def deliver(
        self, prefix: str, *, size: int = 5, seconds: int = NEVER, direct: bool = False, **destination: Any
    ) -> str:
        """Create a delivery stream to `<prefix>dt=.../` and `errors/<prefix><type>/dt=.../`; return its name."""
        name = f"{self.name}-{next(_numbers)}"
        day = "dt=!{timestamp:yyyy-MM-dd}/"
        source = {"KinesisStreamARN": self.source, "RoleARN": ROLE}
        self.firehose.create_delivery_stream(
            DeliveryStreamName=name,
            DeliveryStreamType="DirectPut" if direct else "KinesisStreamAsSource",
            **({} if direct else {"KinesisStreamSourceConfiguration": source}),
            ExtendedS3DestinationConfiguration={
                "BucketARN": f"arn:aws:s3:::{self.name}",
                "RoleARN": ROLE,
                "Prefix": prefix + day,
                "ErrorOutputPrefix": f"errors/{prefix}!{{firehose:error-output-type}}/{day}",
                "BufferingHints": {"SizeInMBs": size, "IntervalInSeconds": seconds},
                **destination,
            },
        )
        return name

    def put(self, *records: bytes) -> None:
        """Put records on the stream, 500 a call."""
        for start in range(0, len(records), 500):
            batch = [{"Data": data, "PartitionKey": "key"} for data in records[start : start + 500]]
            self.kinesis.put_records(StreamName=self.name, Records=batch)

    def drain(self) -> None:
        """Deliver everything that was put so far."""
        assert self.endpoint.control("drain", seconds=60)["drained"] is True

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """The bucket's objects under a prefix, decompressed, by key."""
        found: dict[str, bytes] = {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for item in page.get("Contents", []):
                body = self.s3.get_object(Bucket=self.name, Key=item["Key"])["Body"].read()
                found[item["Key"]] = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        return found

    def bodies(self, prefix: str = "") -> list[bytes]:
        """The contents of the objects under a prefix, in the order of their keys."""
        return [body for _, body in sorted(self.objects(prefix).items())]


def delivered(endpoint: Endpoint) -> None:
    """Wait until no delivery stream holds a record."""
    until(lambda: not any(sum(stages.values()) for stages in endpoint.control("status")["waiting"].values()))


def transformed_by(function: str, *, size: str = "1", seconds: str = "0", retries: str = "3") -> dict[str, Any]:
    """A destination's ProcessingConfiguration with one Lambda."""
    parameters = {
        "LambdaArn": function,
        "RoleArn": ROLE,
        "NumberOfRetries": retries,
        "BufferSizeInMBs": size,
        "BufferIntervalInSeconds": seconds,
    }
    listed = [{"ParameterName": name, "ParameterValue": value} for name, value in parameters.items()]
    return {"Enabled": True, "Processors": [{"Type": "Lambda", "Parameters": listed}]}


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    """An error line without its two times, which must be of the last minute, in milliseconds and in order."""
    line = dict(line)
    arrival, end = line.pop("arrivalTimestamp"), line.pop("attemptEndingTimestamp")
    now = time.time() * 1000
    assert now - 60_000 < arrival <= end <= now
    return line
