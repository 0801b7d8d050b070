"""Plots as SVG text, without a library or a script; the page's variables colour them, so that they follow its theme."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10, sqrt
from typing import NamedTuple

WIDTH, HEIGHT = 400, 300  # Little more than a narrow screen's, so that texts are readable there.
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 44
NOTES, ROW = 92, 40  # Of bar plots: width of the numbers, height of a row.
BOX_WIDTH, BOX_NAMES, BOX_ROW = 300, 60, 24  # Of box plots, likewise.
LONGEST_NAME, LETTER = 22, 6  # Characters beside a point, and the width of one.
IBU_TICKS = (0, 10, 20, 40, 70, 100, 150, 200, 300, 500, 1000)


class Point(NamedTuple):
    """A beer in the scatter plot, in IBU."""

    truth: float
    predicted: float
    low: float
    high: float
    title: str
    name: str = ""


class Bar(NamedTuple):
    """A bar with an optional whisker (its two ends), and an optional mark with its own label to compare with."""

    name: str
    value: float
    note: str = ""
    whisker: tuple[float, float] | None = None
    mark: float | None = None
    mark_note: str = ""


class Box(NamedTuple):
    """A side's distribution: minimum, first quartile, median, third quartile and maximum."""

    name: str
    values: Sequence[float]


def scatter(points: Sequence[Point], description: str) -> str:
    """Predicted against actual bitterness on square-root axes, with the interval, and the name as a tooltip."""
    top = max([end for point in points for end in (point.truth, point.predicted, point.high)], default=0) or 1.0

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * sqrt(max(value, 0) / top)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * sqrt(max(value, 0) / top)

    ticks = [tick for tick in IBU_TICKS if tick <= top]
    parts = [_vertical(x(tick), f"{tick}") + _horizontal(y(tick), f"{tick}") for tick in ticks]
    parts.append(_line(x(0), y(0), x(top), y(top), "diagonal"))
    parts += [_line(x(each.truth), y(each.low), x(each.truth), y(each.high), "interval") for each in points]
    parts += [
        f'<circle class="point" cx="{x(each.truth):.1f}" cy="{y(each.predicted):.1f}" r="4.5">'
        f"<title>{escape(each.title)}</title></circle>"
        for each in points
    ]
    parts += _names([(x(each.truth), y(each.predicted), each.name) for each in points if each.name])
    return _figure(parts, WIDTH, HEIGHT, description, "actual bitterness (IBU)", "predicted (IBU)")


