"""The evaluation as one HTML page: no network, no script, light and dark, narrow and wide."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from beers import Beers
from plots import Bar, Point, bars, histogram, scatter

NONE = "&ndash;"
MOST_POINTS = 1500  # Beyond this the plot is black and the page large.

METRICS = {
    "mae": ("Mean absolute error (MAE)", "IBU"),
    "rmse": ("Root mean squared error", "IBU"),
    "median_absolute_error": ("Median absolute error", "IBU"),
    "r2": ("R²", ""),
    "accuracy": ("Accuracy in 4 bitterness classes", ""),
    "macro_f1": ("Macro F1 in 4 bitterness classes", ""),
}
BANDS = {"low": "below 20", "moderate": "20 to 40", "high": "40 to 70", "very_high": "70 and above"}

STYLE = """
:root { color-scheme: light dark; --ink: #1c1b19; --soft: #635f58; --page: #faf8f4; --card: #fff; --line: #e2ddd3;
  --beer: #b8650a; --cool: #2b6a8f; --good: #1e6b3a; --good-page: #e4f3e8; --bad: #9c2b1f; --bad-page: #fbe7e4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece8e0; --soft: #a8a296; --page: #161513; --card: #201e1b;
  --line: #3a3732; --beer: #f0a33a; --cool: #7bbbe0; --good: #8fd6a5; --good-page: #16301f; --bad: #f3a79c;
  --bad-page: #3a1b17; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.12rem; margin: 0 0 10px; }
p { margin: 0 0 10px; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.verdict { border-left: 6px solid; border-radius: 8px; padding: 14px 18px; margin: 18px 0; font-size: 1.05rem; }
.verdict p { margin: 0; }
.verdict strong { display: block; font-size: 1.25rem; }
.passed { color: var(--good); background: var(--good-page); }
.failed { color: var(--bad); background: var(--bad-page); }
.verdict p { color: var(--ink); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; min-width: 0; }
.card.wide { grid-column: 1 / -1; }
figure { margin: 0; }
.scroll { overflow-x: auto; }
.scroll > table { min-width: 470px; }
.scroll > svg { min-width: 400px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; }
td small { color: var(--soft); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0; font-size: .93rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 520px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } }
svg { width: 100%; height: auto; display: block; }
svg text { font: 13px system-ui, sans-serif; fill: var(--soft); }
svg text.axis, svg text.note { fill: var(--ink); }
.grid line.grid, line.grid { stroke: var(--line); }
line.diagonal { stroke: var(--soft); stroke-dasharray: 5 4; }
line.interval { stroke: var(--beer); opacity: .22; }
line.whisker { stroke: var(--ink); stroke-width: 2; }
line.mark { stroke: var(--cool); stroke-width: 3; }
.point { fill: var(--beer); fill-opacity: .75; stroke: var(--card); }
rect.bar { fill: var(--beer); fill-opacity: .8; }
"""


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
    for row in range(min(len(test.ids), MOST_POINTS)):
        truth = float(test.label[row])
        middle, low, high = (float(answers[name][row]) for name in ("ibu", "low", "high"))
        name = test.instances[row]["name"] or f"beer {test.ids[row]}"
        title = f"{name}: {truth:g} IBU, predicted {middle:.0f} ({low:.0f} to {high:.0f})"
        points.append(Point(truth, middle, low, high, title))
    caption = "Each point is a test beer; hover for its name. Faint lines are the 90 % intervals."
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
    intervals = evaluation["intervals"]
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
        f"{intervals['coverage']:.0%} of all test beers lie inside; {intervals['level']:.0%} was promised (blue). "
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
        "model_sha256": "Model SHA-256",
        "hyperparameters": "Hyperparameters",
        "git_commit": "Code commit",
        "image_uri": "Container image",
        "versions": "Versions",
    }
    known = [(label, lineage[name]) for name, label in names.items() if lineage.get(name)]
    return f"<dl>{''.join(f'<dt>{label}</dt><dd>{escape(_plain(value))}</dd>' for label, value in known)}</dl>"


def _purpose(evaluation: Mapping[str, Any]) -> str:
    return (
        "<p><b>Meant for</b> estimating the bitterness of a beer from its strength, gravities, colour and name, "
        "with an interval that says how sure the estimate is.</p>"
        "<p><b>Not meant for</b> labelling or brewing decisions: bitterness comes from hops, which the table does "
        "not hold, so beers of equal figures can differ widely.</p>"
        f"<p><b>Intervals</b> promise {evaluation['intervals']['level']:.0%} over all beers of this kind, not for each "
        "bitterness class. <b>Risk:</b> low; nobody is decided about.</p>"
    )


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
