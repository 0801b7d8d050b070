"""When EventBridge Scheduler's schedules invoke their targets for the first time."""

import json
from typing import Any

import pytest

from localaws.ministack import patches, schedules

BEGAN = 1_795_132_800.0
MINUTE = 60.0


class Clock:
    """The schedules of a process whose time the test sets, in minutes."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.minute, self.invoked, self._patched = 0.0, 0, patched
        self.scheduler: Any = patches.module("services.scheduler")
        self.tick = self.scheduler._tick_schedules
        patched.setattr("time.time", lambda: BEGAN + self.minute * MINUTE)
        patched.setattr(patches.module("services.eventbridge"), "_invoke_target", self._invoke)
        self.begin()

    def begin(self) -> None:
        """A process begins: the schedules are those that were saved, and nothing of what they did is."""
        self.scheduler._schedule_last_fired.clear()
        self._patched.setattr(self.scheduler, "_tick_schedules", self.tick)
        schedules.install()

    def create(self, expression: str, start: float | None = None) -> None:
        body = {"ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}}
        body |= {"Target": {"Arn": "arn", "RoleArn": "role"}}
        body |= {} if start is None else {"StartDate": BEGAN + start * MINUTE}
        status, _, answer = self.scheduler._create_schedule("one", body)
        assert status == 200, json.loads(answer)

    def occurrences(self, until: int) -> list[int]:
        """The minutes, from the present one on, at which a target is invoked."""
        found = []
        for minute in range(int(self.minute), until):
            before, self.minute = self.invoked, float(minute)
            self.scheduler._tick_schedules()
            found += [minute] * (self.invoked - before)
        self.minute = float(until)
        return found

    def _invoke(self, *_: Any) -> None:
        self.invoked += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    yield (clock := Clock(monkeypatch))
    clock.scheduler.reset()
    clock.scheduler._schedule_last_fired.clear()


def test_a_rate_begins_as_soon_as_its_schedule_is_there_or_at_its_start_date(clock: Clock) -> None:
    clock.minute = 3
    clock.create("rate(5 minutes)")
    assert clock.occurrences(10) == [3, 8]
    clock.scheduler._delete_schedule("one", {})
    clock.create("rate(5 minutes)")
    assert clock.occurrences(18) == [10, 15]
    clock.scheduler._delete_schedule("one", {})
    clock.create("rate(5 minutes)", start=31)
    assert clock.occurrences(40) == [31, 36]


def test_a_rate_goes_on_in_the_next_process_and_does_not_make_up_for_the_time_between(clock: Clock) -> None:
    clock.minute = 1
    clock.create("rate(5 minutes)")
    assert clock.occurrences(4) == [1]
    clock.minute = 17
    clock.begin()
    assert clock.occurrences(28) == [21, 26]


def test_a_schedule_of_cron_waits_for_its_time_also_under_the_name_of_an_earlier_one(clock: Clock) -> None:
    clock.create("cron(0/10 * ? * * *)")
    assert clock.occurrences(15) == [10]
    clock.scheduler._delete_schedule("one", {})
    clock.minute = 25
    clock.create("cron(0/10 * ? * * *)")
    assert clock.occurrences(35) == [30]
