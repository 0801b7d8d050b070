"""The state machines of the batch lane at the local endpoint: an event loads a file, a backfill reads all pages."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.support.accounts import Account
from benchmarks.support.definitions import until
from ingestion.claims import Store
from ingestion.load import file_id, file_key
from pipelines.account.clients import Clients
from pipelines.records import backfill, commands, loading
from pipelines.records.ledger import ledger
from tests.support.pages import Pages


@pytest.fixture(scope="module")
def account(clients: Clients) -> Iterator[Account]:
    account = Account(clients)
    yield account
    account.remove()


def beers(*numbers: int) -> bytes:
    return b"".join(json.dumps({"id": number, "name": f"Beer {number}"}).encode() + b"\n" for number in numbers)


@pytest.mark.endpoint
def test_a_file_that_lands_is_loaded_by_its_event_and_by_the_command_that_follows_it(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but the event starts it.
    monkeypatch.setattr(loading, "EVENT_SECONDS", 60.0)
    dump = tmp_path / "dump.jsonl"
    dump.write_bytes(beers(1, 2) + b"nonsense\n")
    expected = {"status": "Loaded", "records": 3, "clean": 2, "dropped": 0, "failed": 1, "repeated": 0, "refused": None}
    assert commands.load(account.stacks, dump) == {"files": [{"file": "landing/dump.jsonl", **expected}]}
    assert commands.load(account.stacks, None) == {"files": []}
    refused = tmp_path / "photo.png"
    refused.write_bytes(b"\x89PNG")
    [result] = commands.load(account.stacks, refused)["files"]
    assert result["status"] == "Refused"
    # The outcome is readable before the state machine publishes it.
    assert until(account.notifications, "the notification of the refused file") == [
        ("Tapline: a file is refused", f"landing/photo.png is refused: {result['refused']}")
    ]
    found = ledger(account.clients.s3, account.stacks.output("ingestion", "DataBucket"))
    assert (found["accepted"], found["clean"], found["difference"]) == (4, 2, 0)


@pytest.mark.endpoint
def test_each_version_of_a_replaced_file_is_loaded_by_its_event(account: Account) -> None:
    s3, bucket = account.clients.s3, account.stacks.output("ingestion", "DataBucket")
    landed = [{"Bucket": bucket, "Key": "landing/replaced.jsonl", "Body": beers(number)} for number in (11, 12)]
    names = [file_id(str(each["Key"]), s3.put_object(**each)["VersionId"]) for each in landed]
    store = Store(s3, bucket)

    def loaded() -> bool:
        found = [store.read(file_key(name))[0] for name in names]
        return all(each is not None and each["status"] == "Loaded" for each in found)

    until(loaded, "both versions to be loaded")
    assert ledger(s3, bucket)["difference"] == 0


@pytest.mark.endpoint
def test_what_an_event_has_missed_is_loaded_by_the_command(account: Account) -> None:
    bucket = account.stacks.output("ingestion", "DataBucket")
    machine = account.stacks.output("ingestion", "LoadStateMachineArn")
    rules = account.clients.events.list_rule_names_by_target(TargetArn=machine)["RuleNames"]
    account.clients.events.disable_rule(Name=rules[0])
    try:
        account.clients.s3.put_object(Bucket=bucket, Key="landing/missed.csv", Body=b"id,name\n3,Beer 3\n")
        [missed] = commands.load(account.stacks, None)["files"]
    finally:
        account.clients.events.enable_rule(Name=rules[0])
    assert (missed["file"], missed["clean"]) == ("landing/missed.csv", 1)


@pytest.mark.release
@pytest.mark.parametrize("beyond", ["empty", "first", "last"])
def test_a_backfill_reads_every_page_however_the_api_ends(account: Account, beyond: str) -> None:
    with Pages(pages=23, beyond=beyond) as api:
        account.stacks.deploy_one("ingestion", {"ApiUrl": api.url})
        result = backfill.run(account.stacks)
    assert set(range(1, 24)) <= api.asked <= set(range(1, 41))
    assert result["refused"] == 0 and result["sent"] >= 23
    assert result["pages"] == (23 if beyond == "empty" else 40)