def histogram(values: Sequence[float], description: str, axis: str, step: float = 10) -> str:
    """How many values lie in each interval of width `step`; those beyond 10 steps are counted at the edge."""
    reach = 10
    counts = [0] * (2 * reach)
    for value in values:
        counts[min(max(int(value // step) + reach, 0), 2 * reach - 1)] += 1
    top = max(counts) or 1
    slot = (WIDTH - LEFT - RIGHT) / len(counts)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / top

    parts = [_horizontal(y(tick), f"{tick}") for tick in _whole_ticks(top)]
    for position, count in enumerate(counts):
        start = (position - reach) * step
        title = f"{count} beers from {start:g} to {start + step:g}"
        parts.append(
            f'<rect class="bar" x="{LEFT + position * slot + 1:.1f}" y="{y(count):.1f}" width="{slot - 2:.1f}" '
            f'height="{HEIGHT - BOTTOM - y(count):.1f}"><title>{title}</title></rect>'
        )
    for position in (0, reach - 4, reach, reach + 4, 2 * reach):
        edge = {0: "less", 2 * reach: "more"}.get(position, f"{(position - reach) * step:g}")
        anchor = {0: "start", 2 * reach: "end"}.get(position, "middle")
        parts.append(_text(LEFT + position * slot, HEIGHT - BOTTOM + 18, edge, anchor))
    middle = LEFT + reach * slot
    parts.append(_line(middle, TOP, middle, HEIGHT - BOTTOM, "diagonal"))
    return _figure(parts, WIDTH, HEIGHT, description, axis, "beers")


def bars(rows: Sequence[Bar], description: str, axis: str, least: float = 0) -> str:
    """Horizontal bars from 0, each below its name, on an axis that reaches `least` at least.

    The numbers of bar and mark are two columns on the right, where no bar or line can cover them.
    """
    ends: list[float] = [0, *(end for row in rows for end in (row.value, row.mark or 0, *(row.whisker or ())))]
    low, high = min(ends), max([*ends, least]) or 1.0
    height = TOP + ROW * len(rows) + BOTTOM

    def x(value: float) -> float:
        return RIGHT + (WIDTH - NOTES - RIGHT) * (value - low) / (high - low)

    parts = []
    for tick in _ticks(low, high):
        parts.append(_line(x(tick), TOP, x(tick), height - BOTTOM, "grid"))
        parts.append(_text(x(tick), height - BOTTOM + 18, f"{tick:g}", "middle"))
    for position, row in enumerate(rows):
        y = TOP + position * ROW + 20
        left, right = sorted((x(0), x(row.value)))
        parts.append(_text(x(low), y - 5, row.name, "start", "name"))
        parts.append(f'<rect class="bar" x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="14"/>')
        parts.append(_text(WIDTH - NOTES + 42, y + 12, row.note, "end", "note"))
        if row.whisker:
            parts.append(_line(x(row.whisker[0]), y + 7, x(row.whisker[1]), y + 7, "whisker"))
        if row.mark is not None:
            parts.append(_line(x(row.mark), y - 3, x(row.mark), y + 17, "mark"))
            parts.append(_text(WIDTH, y + 12, row.mark_note, "end", "mark"))
    return _figure(parts, WIDTH, height, description, axis, "")


def boxes(rows: Sequence[Box], description: str) -> str:
    """Horizontal box plots on one axis: a line from minimum to maximum, a box between the quartiles, the median."""
    low = min((row.values[0] for row in rows), default=0.0)
    high = max((row.values[4] for row in rows), default=1.0)
    reach = high - low or 1.0
    height = TOP + BOX_ROW * len(rows) + BOTTOM

    def x(value: float) -> float:
        return BOX_NAMES + (BOX_WIDTH - BOX_NAMES - RIGHT) * (value - low) / reach

    parts = []
    for tick in _ticks(low, low + reach):
        parts.append(_line(x(tick), TOP, x(tick), height - BOTTOM, "grid"))
        parts.append(_text(x(tick), height - BOTTOM + 18, f"{tick:g}", "middle"))
    for position, row in enumerate(rows):
        y = TOP + position * BOX_ROW + BOX_ROW / 2
        least, first, median, third, most = map(x, row.values)
        parts.append(_text(BOX_NAMES - 8, y + 4, row.name, "end"))
        parts.append(_line(least, y, most, y, "whisker"))
        size = f'width="{max(third - first, 1):.1f}" height="12"'
        parts.append(f'<rect class="bar" x="{first:.1f}" y="{y - 6:.1f}" {size}/>')
        parts.append(_line(median, y - 8, median, y + 8, "mark"))
    return _figure(parts, BOX_WIDTH, height, description, "", "")


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(number * step, 9) for number in range(ceil(low / step), floor(high / step) + 1)]


def _whole_ticks(top: int) -> list[int]:
    return sorted({int(tick) for tick in _ticks(0, top)})


def _vertical(x: float, label: str) -> str:
    return _line(x, TOP, x, HEIGHT - BOTTOM, "grid") + _text(x, HEIGHT - BOTTOM + 18, label, "middle")


def _horizontal(y: float, label: str) -> str:
    return _line(LEFT, y, WIDTH - RIGHT, y, "grid") + _text(LEFT - 8, y + 4, label, "end")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _names(places: Sequence[tuple[float, float, str]]) -> list[str]:
    """Texts beside points (x, y, name): on the right where there is room, and left out where one would hide another."""
    texts: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for x, y, name in places:
        text = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\u2026"
        width = LETTER * len(text)
        right = x + 8 + width < WIDTH
        start = x + 8 if right else x - 8 - width
        if all(abs(y - height) > 12 or start > end or start + width < begin for begin, end, height in taken):
            taken.append((start, start + width, y))
            texts.append(_text(x + (8 if right else -8), y + 4, text, "start" if right else "end", "name"))
    return texts


def _figure(parts: Sequence[str], width: float, height: float, description: str, x_axis: str, y_axis: str) -> str:
    middle = (HEIGHT - BOTTOM + TOP) / 2
    axes = _text(width / 2, height - 8, x_axis, "middle", "axis")
    if y_axis:
        turn = f"translate(13 {middle}) rotate(-90)"
        axes += f'<text class="axis" transform="{turn}" text-anchor="middle">{escape(y_axis)}</text>'
    label = escape(description, quote=True)
    return f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{label}">{"".join(parts)}{axes}</svg>'
