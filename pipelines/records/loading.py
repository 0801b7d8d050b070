"""The batch lane as a command: put a file under landing/, and follow the state machine `load` that its event starts.

What an event does not start (it was lost, or S3 sends none yet) is started here, with the event's own input. Loading a
file twice changes nothing: see ingestion/claims.py.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingestion.claims import Store
from ingestion.load import COUNTS, LOADING, chunk_key, file_id, file_key
from ingestion.names import LANDING, ForeignObject, landing_stamp, refuse_hidden
from localaws.errors import NOT_FOUND, RUN_FAILED, WRONG_USAGE, ExpectedError
from pipelines.account import retraining
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

Show = Callable[[str], None]
# How long the event of a new file may take before the state machine is started without it.
EVENT_SECONDS = 30.0
POLL_SECONDS, LONGEST_POLL_SECONDS = 0.2, 5.0


class Landed(NamedTuple):
    """A version of a file under landing/. stamp: the time of its rows, `YYYY-MM-DD-HH-MM-SS` (UTC)."""

    key: str
    version: str
    size: int
    stamp: str

    @property
    def id(self) -> str:
        """Its name under loaded/files/."""
        return file_id(self.key, self.version)


def upload(s3: Any, bucket: str, path: Path) -> Landed:
    """Put a file under landing/. Raises ExpectedError for a file that is not there or hidden."""
    key = LANDING + path.name
    if not path.is_file():
        raise ExpectedError("there is no such file", where=str(path), hint="give the path of a file", code=NOT_FOUND)
    try:
        refuse_hidden(key)
    except ForeignObject as error:
        hint = "rename it: what begins with _ or . is hidden, in landing/ as in the table"
        raise ExpectedError(f"the file is {error}", where=str(path), hint=hint, code=WRONG_USAGE) from error
    s3.upload_file(str(path), bucket, key)
    found = s3.head_object(Bucket=bucket, Key=key)
    stamp = landing_stamp(key, found["LastModified"])
    return Landed(key, found.get("VersionId", "null"), found["ContentLength"], stamp)


def landed(s3: Any, bucket: str, since: str | None = None) -> Iterator[Landed]:
    """The files under landing/ in all their versions, by the time of their rows; without hidden ones.

    since: only those that landed on that day (UTC, YYYY-MM-DD) or later.
    """
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=LANDING):
        for each in page.get("Versions", []):
            try:
                refuse_hidden(each["Key"])
            except ForeignObject:
                continue
            if since is None or f"{each['LastModified']:%Y-%m-%d}" >= since:
                stamp = landing_stamp(each["Key"], each["LastModified"])
                found.append(Landed(each["Key"], each["VersionId"], each["Size"], stamp))
    return iter(sorted(found, key=lambda file: (file.stamp, file.key, file.version)))


def load(stacks: Stacks, path: Path | None, show: Show = lambda text: None) -> list[Document]:
    """Load a file, or without one all that have landed and are not loaded; returns the counts and status of each."""
    s3, bucket = stacks.clients.s3, stacks.output("ingestion", "DataBucket")
    store = Store(s3, bucket)
    if path is not None:
        return [_Loading(stacks, store, upload(s3, bucket, path), EVENT_SECONDS).follow(show)]
    return [
        _Loading(stacks, store, file, 0.0).follow(show) for file in landed(s3, bucket) if not _is_loaded(store, file)
    ]


def _is_loaded(store: Store, file: Landed) -> bool:
    state, _ = store.read(file_key(file.id))
    return state is not None and state["status"] != LOADING


class _Loading:
    """The loading of one file. seconds: how long its event is waited for."""

    def __init__(self, stacks: Stacks, store: Store, file: Landed, seconds: float) -> None:
        self.stacks = stacks
        self.store = store
        self.file = file
        self.execution: str | None = None
        self.deadline = time.monotonic() + seconds
        self.chunks: dict[int, Document] = {}

    def follow(self, show: Show) -> Document:
        """Wait until the file is loaded or refused; returns {"file", "status", "refused", counts}.

        Raises ExpectedError when the state machine fails.
        """
        pause = POLL_SECONDS
        while True:
            state, _ = self.store.read(file_key(self.file.id))
            if state is not None and state["status"] != LOADING:
                return {each: state[each] for each in ("file", "status", *COUNTS, "refused")}
            if state is not None:
                show(f"{self.file.key}: {self._records(state['chunks']):,} records")
            self._start_or_fail(state)
            time.sleep(pause)
            pause = min(pause * 1.3, LONGEST_POLL_SECONDS)

    def _start_or_fail(self, state: Document | None) -> None:
        """Start the state machine where nothing has; raise where what this command has started has failed."""
        running = self.execution or (state or {}).get("execution")
        ended = retraining.final_status(self.stacks.clients, running) if running else None
        if running and ended is None:
            return
        if self.execution and ended and ended[0] != "SUCCEEDED":
            raise ExpectedError(
                f"the state machine load ended as {ended[0]}: {ended[1]}",
                where=self.execution,
                hint=self.stacks.clients.command("local" if self.stacks.clients.local else "records", "load"),
                code=RUN_FAILED,
            )
        if self.execution is None and (state is not None or time.monotonic() >= self.deadline):
            landed_object = {"key": self.file.key, "version-id": self.file.version}
            started = self.stacks.clients.stepfunctions.start_execution(
                stateMachineArn=self.stacks.output("ingestion", "LoadStateMachineArn"),
                input=json.dumps({"detail": {"object": landed_object}}),
            )
            self.execution = str(started["executionArn"])

    def _records(self, chunks: int) -> int:
        """The records that are read; finished chunks are read once."""
        for number in range(chunks):
            if not self.chunks.get(number, {}).get("done"):
                progress, _ = self.store.read(chunk_key(self.file.id, number))
                self.chunks[number] = progress or {"records": 0}
        return sum(int(each["records"]) for each in self.chunks.values())
