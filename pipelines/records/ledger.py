"""The ledger: the outcome of every accepted record, from the objects in S3 alone.

accepted = clean + dropped + failed, record by record. `raw/` has the stream's accepted records, `landing/` those of the
batch lane, `cleaned/` the rows in both formats, `errors/cleaned/` the failed records as Firehose writes them. A file
that is refused counts as one failed record. A dropped record leaves no object: that it is to be dropped is recomputed
with `record.to_row`. Works with boto3's clients on AWS and on the local endpoint alike.

A record and its row are matched by the row's text. A row that was written under an earlier schema, with fewer columns
or other plausible ranges, is matched by the beer's id and name to a record of which nothing else is found.
"""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from typing import Any

from ingestion import landing, load, record
from ingestion.claims import Store
from ingestion.names import CLEANED, FAILED_STATUS, RAW, REPLAYED, ForeignObject
from pipelines.records.accepted import KnownRecords, Result, digest, records_in
from pipelines.records.failures import FailedRecord, failed_objects, failures_in
from pipelines.records.loading import landed
from pipelines.records.objects import Objects

# A beer's id and name, by which a row of an earlier schema is matched.
Identity = tuple[Any, ...]


def ledger(s3: Any, bucket: str, since: str | None = None, without: Set[str] = frozenset()) -> dict[str, Any]:
    """Account for every record of the bucket, or of the days (UTC, YYYY-MM-DD) from `since` on.

    without: keys of objects that are left out.

    accepted: records in raw/ and landing/. clean, dropped, failed: those found, the latter two by reason.
    duplicates: rows and error lines delivered more often than their record was accepted, as AWS's at-least-once
    allows. unexplained: rows and error lines whose record was not accepted at all. difference: accepted records of
    which nothing is found. foreign: objects that were passed over, with the reason. A day is that of an object's oldest
    record, so a record of midnight may be on either side of `since`. Records that Firehose still buffers are not
    counted.
    """
    objects = Objects(s3, bucket, since, without)
    known = KnownRecords()
    failures = _failures(objects, known)
    accepted = _Accepted()
    for _, body in objects.bodies(RAW):
        for content, outcome in records_in(body, known):
            accepted.add(content, outcome)
    _add_landed(objects, accepted)
    rows: Counter[bytes] = Counter()
    for key, body in objects.bodies(CLEANED):
        try:
            rows.update(rows_in(body))
        except ForeignObject as error:
            objects.foreign[key] = str(error)
    return {**_balance(accepted, rows, failures), "foreign": objects.foreign}


class _Accepted:
    """The accepted records, by what identifies them: how often each, and what the transform makes of it."""

    def __init__(self) -> None:
        self.copies: Counter[bytes] = Counter()
        # Of the records without a row only; a clean record's row is its key.
        self.outcomes: dict[bytes, record.Dropped | record.Failed] = {}
        self.identities: dict[bytes, Identity] = {}

    def add(self, content: bytes, outcome: Result) -> None:
        """Count one record."""
        key = record_key(content, outcome)
        self.copies[key] += 1
        if not isinstance(outcome, record.Clean) and key not in self.outcomes:
            self.outcomes[key] = outcome
            identity = _identity_of(content)
            if identity:
                self.identities[key] = identity

    def identity(self, key: bytes) -> Identity | None:
        """The id and name of a record, None when it has none."""
        return self.identities.get(key) if key in self.outcomes else row_identity(key)


def _add_landed(objects: Objects, accepted: _Accepted) -> None:
    """Count the records of the files under landing/; equal batches, which are loaded once, count once."""
    seen: set[str] = set()
    store = Store(objects.s3, objects.bucket)
    for file in landed(objects.s3, objects.bucket, objects.since):
        if file.key in objects.without:
            continue
        try:
            for batch in landing.whole(load.opener(store, file.key, file.version), file.size):
                if batch.content not in seen:
                    seen.add(batch.content)
                    for content in batch.records:
                        accepted.add(content, record.to_row(content))
        except landing.RefusedFile:
            content = load.refusal(file.key, file.version)
            accepted.add(content, record.to_row(content))


def _failures(objects: Objects, known: KnownRecords) -> dict[bytes, list[FailedRecord]]:
    """The failed records by what identifies them; `known` learns them, and those that were replayed."""
    failures: dict[bytes, list[FailedRecord]] = defaultdict(list)
    for _, _, found in failed_objects(objects):
        for failure in found:
            known.add(failure.record)
            key = record_key(failure.record, record.to_row(failure.record))
            failures[key].append(failure._replace(record=b"", line=b""))
    for _, body in objects.bodies(REPLAYED):
        try:
            for failure in failures_in(body):
                known.add(failure.record)
        except ForeignObject:
            continue
    return failures


