"""Charts as SVG: when each step ran, a metric over versions with intervals, shares of a whole. No script, no style."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple

WIDTH = 720


class Bar(NamedTuple):
    """One row of a timeline. status: the bar's CSS class. Times: None for a step that has not begun or ended."""

    name: str
    status: str
    start: datetime | None
    end: datetime | None


class Point(NamedTuple):
    """A value with its interval; low and high equal the value where none is known. mark: the point's CSS class."""

    label: str
    value: float
    low: float
    high: float
    mark: str = ""


class Share(NamedTuple):
    """One part of a whole. kind: its CSS class."""

    label: str
    number: int
    kind: str


def timeline(bars: Sequence[Bar], now: datetime) -> str:
    """A Gantt chart: a row per step, seconds since the first start on the axis."""
    begun = [bar for bar in bars if bar.start is not None]
    if not begun:
        return ""
    first = min(bar.start for bar in begun if bar.start)
    last = max(bar.end or now for bar in begun)
    total = max((last - first).total_seconds(), 0.001)
    left, row = 190, 26
    scale = (WIDTH - left - 70) / total
    drawn = []
    for index, bar in enumerate(bars):
        y = index * row
        drawn.append(f'<text class="axis" x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(bar.name[:28])}</text>')
        if bar.start is None:
            continue
        x, seconds = left + (bar.start - first).total_seconds() * scale, ((bar.end or now) - bar.start).total_seconds()
        drawn.append(
            f'<rect class="bar {escape(bar.status)}" x="{x:.1f}" y="{y + 5}" height="16" rx="3" '
            f'width="{max(seconds * scale, 2):.1f}"><title>{escape(bar.name)}: {escape(bar.status)}</title></rect>'
        )
        drawn.append(
            f'<text class="axis" x="{x + max(seconds * scale, 2) + 6:.1f}" y="{y + 17}">{seconds:.1f} s</text>'
        )
    return _svg("\n".join(drawn), len(bars) * row + 4, "Timeline: when each step ran")


def over_versions(points: Sequence[Point], name: str) -> str:
    """A metric of each version, oldest first, with its interval as a line and its number beside it."""
    if not points:
        return ""
    height, left, bottom = 230, 56, 34
    top = max(point.high for point in points) * 1.08 or 1.0
    step = (WIDTH - left - 20) / max(len(points), 1)

    def y(value: float) -> float:
        return 10 + (height - bottom - 10) * (1 - value / top)

    drawn = [
        f'<line class="grid" x1="{left}" x2="{WIDTH - 10}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="axis" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>'
        for tick in (0, top / 4, top / 2, top * 3 / 4, top)
    ]
    for index, point in enumerate(points):
        x = left + step * (index + 0.5)
        drawn.append(
            f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"/>'
            f'<circle class="point {escape(point.mark)}" cx="{x:.1f}" cy="{y(point.value):.1f}" r="5">'
            f"<title>{escape(point.label)}: {point.value:.4g} ({point.low:.4g} to {point.high:.4g})</title></circle>"
        )
        if len(points) <= 24 or index % (len(points) // 12) == 0:
            drawn.append(
                f'<text class="axis" x="{x:.1f}" y="{height - 12}" text-anchor="middle">{escape(point.label)}</text>'
            )
        if len(points) <= 12:
            drawn.append(f'<text class="axis" x="{x + 9:.1f}" y="{y(point.value) + 4:.1f}">{point.value:.3g}</text>')
    return _svg("\n".join(drawn), height, f"{name} over versions")


def columns(values: Sequence[tuple[str, int]], name: str) -> str:
    """A column for each label, with its number above it."""
    if not values:
        return ""
    height, bottom = 150, 26
    step, top = min(WIDTH / len(values), 120), max(max(number for _, number in values), 1)
    drawn = []
    for index, (label, number) in enumerate(values):
        x, tall = index * step + step * 0.15, (height - bottom - 22) * number / top
        drawn.append(
            f'<rect class="share clean" x="{x:.1f}" y="{height - bottom - tall:.1f}" width="{step * 0.7:.1f}" '
            f'height="{tall:.1f}"><title>{escape(label)}: {number:,}</title></rect>'
        )
        if len(values) <= 7 or index % 5 == 0:
            middle = x + step * 0.35
            drawn.append(
                f'<text class="axis" x="{middle:.1f}" y="{height - 8}" text-anchor="middle">{escape(label)}</text>'
                f'<text class="axis" x="{middle:.1f}" y="{height - bottom - tall - 5:.1f}" text-anchor="middle">'
                f"{number:,}</text>"
            )
    return _svg("".join(drawn), height, name)


def shares(parts: Sequence[Share]) -> str:
    """A bar of parts whose lengths are their shares; what is too small to see is still a pixel wide."""
    total = sum(part.number for part in parts)
    if not total:
        return ""
    x, drawn = 0.0, []
    for part in parts:
        if part.number:
            width = max(part.number / total * WIDTH, 3)
            drawn.append(
                f'<rect class="share {escape(part.kind)}" x="{x:.1f}" y="2" width="{width:.1f}" height="22">'
                f"<title>{escape(part.label)}: {part.number:,}</title></rect>"
            )
            x += width
    return _svg(
        "".join(drawn), 26, "Shares: " + ", ".join(f"{part.label} {part.number:,}" for part in parts), max(x, WIDTH)
    )


def _svg(content: str, height: float, label: str, width: float = WIDTH) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}">{content}</svg>'
    )
