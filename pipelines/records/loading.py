"""The batch lane: files under landing/ become rows of the cleaned table, by the same contract as the stream's records.

A file is read in chunks. The rows of a chunk are one object of cleaned/, its failed records one of errors/cleaned/,
both named after the time at which the file landed and the chunk's content, so that a repetition overwrites them. The
landing object itself is the evidence, as raw/ is the stream's. Equal content is loaded once, with the earliest time at
which it landed: files that come late, again or in another order change no newer row. The state is in loaded/: an
object per chunk, and one per file with its progress.
"""

import base64
import datetime
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingestion import landing, record
from ingestion.clean import WRITERS
from localaws.errors import NOT_FOUND, WRONG_USAGE, ExpectedError
from pipelines.cli.output import Document
from pipelines.records.failures import REFUSED
from pipelines.records.objects import CLEANED, FAILED, LANDING, LOADED, ForeignObject, refuse_hidden
from pipelines.records.rows import write_rows

Show = Callable[[str], None]


class Landed(NamedTuple):
    """A version of a file under landing/. stamp: when it landed, `YYYY-MM-DD-HH-MM-SS` (UTC)."""

    key: str
    version: str
    size: int
    stamp: str

    @property
    def progress_key(self) -> str:
        """The object with its progress."""
        return f"{LOADED}files/{hashlib.sha256(f'{self.key} {self.version}'.encode()).hexdigest()[:32]}.json"


def upload(s3: Any, bucket: str, path: Path) -> str:
    """Put a file under landing/; returns its key. Raises ExpectedError for a file that is not there or hidden."""
    key = LANDING + path.name
    if not path.is_file():
        raise ExpectedError("there is no such file", where=str(path), hint="give the path of a file", code=NOT_FOUND)
    try:
        refuse_hidden(key)
    except ForeignObject as error:
        hint = "rename it: what begins with _ or . is hidden, in landing/ as in the table"
        raise ExpectedError(f"the file is {error}", where=str(path), hint=hint, code=WRONG_USAGE) from error
    s3.upload_file(str(path), bucket, key)
    return key


def landed(s3: Any, bucket: str, since: str | None = None) -> Iterator[Landed]:
    """The files under landing/ in all their versions, by the time at which they landed; without hidden ones."""
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=LANDING):
        for each in page.get("Versions", []):
            try:
                refuse_hidden(each["Key"])
            except ForeignObject:
                continue
            stamp = each["LastModified"].astimezone(datetime.UTC).strftime("%Y-%m-%d-%H-%M-%S")
            if since is None or stamp[:10] >= since:
                found.append(Landed(each["Key"], each["VersionId"], each["Size"], stamp))
    return iter(sorted(found, key=lambda file: (file.stamp, file.key, file.version)))


def open_file(s3: Any, bucket: str, file: Landed) -> Any:
    """The content of a file, to be read."""
    return s3.get_object(Bucket=bucket, Key=file.key, VersionId=file.version)["Body"]


def load(s3: Any, bucket: str, file: Landed, parquet: bool, show: Show = lambda text: None) -> Document:
    """Load a file; returns its counts: records, clean, dropped, failed, and how many of its records were repeated.

    A file that is no list of records is refused: the counts of the records before have a reason `refused`.
    """
    counts: Counter[str] = Counter()
    refused = None
    try:
        for chunk in landing.chunks(open_file(s3, bucket, file), file.size):
            counts += _load_chunk(s3, bucket, file, chunk, parquet)
            _progress(s3, bucket, file, counts, "Loading")
            show(f"{file.key}: {counts['records']:,} records")
    except landing.RefusedFile as error:
        refused = str(error)
    return _progress(s3, bucket, file, counts, "Refused" if refused else "Loaded", refused)


def load_all(s3: Any, bucket: str, parquet: bool, show: Show = lambda text: None) -> list[Document]:
    """Load every file that has not been loaded to its end, the oldest first."""
    done = []
    for file in landed(s3, bucket):
        state = _read(s3, bucket, file.progress_key)
        if state is None or state["status"] == "Loading":
            done.append(load(s3, bucket, file, parquet, show))
    return done


def _load_chunk(s3: Any, bucket: str, file: Landed, chunk: landing.Chunk, parquet: bool) -> Counter[str]:
    """Write a chunk's rows and failed records, unless the same content has landed before."""
    total = len(chunk.records)
    claim = f"{LOADED}chunks/{chunk.content}.json"
    before = _read(s3, bucket, claim)
    if before and before["done"] and before["stamp"] <= file.stamp:
        return Counter(records=total, repeated=total)
    # The earliest time at which this content landed, whichever file is read first.
    file = file._replace(stamp=min(file.stamp, before["stamp"])) if before else file
    rows, failures, counts = _transformed(chunk, file, WRITERS["parquet" if parquet else "csv"])
    _put(s3, bucket, claim, {"file": file.key, "stamp": file.stamp, "done": False})
    write_rows(s3, bucket, f"{CLEANED}dt={file.stamp[:10]}/landed-{file.stamp}-{chunk.content}", rows)
    if failures:
        key = _error_key(file.stamp, chunk.content)
        s3.put_object(Bucket=bucket, Key=key, Body=b"".join(failures))
    if before and before["stamp"] != file.stamp:
        write_rows(s3, bucket, f"{CLEANED}dt={before['stamp'][:10]}/landed-{before['stamp']}-{chunk.content}", [])
        s3.delete_object(Bucket=bucket, Key=_error_key(before["stamp"], chunk.content))
    _put(s3, bucket, claim, {"file": file.key, "stamp": file.stamp, "done": True})
    return counts


def _error_key(stamp: str, content: str) -> str:
    return f"{FAILED}processing-failed/dt={stamp[:10]}/landed-{stamp}-{content}"


def _transformed(
    chunk: landing.Chunk, file: Landed, write: Callable[[record.Row], str]
) -> tuple[list[bytes], list[bytes], Counter[str]]:
    """The rows, the lines of the error object, and the counts of a chunk."""
    rows, failures = [], []
    counts: Counter[str] = Counter(records=len(chunk.records))
    landed_at = datetime.datetime.strptime(file.stamp, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=datetime.UTC)
    for content in chunk.records:
        outcome = record.to_row(content)
        if isinstance(outcome, record.Clean):
            rows.append(write(outcome.row).encode())
            counts["clean"] += 1
        elif isinstance(outcome, record.Dropped):
            counts["dropped"] += 1
        else:
            failures.append(_error(content, outcome.reason, landed_at))
            counts["failed"] += 1
    return rows, failures, counts


def _error(content: bytes, reason: str, landed_at: datetime.datetime) -> bytes:
    """The line that Firehose would write for a record that its transform fails."""
    line = {
        "attemptsMade": 1,
        "arrivalTimestamp": int(landed_at.timestamp() * 1000),
        "errorCode": REFUSED,
        "errorMessage": reason,
        "attemptEndingTimestamp": int(time.time() * 1000),
        "rawData": base64.b64encode(content).decode(),
    }
    return json.dumps(line).encode() + b"\n"


def _progress(
    s3: Any, bucket: str, file: Landed, counts: Counter[str], status: str, refused: str | None = None
) -> Document:
    names = ("records", "clean", "dropped", "failed", "repeated")
    state = {"file": file.key, "status": status, **{name: counts[name] for name in names}, "refused": refused}
    _put(s3, bucket, file.progress_key, state)
    return state


def _put(s3: Any, bucket: str, key: str, state: Document) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(state).encode())


def _read(s3: Any, bucket: str, key: str) -> Document | None:
    import botocore.exceptions

    try:
        found: Document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    return found
