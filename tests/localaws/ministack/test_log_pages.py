"""FilterLogEvents gives a token while there are more events."""

import itertools
import uuid

import pytest

from pipelines.account.clients import Clients


def test_filtered_events_come_in_pages_also_of_one_millisecond_and_several_streams(clients: Clients) -> None:
    group = f"pages-{uuid.uuid4().hex[:8]}"
    clients.logs.create_log_group(logGroupName=group)
    wanted = []
    for stream, times in (("a", [1, 2, 2, 2, 5]), ("b", [2, 2, 3])):
        clients.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [
            {"timestamp": 1_700_000_000_000 + time, "message": f"wanted {stream}{n}"} for n, time in enumerate(times)
        ]
        other = [{"timestamp": 1_700_000_000_002, "message": "of no interest"}]
        clients.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[*events, *other])
        wanted += [event["message"] for event in events]
    found, token = [], None
    for page in itertools.count():
        more = {"nextToken": token} if token else {}
        answer = clients.logs.filter_log_events(logGroupName=group, filterPattern="wanted", limit=2, **more)
        found += [event["message"] for event in answer["events"]]
        token = answer.get("nextToken")
        if token is None:
            break
        assert page < 5
    assert sorted(found) == sorted(wanted)
    with pytest.raises(clients.logs.exceptions.InvalidParameterException):
        clients.logs.filter_log_events(logGroupName=group, nextToken="no such token")


def test_a_record_is_found_by_its_pointer_among_the_events(clients: Clients) -> None:
    group = f"record-{uuid.uuid4().hex[:8]}"
    clients.logs.create_log_group(logGroupName=group)
    clients.logs.create_log_stream(logGroupName=group, logStreamName="a")
    events = [{"timestamp": 1_700_000_000_000, "message": text} for text in ("first", "second")]
    clients.logs.put_log_events(logGroupName=group, logStreamName="a", logEvents=events)
    pointer = clients.logs.filter_log_events(logGroupName=group)["events"][1]["eventId"]
    record = clients.logs.get_log_record(logRecordPointer=pointer)["logRecord"]
    assert (record["@message"], record["@log"], record["@logStream"]) == ("second", group, "a")
    with pytest.raises(clients.logs.exceptions.InvalidParameterException):
        clients.logs.get_log_record(logRecordPointer="no such pointer")
