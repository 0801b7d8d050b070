"""The evaluation as one HTML page: no network, no script, light and dark, narrow and wide."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from beers import Beers
from plots import Bar, Point, bars, histogram, scatter
from style import STYLE

NONE = "&ndash;"
NAMED = 5  # Points with their names beside them; more would cover each other.
MOST_POINTS = 1500  # Beyond this the plot is black and the page large.

METRICS = {
    "mae": ("Mean absolute error (MAE)", "IBU"),
    "rmse": ("Root mean squared error", "IBU"),
    "median_absolute_error": ("Median absolute error", "IBU"),
    "r2": ("R²", ""),
    "accuracy": ("Accuracy in 4 bitterness classes", ""),
    "macro_f1": ("Macro F1 in 4 bitterness classes", ""),
    "coverage": ("Share of beers inside their interval", ""),
    "mean_width": ("Mean width of the intervals", "IBU"),
}
BANDS = {"low": "below 20", "moderate": "20 to 40", "high": "40 to 70", "very_high": "70 and above"}


def render(evaluation: Mapping[str, Any], test: Beers, answers: Mapping[str, np.ndarray]) -> str:
    """The page, for what evaluation.json holds and the (n,) answers ibu, low and high to the test beers."""
    gate = evaluation["gate"]
    sections = [
        _card("Figures", _metrics(evaluation), wide=True),
        _card("Predicted and actual", _scatter(test, answers)),
        _card("Residuals", _residuals(test, answers)),
        _card("Error by bitterness", _bands(evaluation)),
        _card("What the model relies on", _importance(evaluation)),
        _card("Do the intervals hold what they promise?", _calibration(evaluation)),
        _card("Cross-validation", _cross_validation(evaluation)),
        _card("The ten worst predictions", _worst(evaluation), wide=True),
        _card("Data: what was dropped and repaired", _quality(evaluation)),
        _card("Drift against the champion's training data", _drift(evaluation)),
        _card("Lineage", _lineage(evaluation)),
        _card("How to read this model", _purpose(evaluation)),
    ]
    state, word = ("passed", "Passed") if gate["passed"] else ("failed", "Not passed")
    size = evaluation["test"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Bitterness model: {word.lower()}</title><style>{STYLE}</style></head><body><main>"
        "<h1>Evaluation of the bitterness model</h1>"
        f'<p class="soft">{size["n"]} test beers of {size["families"]} recipes that the model has not seen.</p>'
        f'<div class="verdict {state}"><strong>{word}</strong><p>{escape(gate["reason"])}</p></div>'
        f'<div class="grid">{"".join(sections)}</div></main></body></html>\n'
    )


def _metrics(evaluation: Mapping[str, Any]) -> str:
    champion = evaluation["champion"] or {}
    models = (evaluation["candidate"], champion, evaluation["baseline"])
    rows = [
        [f"{name} <small>{unit}</small>", *(_figure(model.get(metric)) for model in models)]
        for metric, (name, unit) in METRICS.items()
    ]
    seen = champion.get("trained_on_by_champion", 0)
    note = f" {seen} test beers of recipes the champion has trained on are left out of its figures." if seen else ""
    return _table(["", "Candidate", "Champion", "Median of the labels"], rows) + (
        '<p class="soft">Small: 90 % intervals by bootstrap over recipes. '
        f"{escape(evaluation['about_champion'])}{note}{_validation(evaluation)}</p>"
    )


def _validation(evaluation: Mapping[str, Any]) -> str:
    error = evaluation["validation"].get("mae")
    return "" if error is None else f" On the validation beers the candidate's MAE is {error:.1f} IBU."


def _scatter(test: Beers, answers: Mapping[str, np.ndarray]) -> str:
    points = []
    farthest = set(np.argsort(-np.abs(answers["ibu"] - test.label), kind="stable")[:NAMED])
    for row in range(min(len(test.ids), MOST_POINTS)):
        truth = float(test.label[row])
        middle, low, high = (float(answers[name][row]) for name in ("ibu", "low", "high"))
        name = str(test.instances[row]["name"] or f"beer {test.ids[row]}")
        title = f"{name}: {truth:g} IBU, predicted {middle:.0f} ({low:.0f} to {high:.0f})"
        points.append(Point(truth, middle, low, high, title, name if row in farthest else ""))
    caption = "Each point is a test beer; the farthest have their names, the others show them when pointed at. "
    caption += "Faint lines are the 90 % intervals."
    return _captioned(scatter(points, "Predicted against actual bitterness of the test beers"), caption)


def _residuals(test: Beers, answers: Mapping[str, np.ndarray]) -> str:
    residuals = (answers["ibu"] - test.label).tolist()
    plot = histogram(residuals, "Histogram of the residuals", "predicted minus actual (IBU)")
    mean, median = np.mean(residuals), np.median(residuals)
    return _captioned(plot, f"Mean {mean:+.1f}, median {median:+.1f} IBU. Left of 0 the model estimates too low.")


def _bands(evaluation: Mapping[str, Any]) -> str:
    rows = [
        Bar(
            f"{BANDS.get(name, name)} IBU (n = {each['n']})",
            each["mae"],
            f"{each['mae']:.1f}",
            mark=each["baseline_mae"],
        )
        for name, each in evaluation["slices"]["bitterness"].items()
    ]
    plot = bars(rows, "Mean absolute error by actual bitterness", "mean absolute error (IBU)")
    return _captioned(plot, "By actual bitterness. The blue marks are the error of always saying the median.")


def _importance(evaluation: Mapping[str, Any]) -> str:
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
    plot = bars(rows, "Permutation importance", "growth of the error when shuffled (IBU)")
    return _captioned(plot, "Permutation importance on the test beers; whiskers are one standard deviation.")


def _calibration(evaluation: Mapping[str, Any]) -> str:
    intervals, coverage = evaluation["intervals"], evaluation["candidate"]["coverage"]
    rows = [
        Bar(
            f"estimate {part['from']:.0f} to {part['to']:.0f} (n = {part['n']})",
            part["coverage"],
            f"{part['coverage']:.0%}",
            mark=intervals["level"],
        )
        for part in intervals["by_estimate"]
    ]
    plot = bars(rows, "Share of test beers inside their interval", "share inside the interval", least=1)
    return _captioned(
        plot,
        f"{coverage['value']:.0%} of all test beers lie inside (90 % interval: {coverage['low']:.0%} to "
        f"{coverage['high']:.0%}); {intervals['level']:.0%} was promised (blue). "
        f"The intervals are {intervals['mean_width']:.0f} IBU wide on average.",
    )


def _cross_validation(evaluation: Mapping[str, Any]) -> str:
    names = {
        "mae": "MAE (IBU)",
        "baseline_mae": "MAE of the median (IBU)",
        "accuracy": "Accuracy",
        "coverage": "Interval coverage",
        "mean_width": "Interval width (IBU)",
        "n": "Beers",
        "folds": "Folds",
    }
    kinds = evaluation["cross_validation"]
    columns = [kinds[kind] for kind in ("grouped", "ungrouped")]
    rows = [[label, *(_number(column.get(name)) for column in columns)] for name, label in names.items()]
    return _table(["Training beers", "Recipes kept whole", "Recipes divided"], rows) + (
        '<p class="soft">A recipe on both sides of a fold flatters the model: only the first column is honest.</p>'
    )


def _worst(evaluation: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(str(each["name"] or f"beer {each['id']}")),
            f"{each['ibu']:g}",
            f"{each['predicted']:.1f}",
            f"{each['low']:.0f} to {each['high']:.0f}",
            f"{each['predicted'] - each['ibu']:+.1f}",
        ]
        for each in evaluation["worst"]
    ]
    return _table(["Beer", "Actual IBU", "Predicted", "90 % interval", "Error"], rows)


def _quality(evaluation: Mapping[str, Any]) -> str:
    quality = evaluation["quality"]
    if not quality:
        return "<p>The processing step left no account of it.</p>"
    rows = [
        ["Rows read", f"{quality['read']}"],
        ["Duplicates of a beer", f"{quality['duplicates']}"],
        ["Beers kept", f"{quality['kept']} of {quality['beers']}"],
    ]
    for kind in ("dropped", "repaired", "emptied", "flagged"):
        for reason, count in quality[kind].items():
            rows.append([f"{kind.capitalize()}: {escape(reason.replace('_', ' '))}", f"{count}"])
    return _table(["What", "Count"], rows) + (
        '<p class="soft">Dropped beers are not learnt from. An emptied value is treated as missing; '
        "a flagged one is kept.</p>"
    )


def _drift(evaluation: Mapping[str, Any]) -> str:
    if not evaluation["drift"]:
        return "<p>There is no champion to compare with.</p>"
    rows = [Bar(name, value, f"{value:.3f}", mark=0.25) for name, value in evaluation["drift"].items()]
    plot = bars(rows, "Population stability index per column", "population stability index", least=0.3)
    return _captioned(plot, "Below 0.1 is usually called stable; above 0.25 (blue) the data has shifted.")


def _lineage(evaluation: Mapping[str, Any]) -> str:
    lineage = evaluation["lineage"]
    names = {
        "input_uri": "Input",
        "cut_off": "Data up to",
        "input_sha256": "Input SHA-256",
        "split_sha256": "Split SHA-256",
        "sides": "Beers per side",
        "parameters": "Parameters",
        "model_sha256": "Model SHA-256",
        "hyperparameters": "Hyperparameters",
        "git_commit": "Code commit",
        "image_uri": "Container image",
        "versions": "Versions",
    }
    known = [(label, lineage[name]) for name, label in names.items() if lineage.get(name)]
    return f"<dl>{''.join(f'<dt>{label}</dt><dd>{escape(_plain(value))}</dd>' for label, value in known)}</dl>"


def _purpose(evaluation: Mapping[str, Any]) -> str:
    names = {
        "purpose": "Meant for",
        "not_for": "Not meant for",
        "limits": "Limits",
        "figures": "Figures",
        "risk": "Risk",
    }
    card = evaluation["card"]
    return "".join(f"<p><b>{label}.</b> {escape(card[name])}</p>" for name, label in names.items())


def _card(title: str, content: str, wide: bool = False) -> str:
    return f'<section class="card{" wide" if wide else ""}"><h2>{escape(title)}</h2>{content}</section>'


def _captioned(plot: str, caption: str) -> str:
    return f'<figure><div class="scroll">{plot}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    frame = ' class="scroll"' if len(header) > 3 else ""
    return f"<div{frame}><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(figure: Mapping[str, float] | None) -> str:
    if not figure:
        return NONE
    return f"{_number(figure['value'])} <small>{_number(figure['low'])} to {_number(figure['high'])}</small>"


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    if isinstance(value, int):
        return f"{value}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)
