"""The state machine `backfill`: the API's whole catalogue onto the stream, its pages side by side.

    the next pages -> read them (the collector, one invocation for each page) -> the next ones, until a page is empty
    or repeats an earlier one

Input, optional: {"page": first page}. The pages after the last one are read in vain, at most WAVE - 1 of them.
"""

from typing import Any

from pipelines.authoring import notifications
from pipelines.authoring.step_functions import StateMachine, chain

COMMENT = "All pages of the API -> the stream"
# Pages of a wave, and how many are read at the same time: it is somebody else's API.
WAVE, CONCURRENCY = 20, 4


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = notifications.failure(s, "backfill")
    start = s.compute(
        "Start",
        page="$exists($states.input.page) ? $states.input.page : 1",
        **dict.fromkeys(("pages", "sent", "refused"), "0"),
        **dict.fromkeys(("first", "last"), "''"),
    )
    wave = s.compute("Wave", numbers=f"[$states.input.page..($states.input.page + {WAVE - 1})]")
    pages = s.map_("ReadPages", page(s), "$.numbers", {"page.$": "$$.Map.Item.Value"}, CONCURRENCY, "$.answers")
    counted = s.compute(
        "Count",
        page=f"$states.input.page + {WAVE}",
        pages="$states.input.pages + $count($states.input.answers[content != null])",
        sent="$states.input.sent + $sum($states.input.answers.sent)",
        refused="$states.input.refused + $sum($append([0], $states.input.answers.refused.*))",
        # An API that has no empty page repeats its first or its last one.
        ended="""null in $states.input.answers.content
            or $count($distinct($states.input.answers.content)) < $count($states.input.answers.content)
            or $states.input.first in $states.input.answers.content
            or $states.input.last in $states.input.answers.content""",
        first="$states.input.first = '' ? $states.input.answers[0].content : $states.input.first",
        last="$states.input.answers[-1].content",
    )
    done = s.pass_("Summary", {f"{name}.$": f"$.{name}" for name in ("pages", "sent", "refused")})
    chain(done, s.succeed("Done"))
    ended = (s.is_true("$.ended"), done)
    return chain(start, wave, pages, counted, s.choice("IsLastPage", ended, otherwise=wave))


def page(s: StateMachine) -> Any:
    """Of one page: invoke the collector."""
    read = s.invoke(
        "ReadPage",
        "${Collector}",
        {"mode": "page", "page.$": "$.page"},
        "$",
        {f"{name}.$": f"$.Payload.{name}" for name in ("page", "content", "sent", "refused")},
        timeout_seconds=150,
        fails_the_map=True,
    )
    return chain(read, s.succeed("PageRead"))
