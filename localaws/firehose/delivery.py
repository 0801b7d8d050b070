"""Firehose's delivery as AWS does it, in place of MiniStack's one object per record.

A record is in the journal before Kinesis or Firehose acknowledges it. From there it goes through the stages of its
delivery stream (`batches`), each a queue with a thread of its own. Batches are cut by size and time as the
buffering hints ask, with AWS's seconds multiplied by the time scale. Unlike AWS, which gives up on S3 after 24 hours,
a batch that cannot be written stays in the journal and is retried indefinitely.

Not done: dynamic partitioning, source backup, log lines in CloudWatch Logs. Destinations other than S3 stay
MiniStack's.
"""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from localaws.firehose import batches
from localaws.firehose.journal import Journal
from localaws.firehose.records import Entry, Queue
from localaws.ministack import patches
from localaws.workspace import Workspace

logger = logging.getLogger(__name__)

# Seconds on AWS's clock between attempts to write to S3: doubled each time, up to the second figure.
RETRY_PAUSE, LONGEST_PAUSE = 1.0, 60.0

# What a shard remembers for GetRecords at most. Nothing here reads a stream but the delivery, which has a journal;
# more would fill the memory of a long load run, and be saved again and again with MiniStack's state.
RETAINED = 1_000

Document = dict[str, Any]


class Delivery:
    """Every delivery stream of the endpoint. time_scale: local seconds per second of AWS's waiting."""

    def __init__(self, workspace: Workspace, time_scale: float) -> None:
        self._journal = Journal(workspace.root / "delivery.db")
        self._time_scale = time_scale
        self._threads: dict[Queue, threading.Thread] = {}
        self._threads_lock = threading.Lock()
        self._started = False
        self._stop = threading.Event()

    def install(self) -> None:
        """Take the place of MiniStack's delivery."""
        firehose: Any = patches.module("services.firehose")
        kinesis: Any = patches.module("services.kinesis")
        firehose.ingest_from_kinesis_source = _deliver_nothing
        firehose._deliver_records_to_s3 = self._accept_put
        kinesis._expire_records = _retain_latest
        kinesis._put_record = self._journalled(kinesis._put_record)
        kinesis._put_records = self._journalled(kinesis._put_records)
        firehose._delete_delivery_stream = self._forgotten(firehose._delete_delivery_stream)
        firehose._HANDLERS["DeleteDeliveryStream"] = firehose._delete_delivery_stream
        firehose.reset = self._emptied(firehose.reset)

    def start(self) -> None:
        """Begin to deliver what is in the journal, and what comes."""
        self._started = True
        self._attend(self._journal.waiting())

    def close(self) -> None:
        """Stop after the write under way; what is not delivered stays in the journal."""
        self._stop.set()
        self._journal.close()
        for thread in list(self._threads.values()):
            thread.join(timeout=2)
        self._journal.close_file()

    def drain(self, timeout: float) -> bool:
        """Deliver all that is buffered now, without waiting for size or time; True when nothing is left.

        timeout: seconds. Not for the server's own loop, which must stay free to write to S3.
        """
        return self._journal.drain(timeout, lambda queue: batches.find_stream(queue.stream) is not None)

    def waiting(self) -> dict[str, dict[str, int]]:
        """The records that wait, by delivery stream (its name) and stage."""
        found: dict[str, dict[str, int]] = {}
        for queue, rows in self._journal.waiting().items():
            found.setdefault(queue.stream.rpartition("/")[2], {})[queue.stage] = rows
        return found

    def _journalled(self, original: Callable[[Document], Any]) -> Callable[[Document], Any]:
        """Kinesis' PutRecord or PutRecords, which answers when what it accepted is in the journal."""

        def put(data: Document) -> Any:
            answer = original(data)
            status, _, body = answer
            if status == 200:
                _, source = patches.module("services.kinesis")._resolve_stream(data)
                accepted = json.loads(body)
                self._accept_from_kinesis(
                    source["StreamARN"], data.get("Records", [data]), accepted.get("Records", [accepted])
                )
            return answer

        return put

    def _accept_from_kinesis(self, source: str, records: list[Document], accepted: list[Document]) -> None:
        queues = [batches.first_queue(stream) for stream in batches.streams_reading(source)]
        now = time.time()
        entries = []
        for record, answer in zip(records, accepted, strict=True):
            data, metadata = decoded(record.get("Data", "")), kinesis_metadata(record, answer, now)
            entries += [Entry(queue, now, data, metadata) for queue in queues]
        self._accept(entries)

    def _accept_put(self, stream: Document, destination: Document, records: list[tuple[str, bytes]]) -> None:
        """Firehose's own PutRecord and PutRecordBatch, one record at a time."""
        # MiniStack also adds every record to its state, where nothing reads it.
        destination["records"].clear()
        queue, now = batches.first_queue(stream), time.time()
        self._accept([Entry(queue, now, data) for _, data in records])

    def _accept(self, entries: list[Entry]) -> None:
        if entries:
            self._journal.append(entries)
            self._attend({entry.queue for entry in entries})

    def _attend(self, queues: Any) -> None:
        """See that a thread serves each of the queues; before `start` they only fill."""
        with self._threads_lock:
            for queue in queues:
                if self._started and queue not in self._threads:
                    name = f"delivery-{queue.stage}"
                    thread = threading.Thread(target=self._serve, args=(queue,), name=name, daemon=True)
                    self._threads[queue] = thread
                    thread.start()

    def _serve(self, queue: Queue) -> None:
        pause = RETRY_PAUSE
        while not self._stop.is_set():
            try:
                if rows := self._journal.take(queue, lambda: batches.hints(queue, self._time_scale)):
                    self._attend(batches.process(self._journal, queue, rows, self._time_scale))
                pause = RETRY_PAUSE
            except Exception:
                # Whatever it was (S3, a configuration, a full disk): the batch is still in the journal.
                logger.exception("A batch of %s is not delivered; tried again", queue.stream)
                self._stop.wait(pause * self._time_scale)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _forgotten(self, original: Callable[[Document], Any]) -> Callable[[Document], Any]:
        """DeleteDeliveryStream, which forgets what the stream still held."""

        def delete(data: Document) -> Any:
            answer = original(data)
            if answer[0] == 200:
                self._journal.discard(patches.module("services.firehose")._stream_arn(data["DeliveryStreamName"]))
            return answer

        return delete

    def _emptied(self, original: Callable[[], None]) -> Callable[[], None]:
        def reset() -> None:
            original()
            for queue in self._journal.waiting():
                self._journal.discard(queue.stream)

        return reset


