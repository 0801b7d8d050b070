"""Put records on a Kinesis stream within its limits; retry only the records that it refused."""

from collections.abc import Iterable, Iterator
from typing import Any

from ingestion.api import Record
from ingestion.batches import batches
from ingestion.retry import Deadline, full_jitter

# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html: records and bytes, keys included.
MAX_RECORDS, MAX_BYTES = 500, 5_000_000
TRIES = 8
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 0.1, 5.0
CONNECT_SECONDS, READ_SECONDS = 3.0, 10.0

# Errors of a whole call that are retried, beside those of status 5xx.
RETRIED = frozenset({"ProvisionedThroughputExceededException", "KMSThrottlingException", "ThrottlingException"})


class StreamError(Exception):
    """The stream refused records in all tries; the text has how many were sent, how many not, and why."""


class Stream:
    """A stream by name. sent counts the records it took, retries the repeated calls."""

    def __init__(self, name: str, deadline: Deadline, client: Any = None) -> None:
        self.name = name
        self.deadline = deadline
        self.client = client
        self.sent = 0
        self.retries = 0

    def put(self, records: Iterable[Record]) -> None:
        """Put all records; raises StreamError when TRIES calls in a row send nothing, or at the deadline."""
        waiting = list(calls(records))
        if waiting and self.client is None:
            self.client = kinesis()
        for number, batch in enumerate(waiting):
            left, why = self._put_batch(batch)
            if left:
                left += sum(len(later) for later in waiting[number + 1 :])
                raise StreamError(f"stream {self.name}: {self.sent} records sent, {left} not sent: {why}")

    def _put_batch(self, batch: list[Record]) -> tuple[int, str]:
        """How many records were refused in all tries, and why."""
        failures_in_a_row = 0
        while True:
            left, why, final = self._put_once(batch)
            self.sent += len(batch) - len(left)
            failures_in_a_row = 0 if len(left) < len(batch) else failures_in_a_row + 1
            batch = left
            if not batch or final or failures_in_a_row == TRIES:
                return len(batch), why
            if not self.deadline.wait(full_jitter(failures_in_a_row, FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS)):
                return len(batch), f"{why}, and no time is left"
            self.retries += 1

    def _put_once(self, batch: list[Record]) -> tuple[list[Record], str, bool]:
        """One call: the records that were refused, in their order, why, and whether a retry is useless."""
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

        entries = [{"Data": record.data, "PartitionKey": record.key} for record in batch]
        try:
            results = self.client.put_records(StreamName=self.name, Records=entries)["Records"]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            return batch, code, code not in RETRIED and status < 500
        except BotoCoreError as error:
            return batch, type(error).__name__, not isinstance(error, HTTPClientError | ConnectionError)
        refused = [result["ErrorCode"] for result in results if result.get("ErrorCode")]
        left = [record for record, result in zip(batch, results, strict=True) if result.get("ErrorCode")]
        return left, ", ".join(sorted(set(refused))), False


def calls(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in their order, in as few calls as PutRecords' limits allow."""
    return batches(records, MAX_RECORDS, MAX_BYTES, lambda record: len(record.data) + len(record.key.encode()))


def kinesis() -> Any:
    """A client without retries of its own: they are made and counted here. It reads AWS_ENDPOINT_URL."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
    return boto3.client("kinesis", config=config)
