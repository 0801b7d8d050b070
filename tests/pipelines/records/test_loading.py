"""The batch lane: files under landing/ become the rows, failures and ledger that the stream makes of their records."""

import datetime
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from ingestion import landing
from ingestion import load as loader
from ingestion.claims import Store
from ingestion.names import landing_stamp
from ingestion.retry import Deadline
from localaws.errors import ExpectedError
from pipelines.account.clients import Clients
from pipelines.records import loading
from pipelines.records.ledger import ledger

_numbers = itertools.count(1)
NAMELESS, MESSAGE = b'{"id": 7}', b'{"message": "Too many requests"}'
EARLY, LATE = "2026-11-20-08-00-00", "2026-11-21-09-30-00"


def beer(number: int, **changed: Any) -> bytes:
    return json.dumps({"id": number, "name": f"Beer {number}", "abv": 4.5, "ibu": 40, **changed}).encode()


def row(number: int) -> bytes:
    return b"%d,Beer %d,4.5,40,,,,,\n" % (number, number)


class Bucket:
    """A versioned bucket with landing/, and the state machine's steps on it."""

    def __init__(self, clients: Clients) -> None:
        self.s3 = clients.s3
        self.name = f"landing-{next(_numbers)}"
        self.s3.create_bucket(Bucket=self.name)
        self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        self.store = Store(self.s3, self.name)

    def land(self, name: str, *records: bytes) -> None:
        self.s3.put_object(Bucket=self.name, Key=f"landing/{name}", Body=b"".join(each + b"\n" for each in records))

    def load(self, name: str = "", version: str = "", seconds: float = 900) -> Any:
        """The result of the steps on a file's version; None where nothing is to be done."""
        planned = loader.plan(self.store, {"key": f"landing/{name}", "version-id": version}, "an execution")
        if planned["status"] == "Skipped":
            return None
        for number in planned["chunks"]:
            while not loader.chunk(self.store, planned["file"], number, Deadline(seconds))["done"]:
                pass
        return loader.finish(self.store, planned["file"])

    def load_all(self) -> list[Any]:
        """The results of all versions, but those that are loaded."""
        files = list(loading.landed(self.s3, self.name))
        results = [self.load(each.key.removeprefix("landing/"), each.version) for each in files]
        return [each for each in results if each]

    def objects(self, prefix: str) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return {each["Key"]: self.s3.get_object(Bucket=self.name, Key=each["Key"])["Body"].read() for each in listed}

    def balance(self) -> tuple[int, int, int, int, int]:
        """accepted, clean, difference, unexplained, duplicates of the ledger."""
        found = ledger(self.s3, self.name)
        names = ("accepted", "clean", "difference", "unexplained", "duplicates")
        accepted, clean, difference, unexplained, duplicates = (int(found[name]) for name in names)
        assert accepted == clean + sum(found["dropped"].values()) + sum(found["failed"].values()) + difference
        assert found["foreign"] == {}
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


FIRST, NEWER, AGAIN = f"first-{EARLY}.jsonl", "newer-2026-11-20-12-00-00.jsonl", f"again-{LATE}.jsonl"


@pytest.mark.endpoint
@pytest.mark.parametrize("order", list(itertools.permutations([FIRST, NEWER, AGAIN])))
def test_late_repeated_and_unordered_files_leave_the_same_objects(bucket: Bucket, order: tuple[str, ...]) -> None:
    bucket.land(FIRST, beer(1), NAMELESS)
    bucket.land(NEWER, beer(1, abv=5.5))
    bucket.land(AGAIN, beer(1), NAMELESS)
    for name in order:
        bucket.load(name)
    cleaned = {key.split("landed-")[1][:19]: body for key, body in bucket.objects("cleaned/").items()}
    assert cleaned == {EARLY: row(1), "2026-11-20-12-00-00": row(1).replace(b"4.5", b"5.5")}
    assert [key.split("landed-")[1][:19] for key in bucket.objects("errors/")] == [EARLY]
    assert bucket.balance() == (3, 2, 0, 0, 0)