def decoded(data: str) -> bytes:
    """A record's Data field; text that is not base64 is taken as it is, as MiniStack's Kinesis does."""
    try:
        return base64.b64decode(data)
    except ValueError:
        return data.encode()


def kinesis_metadata(record: Document, accepted: Document, arrival: float) -> str:
    """A record's kinesisRecordMetadata in a transformation event, as JSON."""
    return json.dumps(
        {
            "shardId": accepted["ShardId"],
            "partitionKey": record["PartitionKey"],
            "approximateArrivalTimestamp": int(arrival * 1000),
            "sequenceNumber": accepted["SequenceNumber"],
            "subsequenceNumber": "",
        }
    )


def _retain_latest(stream: Document) -> None:
    """Kinesis' retention: 24 hours or more as configured, and no more than memory can be spared for."""
    oldest = time.time() - stream["RetentionPeriodHours"] * 3600
    for shard in stream["shards"].values():
        records = shard["records"]
        expired = sum(1 for _ in takewhile(lambda record: record["ApproximateArrivalTimestamp"] < oldest, records))
        del records[: max(expired, len(records) - RETAINED)]


def _deliver_nothing(stream_arn: str, records: list[Any]) -> None:
    """MiniStack's hand-over from Kinesis, which swallows errors; `Delivery` wraps the operations instead."""
