"""Lambda: loads a file of the batch lane, as the state machine `load` asks it to.

    {"action": "plan", "object": {"key", "version-id"}, "execution": ARN}   -> {"file", "status", "chunks": [0, 1, ...]}
    {"action": "chunk", "file": id, "chunk": n}                             -> {"done": whether the chunk is read}
    {"action": "finish", "file": id}                                        -> the file's counts and status

The progress is in loaded/files/: `<id>.json` of a file, `<id>/<n>.json` of each chunk after each of its batches. A
chunk that takes longer than one invocation, or that was killed, goes on from there. The landing object itself is the
evidence, as raw/ is the stream's. Environment: DATA_BUCKET.
"""

import hashlib
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ingestion import landing, metrics
from ingestion.claims import Store, Time, error_line, load_batch
from ingestion.names import FAILED, LOADED, REFUSED_FILE, ForeignObject, landing_stamp, refuse_hidden
from ingestion.retry import Deadline, remaining_seconds

LOADING, FINISHED, REFUSED = "Loading", "Loaded", "Refused"
COUNTS = ("records", "clean", "dropped", "failed", "repeated")
# Without a Lambda context; and the time left below which no batch begins.
SECONDS, LEAST_SECONDS = 900.0, 180.0
READERS = 16


class File(NamedTuple):
    """A version of a file under landing/, and how it is read."""

    key: str
    version: str
    time: Time
    plan: landing.Plan

    @property
    def id(self) -> str:
        """Its name under loaded/files/."""
        return file_id(self.key, self.version)


def handler(event: dict[str, Any], context: Any = None) -> dict[str, Any]:
    """Do one action. Raises botocore's errors, which the state machine retries."""
    import boto3

    store = Store(boto3.client("s3"), os.environ["DATA_BUCKET"])
    if event["action"] == "plan":
        return plan(store, event["object"], event["execution"])
    if event["action"] == "chunk":
        return chunk(store, event["file"], event["chunk"], Deadline(remaining_seconds(context, SECONDS)))
    return finish(store, event["file"])


def plan(store: Store, landed: dict[str, Any], execution: str) -> dict[str, Any]:
    """Plan the chunks of a file; none of one that is hidden, or that is loaded or refused already."""
    nothing: dict[str, Any] = {"file": "", "status": "Skipped", "chunks": []}
    try:
        refuse_hidden(landed["key"])
    except ForeignObject:
        return nothing
    version = {"VersionId": landed["version-id"]} if landed.get("version-id") else {}
    found = store.s3.head_object(Bucket=store.bucket, Key=landed["key"], **version)
    key, version_id = landed["key"], found.get("VersionId", "null")
    name = file_id(key, version_id)
    state, _ = store.read(file_key(name))
    if state is not None and state["status"] != LOADING:
        return nothing
    stamp, size = landing_stamp(key, found["LastModified"]), found["ContentLength"]
    state = {"file": key, "version": version_id, "stamp": stamp, "day": f"{found['LastModified']:%Y-%m-%d}"}
    state |= {"status": LOADING, "execution": execution, "refused": None}
    try:
        planned = landing.plan(opener(store, key, version_id), size)
    except landing.RefusedFile as error:
        planned, state["refused"] = landing.Plan("", size, ()), str(error)
    chunks = len(planned.starts)
    store.write(
        file_key(name), {**state, "kind": planned.kind, "size": size, "starts": list(planned.starts), "chunks": chunks}
    )
    return {"file": name, "status": LOADING, "chunks": list(range(chunks))}


def chunk(store: Store, name: str, number: int, deadline: Deadline) -> dict[str, Any]:
    """Load the batches of a chunk until its end, or until too little time is left for another one."""
    file = read_file(store, name)
    open_ = opener(store, file.key, file.version)
    before, _ = store.read(chunk_key(name, number))
    progress = before or {**dict.fromkeys(COUNTS, 0), "end": 0, "done": False, "refused": None}
    if progress["done"]:
        return {"done": True}
    counts = Counter({each: progress[each] for each in COUNTS})
    try:
        for batch in landing.chunk(open_, file.plan, number, progress["end"]):
            found = load_batch(store, batch, file.time, f"{name}/{number}")
            counts.update(found)
            progress |= {**_named(counts), "end": batch.end}
            store.write(chunk_key(name, number), progress)
            metrics.emit({each.title(): found[each] for each in ("clean", "dropped", "failed")})
            if deadline.left() < LEAST_SECONDS:
                return {"done": False}
    except landing.RefusedFile as error:
        progress["refused"] = str(error)
    store.write(chunk_key(name, number), {**progress, "done": True})
    return {"done": True}


def finish(store: Store, name: str) -> dict[str, Any]:
    """Sum up the chunks of a file; the refusal of a file becomes a failed record of its own."""
    state, _ = store.read(file_key(name))
    assert state is not None
    with ThreadPoolExecutor(READERS) as pool:
        keys = [chunk_key(name, number) for number in range(state["chunks"])]
        found = [each for each, _ in pool.map(store.read, keys) if each is not None]
    refused = next((each["refused"] for each in found if each["refused"]), state["refused"])
    counts = {each: sum(progress[each] for progress in found) for each in COUNTS}
    state |= {**counts, "status": REFUSED if refused else FINISHED, "refused": refused}
    if refused:
        at = Time(state["stamp"], state["day"])
        line = error_line(refusal(state["file"], state["version"]), REFUSED_FILE, refused, at)
        store.put(f"{FAILED}processing-failed/dt={at.day}/refused-{at.stamp}-{name}", [line])
        metrics.emit({"Failed": 1}, Reason="refused_file")
    store.write(file_key(name), state)
    return {each: state[each] for each in ("file", "status", "refused", *COUNTS)}


def refusal(key: str, version: str) -> bytes:
    """The record that stands for a refused file in the error prefix and in the ledger."""
    return json.dumps({"file": key, "version": version}).encode()


def read_file(store: Store, name: str) -> File:
    """A file that is planned."""
    state, _ = store.read(file_key(name))
    assert state is not None
    planned = landing.Plan(state["kind"], state["size"], state["starts"])
    return File(state["file"], state["version"], Time(state["stamp"], state["day"]), planned)


def opener(store: Store, key: str, version: str) -> landing.Open:
    """Reads bytes of a version of an object."""

    def open_(start: int, end: int | None) -> Any:
        last = "" if end is None else end - 1
        found = store.s3.get_object(Bucket=store.bucket, Key=key, VersionId=version, Range=f"bytes={start}-{last}")
        return found["Body"]

    return open_


def file_id(key: str, version: str) -> str:
    """The name of a version of a file under loaded/files/."""
    return hashlib.sha256(f"{key} {version}".encode()).hexdigest()[:32]


def file_key(name: str) -> str:
    """The object with a file's plan and result."""
    return f"{LOADED}files/{name}.json"


def chunk_key(name: str, number: int) -> str:
    """The object with a chunk's progress."""
    return f"{LOADED}files/{name}/{number}.json"


def _named(counts: Counter[str]) -> dict[str, int]:
    return {each: counts[each] for each in COUNTS}
