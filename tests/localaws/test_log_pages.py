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
