"""The figures of the evaluation's report, each with its caption."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import plots
from held_out import HeldOut
from page import captioned
from plots import Bar, Box, Point

NAMED = 5  # Points with their names beside them; more would cover each other.
MOST_POINTS = 1500  # With more the plot is black and the page large.
MARKS = "The blue marks with their numbers are the error of the median."
BANDS = {"low": "below 20", "moderate": "20 to 40", "high": "40 to 70", "very_high": "70 and above"}


def scatter(held: HeldOut) -> str:
    points = []
    beers, answers = held.beers, held.answers
    farthest = set(np.argsort(-np.abs(answers["ibu"] - beers.label), kind="stable")[:NAMED])
    for row in range(min(len(beers.ids), MOST_POINTS)):
        truth = float(beers.label[row])
        middle, low, high = (float(answers[name][row]) for name in ("ibu", "low", "high"))
        name = str(beers.instances[row]["name"] or f"beer {beers.ids[row]}")
        title = f"{name}: {truth:g} IBU, predicted {middle:.0f} ({low:.0f} to {high:.0f})"
        points.append(Point(truth, middle, low, high, title, name if row in farthest else ""))
    caption = "Each point is a beer; the farthest have their names, the others show them when pointed at. "
    caption += "Faint lines are the 90 % intervals."
    return captioned(plots.scatter(points, "Predicted against actual bitterness"), caption)


def residuals(held: HeldOut) -> str:
    differences = (held.answers["ibu"] - held.beers.label).tolist()
    plot = plots.histogram(differences, "Histogram of the residuals", "predicted minus actual (IBU)")
    mean, median = np.mean(differences), np.median(differences)
    return captioned(plot, f"Mean {mean:+.1f}, median {median:+.1f} IBU. Left of 0 the estimate is too low.")


def bands(evaluation: Mapping[str, Any]) -> str:
    rows = [
        _error_bar(f"{BANDS.get(name, name)} IBU (n = {each['n']})", each)
        for name, each in evaluation["slices"]["bitterness"].items()
    ]
    plot = plots.bars(rows, "Mean absolute error by actual bitterness", "mean absolute error (IBU)")
    worse = "".join(f" Significantly worse than the champion: {each['name']}." for each in evaluation["worse_classes"])
    return captioned(plot, f"By actual bitterness. {MARKS}{worse}")


def styles(evaluation: Mapping[str, Any]) -> str:
    rows = [_error_bar(f"{name} (n = {each['n']})", each) for name, each in evaluation["slices"]["style"].items()]
    plot = plots.bars(rows, "Mean absolute error by a word of the name", "mean absolute error (IBU)")
    return captioned(plot, f"Beers with the word in their name; a beer may be in several rows. {MARKS}")


def _error_bar(name: str, each: Mapping[str, float]) -> Bar:
    mae, baseline = each["mae"], each["baseline_mae"]
    return Bar(name, mae, f"{mae:.1f}", mark=baseline, mark_note=f"{baseline:.1f}")


def importance(evaluation: Mapping[str, Any]) -> str:
    ranked = sorted(evaluation["importance"].items(), key=lambda item: -item[1]["value"])
    rows = [
        Bar(
            name,
            each["value"],
            f"{each['value']:+.1f}",
            whisker=(each["value"] - each["standard_deviation"], each["value"] + each["standard_deviation"]),
        )
        for name, each in ranked
    ]
    plot = plots.bars(rows, "Permutation importance", "growth of the error when shuffled (IBU)")
    return captioned(plot, "Permutation importance on the test beers; whiskers are one standard deviation.")


def calibration(evaluation: Mapping[str, Any]) -> str:
    intervals, coverage = evaluation["intervals"], evaluation["candidate"]["coverage"]
    rows = [
        Bar(
            f"estimate {part['from']:.0f} to {part['to']:.0f} (n = {part['n']})",
            part["coverage"],
            f"{part['coverage']:.0%}",
            mark=intervals["level"],
            mark_note=f"{intervals['level']:.0%}",
        )
        for part in intervals["by_estimate"]
    ]
    plot = plots.bars(rows, "Share of beers inside their interval", "share inside the interval", least=1)
    return captioned(
        plot,
        f"{coverage['value']:.0%} of all beers lie inside (90 % interval: {coverage['low']:.0%} to "
        f"{coverage['high']:.0%}); {intervals['level']:.0%} is the target (blue). "
        f"The intervals are {intervals['mean_width']:.0f} IBU wide on average.",
    )


def drift(evaluation: Mapping[str, Any]) -> str:
    caption = "Blue: what 95 % of samples of so many beers stay below without drift."
    return drift_plot(evaluation["drift"], caption)


def drift_plot(moved: Mapping[str, Any], caption: str) -> str:
    """The index of each column beside its chance level. moved: columns and sentence, as arrivals.py makes them."""
    if not moved["columns"]:
        return f"<p>{escape(moved['sentence'])}</p>"
    rows = [
        Bar(name, each["value"], f"{each['value']:.2f}", mark=each["chance"], mark_note=f"{each['chance']:.2f}")
        for name, each in moved["columns"].items()
    ]
    plot = plots.bars(rows, "Population stability index per column", "population stability index", least=0.3)
    rule = "A column has drifted when its index is above that and above 0.25."
    return captioned(plot, f"{moved['sentence']} {caption} {rule}")


def distributions(evaluation: Mapping[str, Any]) -> str:
    found = evaluation["distributions"]
    drawn = [
        f"<div><h3>{escape(name)}</h3>{plots.boxes([Box(*each) for each in sides.items()], f'{name} by side')}</div>"
        for name, sides in found.items()
    ]
    text = "Lines from the least to the largest value, boxes between the quartiles, blue at the median. Arrivals are "
    text += "training beers that the champion was not trained on."
    return f'<div class="small">{"".join(drawn)}</div><p class="soft">{text}</p>'