def test_the_rows_of_a_file_are_as_old_as_the_time_in_its_name_and_never_newer_than_its_landing() -> None:
    landed = datetime.datetime(2026, 11, 21, 10, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    stamps = {
        "landing/dump.jsonl": LATE,
        f"landing/dump-{EARLY}.jsonl.gz": EARLY,
        "landing/dump-2027-01-01-00-00-00.csv": LATE,
        "landing/dump-2026-99-20-08-00-00.csv": LATE,
        f"landing/{EARLY}/dump.csv": LATE,
    }
    assert {key: landing_stamp(key, landed) for key in stamps} == stamps


@pytest.mark.endpoint
def test_two_files_with_equal_content_that_race_leave_one_object(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.land(FIRST, beer(1), NAMELESS)
    bucket.land(AGAIN, beer(1), NAMELESS)
    put = Store.put
    others = iter([FIRST])

    def put_after_another(self: Store, key: str, lines: list[bytes]) -> None:
        # The earlier file is loaded between the later one's claim and its rows.
        for name in others:
            bucket.load(name)
        put(self, key, lines)

    monkeypatch.setattr(Store, "put", put_after_another)
    bucket.load(AGAIN)
    assert [key.split("landed-")[1][:19] for key in bucket.objects("cleaned/")] == [EARLY]
    assert bucket.balance() == (2, 1, 0, 0, 0)


class Killed(BaseException):
    """Stands for kill -9: nothing in the code may catch it."""


@pytest.mark.endpoint
@pytest.mark.parametrize("calls", range(9))
def test_a_load_killed_at_any_write_is_completed_by_the_next(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setattr(landing, "BATCH_RECORDS", 2)
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
    assert bucket.load_all() == [{"file": "landing/dump.jsonl", **counts(4, 3, failed=1)}]
    assert sorted(bucket.objects("cleaned/").values()) == [row(1), row(2) + row(3)]
    assert bucket.balance() == (4, 3, 0, 0, 0)


@pytest.mark.endpoint
@pytest.mark.parametrize("name", ["dump.jsonl", "dump.csv"])
def test_a_file_longer_than_an_invocation_is_loaded_by_several(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(landing, "BATCH_RECORDS", 2)
    monkeypatch.setattr(landing, "CHUNK_BYTES", 120)
    content = {
        "dump.jsonl": [beer(number) for number in range(1, 8)],
        "dump.csv": [b"id,name,abv,ibu", *(b"%d,Beer %d,4.5,40" % (number, number) for number in range(1, 8))],
    }
    bucket.land(name, *content[name])
    assert bucket.load(name, seconds=loader.LEAST_SECONDS) == {"file": f"landing/{name}", **counts(7, 7)}
    assert sorted(b"".join(bucket.objects("cleaned/").values()).splitlines(True)) == [row(n) for n in range(1, 8)]
    assert bucket.balance() == (7, 7, 0, 0, 0)


@pytest.mark.endpoint
def test_a_refused_file_is_one_failed_record_beside_those_before_it(bucket: Bucket) -> None:
    bucket.s3.put_object(Bucket=bucket.name, Key="landing/photo.png", Body=b"\x89PNG\r\n\x1a\n\x00")
    for hidden in ("landing/.DS_Store", "landing/_SUCCESS", "landing/"):
        bucket.s3.put_object(Bucket=bucket.name, Key=hidden, Body=b"")
        assert bucket.load(hidden.removeprefix("landing/")) is None
    bucket.s3.put_object(Bucket=bucket.name, Key="landing/cut.json", Body=b"[" + beer(1) + b",")
    cut, photo = sorted(bucket.load_all(), key=lambda each: str(each["file"]))
    reason = "neither JSON nor CSV: its first line does not name the columns id and name"
    assert photo == {"file": "landing/photo.png", **counts(0, 0, status="Refused", refused=reason)}
    assert (cut["records"], cut["clean"], cut["status"]) == (1, 1, "Refused")
    assert bucket.balance() == (3, 1, 0, 0, 0)
    assert ledger(bucket.s3, bucket.name)["failed"] == {"Landing.RefusedFile": 2}


@pytest.mark.endpoint
def test_a_file_is_put_under_landing_by_its_name(bucket: Bucket, tmp_path: Path) -> None:
    dump, hidden = tmp_path / "my beers.jsonl", tmp_path / "_beers.jsonl"
    for path in (dump, hidden):
        path.write_bytes(beer(1))
    assert loading.upload(bucket.s3, bucket.name, dump).key == "landing/my beers.jsonl"
    assert [each["clean"] for each in bucket.load_all()] == [1]
    with pytest.raises(ExpectedError, match="hidden: begins with _"):
        loading.upload(bucket.s3, bucket.name, hidden)
    with pytest.raises(ExpectedError, match="there is no such file"):
        loading.upload(bucket.s3, bucket.name, tmp_path / "none")


@pytest.mark.endpoint
def test_a_list_too_large_to_be_read_whole_is_refused_before_its_first_record(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "MAX_WHOLE_BYTES", 20)
    bucket.s3.put_object(Bucket=bucket.name, Key="landing/list.json", Body=b"[" + beer(1) + b"]")
    reason = "a JSON list of more than 20 bytes: give JSON lines or CSV, not compressed"
    [refused] = bucket.load_all()
    assert refused == {"file": "landing/list.json", **counts(0, 0, status="Refused", refused=reason)}
    [(key, line)] = bucket.objects("errors/cleaned/").items()
    assert key.split("/")[-1].startswith("refused-") and json.loads(line)["errorMessage"] == reason
    assert bucket.balance() == (1, 0, 0, 0, 0)
