"""The batch lane: files under landing/ become the rows, failures and ledger that the stream makes of their records."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from ingestion import landing
from localaws.errors import ExpectedError
from pipelines.account.clients import Clients
from pipelines.records import loading
from pipelines.records.ledger import ledger
from pipelines.records.loading import Landed, load, load_all

_numbers = itertools.count(1)
NAMELESS, MESSAGE = b'{"id": 7}', b'{"message": "Too many requests"}'
EARLY, LATE = "2026-11-20-08-00-00", "2026-11-21-09-30-00"


def beer(number: int, **changed: Any) -> bytes:
    return json.dumps({"id": number, "name": f"Beer {number}", "abv": 4.5, "ibu": 40, **changed}).encode()


def row(number: int) -> bytes:
    return b"%d,Beer %d,4.5,40,,,,,\n" % (number, number)


class Bucket:
    """A versioned bucket with landing/."""

    def __init__(self, clients: Clients) -> None:
        self.s3 = clients.s3
        self.name = f"landing-{next(_numbers)}"
        self.s3.create_bucket(Bucket=self.name)
        self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})

    def land(self, name: str, *records: bytes) -> None:
        self.s3.put_object(Bucket=self.name, Key=f"landing/{name}", Body=b"".join(each + b"\n" for each in records))

    def file(self, name: str, stamp: str) -> Landed:
        """A landed file as if it had landed at another time."""
        (found,) = (each for each in loading.landed(self.s3, self.name) if each.key == f"landing/{name}")
        return found._replace(stamp=stamp)

    def load(self, name: str, stamp: str) -> Any:
        return load(self.s3, self.name, self.file(name, stamp), parquet=False)

    def load_all(self) -> list[Any]:
        return load_all(self.s3, self.name, parquet=False)

    def objects(self, prefix: str) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return {each["Key"]: self.s3.get_object(Bucket=self.name, Key=each["Key"])["Body"].read() for each in listed}

    def balance(self) -> tuple[int, int, int, int, int]:
        """accepted, clean, difference, unexplained, duplicates of the ledger."""
        found = ledger(self.s3, self.name)
        names = ("accepted", "clean", "difference", "unexplained", "duplicates")
        accepted, clean, difference, unexplained, duplicates = (int(found[name]) for name in names)
        assert accepted == clean + sum(found["dropped"].values()) + sum(found["failed"].values()) + difference
        return accepted, clean, difference, unexplained, duplicates


@pytest.fixture
def bucket(clients: Clients) -> Bucket:
    return Bucket(clients)


def counts(records: int, clean: int, **others: Any) -> dict[str, Any]:
    nothing = {"dropped": 0, "failed": 0, "repeated": 0, "refused": None, "status": "Loaded"}
    return {**nothing, "records": records, "clean": clean, **others}


@pytest.mark.endpoint
def test_a_file_becomes_rows_failures_and_a_ledger_without_a_difference(bucket: Bucket) -> None:
    bucket.land("dump.jsonl", beer(1), NAMELESS, MESSAGE, beer(2))
    assert bucket.balance() == (4, 0, 3, 0, 0)
    [loaded] = bucket.load_all()
    assert loaded == {"file": "landing/dump.jsonl", **counts(4, 2, dropped=1, failed=1)}
    [(key, rows)] = bucket.objects("cleaned/").items()
    assert rows == row(1) + row(2)
    [(error, line)] = bucket.objects("errors/cleaned/processing-failed/").items()
    assert json.loads(line)["errorCode"] == "Lambda.ProcessingFailedStatus"
    stamp, content = key.split("landed-")[1][:19], key.split("landed-")[1][20:-4]
    assert key == f"cleaned/dt={stamp[:10]}/landed-{stamp}-{content}.csv"
    assert error == f"errors/cleaned/processing-failed/dt={stamp[:10]}/landed-{stamp}-{content}"
    assert bucket.balance() == (4, 2, 0, 0, 0)
    assert bucket.load_all() == []


@pytest.mark.endpoint
def test_equal_content_is_loaded_once_whatever_its_name(bucket: Bucket) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        bucket.land(name, beer(1), beer(2))
    bucket.s3.put_object(Bucket=bucket.name, Key="landing/c.csv", Body=b"id,name\n3,Beer 3\n")
    bucket.land("a.jsonl", beer(1), beer(2))
    loaded = sorted((each["clean"], each["repeated"]) for each in bucket.load_all())
    assert loaded == [(0, 2), (0, 2), (1, 0), (2, 0)]
    assert bucket.balance() == (3, 3, 0, 0, 0)
    assert len(bucket.objects("cleaned/")) == 2


@pytest.mark.endpoint
@pytest.mark.parametrize("order", list(itertools.permutations(["first.jsonl", "newer.jsonl", "again.jsonl"])))
def test_late_repeated_and_unordered_files_leave_the_same_objects(bucket: Bucket, order: tuple[str, ...]) -> None:
    stamps = {"first.jsonl": EARLY, "newer.jsonl": "2026-11-20-12-00-00", "again.jsonl": LATE}
    bucket.land("first.jsonl", beer(1), NAMELESS)
    bucket.land("newer.jsonl", beer(1, abv=5.5))
    bucket.land("again.jsonl", beer(1), NAMELESS)
    for name in order:
        bucket.load(name, stamps[name])
    cleaned = {key.split("landed-")[1][:19]: body for key, body in bucket.objects("cleaned/").items()}
    assert cleaned == {EARLY: row(1), "2026-11-20-12-00-00": row(1).replace(b"4.5", b"5.5")}
    assert [key.split("landed-")[1][:19] for key in bucket.objects("errors/")] == [EARLY]
    assert bucket.balance() == (3, 2, 0, 0, 0)


class Killed(BaseException):
    """Stands for kill -9: nothing in the code may catch it."""


@pytest.mark.endpoint
@pytest.mark.parametrize("calls", range(6))
def test_a_load_killed_at_any_write_is_completed_by_the_next(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setattr(landing, "CHUNK_RECORDS", 2)
    bucket.land("dump.jsonl", beer(1), NAMELESS, beer(2), beer(3))
    left = iter(range(calls))

    def die(**_: Any) -> None:
        if next(left, None) is None:
            raise Killed

    bucket.s3.meta.events.register("before-call.s3.PutObject", die, unique_id="die")
    try:
        with pytest.raises(Killed):
            bucket.load_all()
    finally:
        bucket.s3.meta.events.unregister("before-call.s3.PutObject", unique_id="die")
    bucket.load_all()
    assert sorted(bucket.objects("cleaned/").values()) == [row(1), row(2) + row(3)]
    assert bucket.balance() == (4, 3, 0, 0, 0)


@pytest.mark.endpoint
def test_a_refused_file_is_reported_with_the_records_before_it(bucket: Bucket) -> None:
    bucket.s3.put_object(Bucket=bucket.name, Key="landing/photo.png", Body=b"\x89PNG\r\n\x1a\n\x00")
    for hidden in ("landing/.DS_Store", "landing/_SUCCESS", "landing/"):
        bucket.s3.put_object(Bucket=bucket.name, Key=hidden, Body=b"")
    [refused] = bucket.load_all()
    reason = "neither JSON nor CSV: its first line does not name the columns id and name"
    assert refused == {"file": "landing/photo.png", **counts(0, 0, status="Refused", refused=reason)}
    assert ledger(bucket.s3, bucket.name)["foreign"] == {"landing/photo.png": reason}


@pytest.mark.endpoint
def test_a_parquet_table_gets_parquet(bucket: Bucket) -> None:
    import pyarrow.parquet

    bucket.land("dump.jsonl", beer(1), beer(2))
    load_all(bucket.s3, bucket.name, parquet=True)
    [(key, body)] = bucket.objects("cleaned/").items()
    assert key.endswith(".parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(body)).column("id").to_pylist() == [1, 2]
    assert bucket.balance() == (2, 2, 0, 0, 0)


@pytest.mark.endpoint
def test_a_file_is_put_under_landing_by_its_name(bucket: Bucket, tmp_path: Path) -> None:
    dump, hidden = tmp_path / "my beers.jsonl", tmp_path / "_beers.jsonl"
    for path in (dump, hidden):
        path.write_bytes(beer(1))
    assert loading.upload(bucket.s3, bucket.name, dump) == "landing/my beers.jsonl"
    assert [each["clean"] for each in bucket.load_all()] == [1]
    with pytest.raises(ExpectedError, match="hidden: begins with _"):
        loading.upload(bucket.s3, bucket.name, hidden)
    with pytest.raises(ExpectedError, match="there is no such file"):
        loading.upload(bucket.s3, bucket.name, tmp_path / "none")
