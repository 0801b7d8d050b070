"""MiniStack's services as rows of a store."""

import copy
from pathlib import Path
from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from localaws.ministack.state import EVENTS, State


def test_a_long_log_stream_is_saved_by_what_is_added_to_it_and_read_whole(tmp_path: Path) -> None:
    groups = AccountRegionScopedDict()
    streams = {
        "long": {"events": [{"message": str(number)} for number in range(2 * EVENTS + 1)]},
        "empty": {"events": []},
    }
    groups["group"] = {"arn": "arn", "streams": streams}
    services = {"cloudwatch_logs": lambda: {"log_groups": groups}}
    state = State(tmp_path / "state.db")
    state._write(*state._changes(services))
    streams["long"]["events"].append({"message": "added"})
    rows, errors = state._changes(services)
    assert sum(len(change[0]) for change in rows.values() if change) < 200, "old events are written again"
    state._write(rows, errors)
    assert read(tmp_path) == {"group": groups["group"]}


def test_a_log_stream_that_lost_its_oldest_events_is_read_without_them(tmp_path: Path) -> None:
    groups = AccountRegionScopedDict()
    events = [{"message": str(number)} for number in range(2 * EVENTS)]
    groups["group"] = {"streams": {"stream": {"events": events}}}
    services = {"cloudwatch_logs": lambda: {"log_groups": groups}}
    state = State(tmp_path / "state.db")
    state._write(*state._changes(services))
    remaining = copy.deepcopy(events[EVENTS + 1 :])
    del events[: EVENTS + 1]
    state._write(*state._changes(services))
    assert read(tmp_path)["group"]["streams"]["stream"]["events"] == remaining


def read(folder: Path) -> dict[str, Any]:
    """The log groups that a restart finds."""
    found = State(folder / "state.db")._read()["cloudwatch_logs"]["log_groups"]
    return {key[2]: entry for key, entry in found._data.items()}
