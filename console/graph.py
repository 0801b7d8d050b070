"""A pipeline's graph as SVG: steps in layers from top to bottom, conditions with their branches, status as a word too.

The picture has no script and no outside reference. Its colours are CSS variables with defaults, so that it is readable
by itself, in a README, and in the console's light and dark pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from console.definition import Step

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 216, 68, 36, 50, 16
# Status -> mark beside the word: not everyone distinguishes the colours.
MARKS = {"Succeeded": "✓", "Failed": "✗", "Executing": "●", "Starting": "●", "Stopping": "■", "Stopped": "■"}
STYLE = """
.step rect{fill:var(--node,#fff);stroke:var(--line,#8a94a6);stroke-width:1.5}
.step text{font:600 14px system-ui,sans-serif;fill:var(--text,#1b2433)}
.step .type,.step .note,.label{font:400 12px system-ui,sans-serif;fill:var(--muted,#566073)}
.arrow{fill:var(--line,#8a94a6)}
.edge{fill:none;stroke:var(--line,#8a94a6);stroke-width:1.5}
.Succeeded rect{stroke:var(--good,#1a7f37);stroke-width:2}.Succeeded .note{fill:var(--good,#1a7f37)}
.Failed rect{stroke:var(--bad,#c62828);stroke-width:2.5}.Failed .note{fill:var(--bad,#c62828)}
.Executing rect,.Starting rect{stroke:var(--busy,#0b63ce);stroke-width:2.5;stroke-dasharray:6 3}
.Executing .note,.Starting .note{fill:var(--busy,#0b63ce)}
.NotStarted rect{stroke-dasharray:3 3}
.label{paint-order:stroke;stroke:var(--page,#fff);stroke-width:4px}
"""


@dataclass(frozen=True)
class Mark:
    """What a run adds to a step. note: a short text such as "Succeeded 3.2 s". link: where a click leads."""

    status: str = ""
    note: str = ""
    link: str = ""


@dataclass(frozen=True)
class Place:
    """A step's upper left corner in pixels."""

    x: float
    y: float


def svg(
    steps: list[Step],
    marks: Mapping[str, Mark] | None = None,
    labels: Mapping[tuple[str, str], str] | None = None,
    *,
    standalone: bool = False,
) -> str:
    """The graph as one SVG element.

    marks: step name -> status, note and link. labels: (from, to) -> text on the edge, such as a number of rows.
    standalone: with its own style, for a file; a page has it in its style sheet.
    """
    marks, labels = marks or {}, labels or {}
    places = layout(steps)
    width = max((place.x for place in places.values()), default=0) + WIDTH + MARGIN
    height = max((place.y for place in places.values()), default=0) + HEIGHT + MARGIN
    drawn = [
        _edge(places[name], places[step.name], branch, labels.get((name, step.name), ""))
        for step in steps
        for name, branch in step.waits_for.items()
    ]
    drawn += [_node(step, places[step.name], marks.get(step.name, Mark())) for step in steps]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="group" aria-label="Pipeline graph">'
        + (f"<style>{STYLE}</style>" if standalone else "")
        + '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="arrow" d="M0 0 8 4 0 8z"/></marker></defs>' + "".join(drawn) + "</svg>"
    )


def layout(steps: list[Step]) -> dict[str, Place]:
    """Where each step stands: a layer below all that it waits for, beside its neighbours near the middle of them."""
    layers = _layers(steps)
    order: dict[str, float] = {}
    widest = max((len(layer) for layer in layers), default=1)
    places = {}
    for depth, layer in enumerate(layers):
        middles = {
            step.name: sum(order[name] for name in step.waits_for) / len(step.waits_for) if step.waits_for else 0.0
            for step in layer
        }
        layer.sort(key=lambda step: middles[step.name])
        indent = (widest - len(layer)) / 2
        for index, step in enumerate(layer):
            order[step.name] = indent + index
            places[step.name] = Place(MARGIN + order[step.name] * (WIDTH + GAP_X), MARGIN + depth * (HEIGHT + GAP_Y))
    return places


def _layers(steps: list[Step]) -> list[list[Step]]:
    by_name = {step.name: step for step in steps}
    depths: dict[str, int] = {}

    def depth(name: str, path: frozenset[str] = frozenset()) -> int:
        if name not in depths:
            # A cycle is refused by SageMaker; here it must only not hang.
            earlier = [each for each in by_name[name].waits_for if each not in path]
            depths[name] = 1 + max((depth(each, path | {name}) for each in earlier), default=-1)
        return depths[name]

    layers: list[list[Step]] = [[] for _ in range(max((depth(name) for name in by_name), default=-1) + 1)]
    for step in steps:
        layers[depths[step.name]].append(step)
    return [layer for layer in layers if layer]


def _edge(start: Place, end: Place, branch: str, label: str) -> str:
    x1, y1, x2, y2 = start.x + WIDTH / 2, start.y + HEIGHT, end.x + WIDTH / 2, end.y - 2
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    curve = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {middle_y:.0f} {x2:.0f} {middle_y:.0f} {x2:.0f} {y2:.0f}"
    path = f'<path class="edge" marker-end="url(#arrow)" d="{curve}"/>'
    text = ", ".join(each for each in (branch, label) if each)
    at = f'x="{middle_x:.0f}" y="{middle_y + 4:.0f}"'
    return path + (f'<text class="label" text-anchor="middle" {at}>{escape(text)}</text>' if text else "")


def _node(step: Step, place: Place, mark: Mark) -> str:
    radius = HEIGHT / 2 if step.type == "Condition" else 8
    note = " ".join(each for each in (MARKS.get(mark.status, ""), mark.note or mark.status) if each)
    lines = [("", 25 if note else 30, _short(step.title, 23)), ("type", 42 if note else 49, step.type)]
    if note:
        lines.append(("note", 58, _short(note, 34)))
    texts = "".join(
        f'<text class="{kind}" x="{WIDTH / 2:.0f}" y="{y}" text-anchor="middle">{escape(text)}</text>'
        for kind, y, text in lines
    )
    body = (
        f'<g class="step {escape(mark.status)}" transform="translate({place.x:.0f} {place.y:.0f})">'
        f"<title>{escape(step.name)}: {escape(step.description or step.type)}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="{radius:.0f}"/>{texts}</g>'
    )
    return f'<a href="{escape(mark.link)}">{body}</a>' if mark.link else body


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
