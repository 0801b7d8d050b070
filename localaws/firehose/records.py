"""Records on their way: in which queue they wait, when a batch of them is due, and where it ends."""

from collections.abc import Iterable
from typing import NamedTuple


class Queue(NamedTuple):
    """One stage of one delivery stream (its ARN)."""

    stream: str
    stage: str


class Row(NamedTuple):
    """A record: number in the journal, arrival (epoch seconds), bytes, Kinesis metadata as JSON or ''."""

    number: int
    arrival: float
    data: bytes
    source: str

    @property
    def event_bytes(self) -> int:
        """At most this many bytes in a Lambda event: base64, metadata, and the ids and names around them."""
        return 4 * (len(self.data) // 3 + 1) + len(self.source) + 200


class Entry(NamedTuple):
    """A record to append."""

    queue: Queue
    arrival: float
    data: bytes
    source: str = ""


class Hints(NamedTuple):
    """When a batch is due: at `size` bytes, or when its oldest row is `seconds` old.

    event_size: the most bytes a Lambda event of the batch may have.
    """

    size: int
    seconds: float
    event_size: int | None = None


def cut(rows: Iterable[Row], hints: Hints) -> list[Row]:
    """The first rows that together stay within the sizes; one alone may exceed them."""
    batch: list[Row] = []
    size = event_size = 0
    for row in rows:
        size += len(row.data)
        if hints.event_size is not None:
            event_size += row.event_bytes
        if batch and (size > hints.size or event_size > (hints.event_size or 0)):
            break
        batch.append(row)
    return batch
