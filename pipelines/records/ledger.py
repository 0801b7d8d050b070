"""The ledger: what became of every record that was accepted, from the objects in S3 alone.

accepted = clean + dropped + failed, record by record. `raw/` holds each accepted record as one line,
`cleaned/` the rows, `errors/cleaned/` the failed ones as Firehose wrote them. What was dropped leaves no
object: that it was to be dropped is recomputed with `record.to_row`. Works with boto3's clients on AWS and
on the local endpoint alike.
"""

import base64
import datetime
import gzip
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from ingestion import record

RAW, CLEANED, FAILED = "raw/", "cleaned/", "errors/cleaned/"
# The error code of a record that the transform itself failed: the reason is then the transform's.
REFUSED = "Lambda.ProcessingFailedStatus"

Outcome = record.Clean | record.Dropped | record.Failed


class Failure(NamedTuple):
    """A failed record: what came in (its row as JSON when only the conversion to Parquet failed), and why.

    code: Firehose's. line: the error object's own. day: of arrival, UTC.
    """

    record: bytes
    code: str
    line: bytes
    day: str


def ledger(s3: Any, bucket: str, since: str | None = None) -> dict[str, Any]:
    """Account for every record of the bucket, or of the days (UTC, YYYY-MM-DD) from `since` on.

    accepted: lines in raw/. clean, dropped, failed: records found, the latter two by reason. duplicates:
    rows and error lines delivered more often than their record was accepted, as AWS's at-least-once allows.
    unexplained: those whose record is not in raw/ at all. difference: accepted records of which nothing is
    to be found. A day is that of an object's oldest record, so a record of midnight may stand on either
    side of `since`. What Firehose still buffers is not there yet.
    """
    accepted, rows, failures = _evidence(s3, bucket, since)
    clean = duplicates = difference = 0
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for key, (copies, outcome) in accepted.items():
        found_rows, found_failures = rows.pop(key, 0), failures.pop(key, Counter())
        with_row = min(copies, found_rows)
        reasons = list(found_failures.elements())[: copies - with_row]
        failed.update(_reason(outcome, code) for code in reasons)
        left = copies - with_row - len(reasons)
        if isinstance(outcome, record.Dropped):
            dropped[outcome.reason] += left
            left = 0
        clean += with_row
        difference += left
        duplicates += found_rows - with_row + found_failures.total() - len(reasons)
    return {
        "accepted": sum(copies for copies, _ in accepted.values()),
        "clean": clean,
        "dropped": dict(+dropped),
        "failed": dict(failed),
        "duplicates": duplicates,
        "unexplained": sum(rows.values()) + sum(codes.total() for codes in failures.values()),
        "difference": difference,
    }


def render(account: dict[str, Any]) -> str:
    """A ledger as a table for people."""
    dropped, failed = account["dropped"], account["failed"]
    lines = [f"accepted    {account['accepted']:>9,}", f"= clean     {account['clean']:>9,}"]
    for name, reasons in (("dropped", dropped), ("failed", failed)):
        lines.append(f"+ {name:<9} {sum(reasons.values()):>9,}")
        lines += [f"    {reason:<32} {count:>9,}" for reason, count in Counter(reasons).most_common()]
    lines.append(f"difference  {account['difference']:>9,}")
    lines.append(f"duplicates  {account['duplicates']:>9,}   (delivered more than once)")
    if account["unexplained"]:
        lines.append(f"unexplained {account['unexplained']:>9,}   (delivered, but not in {RAW})")
    return "\n".join(lines)


def _evidence(
    s3: Any, bucket: str, since: str | None
) -> tuple[dict[bytes, tuple[int, Outcome]], Counter[bytes], dict[bytes, Counter[str]]]:
    """By content: accepted copies and their expected outcome; rows found; error codes found."""
    accepted: dict[bytes, tuple[int, Outcome]] = {}
    for body in _bodies(s3, bucket, RAW, since):
        for line in lines_of(body):
            outcome = record.to_row(line)
            key = _content(line, outcome)
            accepted[key] = (accepted.get(key, (0, outcome))[0] + 1, outcome)
    rows: Counter[bytes] = Counter()
    for body in _bodies(s3, bucket, CLEANED, since):
        rows.update(map(_row_content, _rows(body)))
    failures: dict[bytes, Counter[str]] = defaultdict(Counter)
    for body in _bodies(s3, bucket, FAILED, since):
        for failure in failures_in(body):
            failures[_content(failure.record, record.to_row(failure.record))][failure.code] += 1
    return accepted, rows, failures


def _reason(outcome: Outcome, code: str) -> str:
    return outcome.reason if code == REFUSED and isinstance(outcome, record.Failed) else code


def _content(raw: bytes, outcome: Outcome) -> bytes:
    """What makes two records the same: the row they become, or else their bytes."""
    if isinstance(outcome, record.Clean):
        return _row_content(record.to_csv(outcome.row).encode())
    return b"raw" + hashlib.blake2b(raw.removesuffix(b"\n"), digest_size=16).digest()


def _row_content(line: bytes) -> bytes:
    return b"row" + hashlib.blake2b(line, digest_size=16).digest()


def keys(s3: Any, bucket: str, prefix: str, since: str | None = None) -> Iterator[str]:
    """The keys under a prefix, of the days (dt=) from `since` on."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            day = re.search(r"/dt=(\d{4}-\d\d-\d\d)/", found["Key"])
            if since is None or day is None or day[1] >= since:
                yield found["Key"]


def read(s3: Any, bucket: str, key: str) -> bytes:
    """An object's content, decompressed."""
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def _bodies(s3: Any, bucket: str, prefix: str, since: str | None) -> Iterator[bytes]:
    for key in keys(s3, bucket, prefix, since):
        yield read(s3, bucket, key)


def lines_of(body: bytes) -> list[bytes]:
    """The lines; an empty one is a record too, but what follows the last line break is none."""
    lines = body.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _rows(body: bytes) -> Iterator[bytes]:
    """The rows of a cleaned object as CSV lines, whichever its format."""
    if not body.startswith(b"PAR1"):
        yield from (line + b"\n" for line in lines_of(body))
        return
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(body))
    for batch in file.iter_batches(columns=list(record.NAMES)):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield record.to_csv(tuple(_whole(value) for value in values)).encode()


def _whole(value: Any) -> Any:
    """A double column's 1053.0 is the row's 1053."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def failures_in(body: bytes) -> Iterator[Failure]:
    """The failed records of an error object, of the transformation and of the conversion alike."""
    for line in lines_of(body):
        error = json.loads(line)
        code = error.get("errorCode") or error["lastErrorCode"]
        arrival = datetime.datetime.fromtimestamp(error["arrivalTimestamp"] / 1000, datetime.UTC)
        yield Failure(base64.b64decode(error["rawData"]), code, line, f"{arrival:%Y-%m-%d}")
