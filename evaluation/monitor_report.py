"""The drift of requests and arrivals as one HTML page."""

from collections.abc import Mapping
from html import escape
from typing import Any

from page import card, page
from report_figures import drift_plot

TITLES = {"arrivals": "Beers that arrived since the training", "requests": "Beers that were asked for"}
CAPTION = "Blue: without drift no column of either source comes above it in 95 % of checks."


def render(found: Mapping[str, Any]) -> str:
    """The page, for the content of drift.json."""
    state = "failed" if found["drifted"] else "passed"
    sections = [
        card(title, drift_plot(found["sources"][source], CAPTION) + _error(found["sources"][source]["error"]))
        for source, title in TITLES.items()
    ]
    return page(
        "Drift of the bitterness model's data",
        f"<h1>Drift</h1><p class='origin'><span><b>Model version</b> {found['model_version']}</span>"
        f"<span><b>Measured</b> {escape(found['measured_at'])}</span></p>"
        f'<div class="verdict {state}"><strong>{"Drifted" if found["drifted"] else "Stable"}</strong>'
        f'<p>{escape(found["sentence"])}</p></div><div class="grid">{"".join(sections)}</div>',
    )


def _error(error: Mapping[str, Any] | None) -> str:
    if error is None:
        return "<p>Too few of these beers have a label by now to compare the error.</p>"
    return (
        f"<p>The error on {error['n']} beers whose label is known by now is {error['value']:.1f} IBU; "
        f"{error['expected']:.1f} was expected, and {error['chance']:.1f} is exceeded by chance in 5 % of checks.</p>"
    )
