"""FilterLogEvents in pages, and GetLogRecord without a second copy of every event.

MiniStack answers FilterLogEvents with the first events and no token for the rest.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import json
import re
from typing import Any

from localaws.ministack import patches

# Events of a page where no limit is given, and at most.
MOST = 10_000
# Epoch milliseconds from which the next page begins, and how many events of that millisecond were on pages before.
TOKEN = re.compile(r"(\d+)-(\d+)")


def install() -> None:
    """Let a token name the place of the next page, and find a record when it is asked for."""
    _page()
    _find_records()


def _page() -> None:
    logs = patches.module("services.cloudwatch_logs")
    first_events = logs._filter_log_events

    def one_page(request: dict[str, Any]) -> Any:
        limit = min(request.get("limit", MOST), MOST - 1)
        token = TOKEN.fullmatch(request.get("nextToken") or "0-0")
        if token is None:
            from ministack.core.responses import error_response_json

            return error_response_json("InvalidParameterException", "The specified nextToken is invalid.", 400)
        skip = int(token[2])
        begin = max(int(token[1]), request.get("startTime", 0))
        answer = first_events({**request, "startTime": begin, "limit": skip + limit + 1})
        if answer[0] != 200:
            return answer
        content = json.loads(answer[2])
        found = content["events"]
        content["events"] = found[skip : skip + limit]
        if len(found) > skip + limit:
            last = found[skip + limit - 1]["timestamp"]
            before = sum(each["timestamp"] == last for each in found[: skip + limit])
            content["nextToken"] = f"{last}-{before}"
        return (*answer[:2], json.dumps(content).encode())

    logs._filter_log_events = one_page


def _find_records() -> None:
    """Find the event that a pointer names among the events; `history.bound_logs` empties MiniStack's index of them."""
    logs = patches.module("services.cloudwatch_logs")
    indexed = logs._get_log_record

    def get_record(request: dict[str, Any]) -> Any:
        pointer = request.get("logRecordPointer")
        for group, entry in logs._log_groups.items():
            for stream, content in list(entry["streams"].items()):
                for event in list(content["events"]) if pointer else ():
                    if event.get("eventId") == pointer:
                        logs._log_records[pointer] = logs._build_log_record(
                            ptr=pointer,
                            timestamp_ms=event["timestamp"],
                            message=event["message"],
                            log_group=group,
                            log_stream=stream,
                        )
        return indexed(request)

    logs._get_log_record = get_record