def _balance(accepted: _Accepted, rows: Counter[bytes], failures: dict[bytes, list[FailedRecord]]) -> dict[str, Any]:
    clean = duplicates = 0
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    missing: Counter[bytes] = Counter()
    for key, copies in accepted.copies.items():
        found_rows, found_failures = rows.pop(key, 0), failures.pop(key, [])
        with_row = min(copies, found_rows)
        counted = found_failures[: copies - with_row]
        failed.update(_reason(accepted.outcomes.get(key), failure) for failure in counted)
        clean += with_row
        duplicates += found_rows - with_row + len(found_failures) - len(counted)
        left = copies - with_row - len(counted)
        outcome = accepted.outcomes.get(key)
        if isinstance(outcome, record.Dropped):
            dropped[outcome.reason] += left
        elif left:
            missing[key] = left
    earlier = _match_earlier_rows(accepted, missing, rows)
    return {
        "accepted": accepted.copies.total(),
        "clean": clean + earlier,
        "dropped": dict(+dropped),
        "failed": dict(failed),
        "duplicates": duplicates,
        "unexplained": rows.total() + sum(map(len, failures.values())),
        "difference": missing.total(),
    }


def _match_earlier_rows(accepted: _Accepted, missing: Counter[bytes], rows: Counter[bytes]) -> int:
    """Match rows of an earlier schema to records of which nothing is found; both lose what is matched. How many."""
    if not missing or not rows:
        return 0
    by_identity: dict[Identity, list[bytes]] = defaultdict(list)
    for row in rows:
        if identity := row_identity(row):
            by_identity[identity].append(row)
    matched = 0
    for key in list(missing):
        for row in by_identity.get(accepted.identity(key) or (), ()):
            taken = min(missing[key], rows[row]) if key in accepted.outcomes or _agree(key, row) else 0
            missing[key] -= taken
            rows[row] -= taken
            matched += taken
    return matched


def _agree(expected: bytes, row: bytes) -> bool:
    """Whether a row could be that of a record under an earlier schema: no column has two different values."""
    pairs = zip(_fields(expected), _fields(row), strict=False)
    return all(left == right or not left or not right for left, right in pairs)


def _reason(outcome: Result | None, failure: FailedRecord) -> str:
    return outcome.reason if failure.code == FAILED_STATUS and isinstance(outcome, record.Failed) else failure.code


def record_key(content: bytes, outcome: Result) -> bytes:
    """What identifies a record: the row that it becomes, a line of CSV, or else its bytes."""
    return record.to_csv(outcome.row).encode() if isinstance(outcome, record.Clean) else digest(content)


def rows_in(body: bytes) -> Iterator[bytes]:
    """The rows of a cleaned object as lines of CSV, whichever its format; raises ForeignObject for broken Parquet."""
    if not body.startswith(b"PAR1"):
        yield from (line + b"\n" for line in body.removesuffix(b"\n").split(b"\n") if body)
        return
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(body))
        names = [name for name in record.NAMES if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=names):
            for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                yield record.to_csv(tuple(_whole(value) for value in values)).encode()
    except (pyarrow.ArrowException, OSError) as error:
        raise ForeignObject(f"not readable as Parquet: {error}") from error


def _whole(value: Any) -> Any:
    """A double column's 1053.0 is the row's 1053."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fields(row: bytes) -> list[str]:
    text = row.decode(errors="replace").removesuffix("\n")
    return next(csv.reader([text]), []) if '"' in text else text.split(",")


def row_identity(row: bytes) -> Identity | None:
    """The id and name of a row, as text."""
    return tuple(_fields(row)[:2]) if row.endswith(b"\n") else None


def _identity_of(content: bytes) -> Identity | None:
    """The id and name of a failed record as they stand in a row; None when the record has none."""
    try:
        beer = json.loads(content)
        outcome = record.to_row(json.dumps({"id": beer["id"], "name": beer["name"]}).encode())
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return tuple(map(str, outcome.row[:2])) if isinstance(outcome, record.Clean) else None


def balanced(account: dict[str, Any]) -> bool:
    """Whether every accepted record is found."""
    return bool(account["difference"] == 0)


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
    if account.get("before_delivery"):
        lines.append(f"missed      {account['before_delivery']:>9,}   (on the stream before its delivery began)")
    return "\n".join(lines + foreign_lines(account["foreign"]))


def foreign_lines(foreign: dict[str, str]) -> list[str]:
    """The objects that were passed over, for people."""
    if not foreign:
        return []
    first = f"foreign     {len(foreign):>9,}   (objects that were passed over)"
    return [first, *(f"    {key}: {reason}" for key, reason in sorted(foreign.items()))]
