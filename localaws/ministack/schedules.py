"""EventBridge Scheduler: the first occurrence of a rate-based schedule.

It is at the schedule's StartDate, and without one as soon as the schedule is enabled; MiniStack waits for one period.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based
"""

import time
from typing import Any

from localaws.ministack import patches


def install() -> None:
    """Give each rate that has not occurred since it was created the occurrence from which its next one counts."""
    scheduler: Any = patches.module("services.scheduler")
    tick, began = scheduler._tick_schedules, time.time()

    def tick_from_the_first() -> None:
        last = scheduler._schedule_last_fired
        for key, schedule in list(scheduler._schedules._data.items()):
            created = schedule["CreationDate"]
            if last.get(key, 0.0) >= created:
                continue
            # An earlier schedule of this name may have left it.
            last.pop(key, None)
            if period := patches.module("services.eventbridge")._parse_rate_seconds(schedule["ScheduleExpression"]):
                first = scheduler._to_epoch(schedule.get("StartDate")) or created
                last[key] = before(began, first, period)
        tick()

    scheduler._tick_schedules = tick_from_the_first


def before(began: float, first: float, period: float) -> float:
    """The last occurrence until the endpoint began; a whole number of periods before the first if that came later.

    Occurrences while no endpoint ran are not made up for. Times are epoch seconds.
    """
    return first + (began - first) // period * period
