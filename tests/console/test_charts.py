"""Charts are SVG with their numbers as text."""

import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta

from console import charts

BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)


def texts(svg: str) -> list[str]:
    """All texts of a chart; it is well-formed XML."""
    return [text.strip() for text in ElementTree.fromstring(svg).itertext() if text.strip()]


def test_a_timeline_shows_each_steps_seconds_and_counts_one_under_way_until_now() -> None:
    bars = [
        charts.Bar("Make", "Succeeded", BEGAN, BEGAN + timedelta(seconds=2)),
        charts.Bar("Use", "Executing", BEGAN + timedelta(seconds=2), None),
        charts.Bar("Later", "NotStarted", None, None),
    ]
    shown = texts(charts.timeline(bars, BEGAN + timedelta(seconds=5)))
    assert shown == ["Make", "Make: Succeeded", "2.0 s", "Use", "Use: Executing", "3.0 s", "Later"]


def test_a_timeline_of_nothing_that_has_begun_is_empty() -> None:
    assert charts.timeline([charts.Bar("Make", "NotStarted", None, None)], BEGAN) == ""


def test_a_metric_over_versions_shows_value_and_interval_and_escapes_labels() -> None:
    shown = texts(charts.over_versions([charts.Point("<1>", 17.5, 12.0, 22.5, "Approved")], "mae"))
    assert shown[-3:] == ["<1>: 17.5 (12 to 22.5)", "<1>", "17.5"]


def test_shares_fill_the_bar_and_a_small_one_is_still_seen() -> None:
    svg = charts.shares([charts.Share("clean", 10_000, "clean"), charts.Share("failed", 1, "failed")])
    widths = [
        float(each.get("width", 0)) for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert widths[0] > 700 and widths[1] == 3.0
    assert texts(svg) == ["clean: 10,000", "failed: 1"]
