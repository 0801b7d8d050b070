"""The evaluation as one HTML page: no network, no script, light and dark, narrow and wide."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from held_out import HeldOut
from plots import Bar, Box, Point, bars, boxes, histogram, scatter
from style import STYLE

NONE = "&ndash;"
NAMED = 5  # Points with their names beside them; more would cover each other.
MOST_POINTS = 1500  # With more the plot is black and the page large.

MARKS = "The blue marks with their numbers are the error of the median."
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


CRITERIA = {
    "test_families_unseen": "the test families are unseen",
    "min_relative_gain": "the gain over the median",
    "max_champion_loss": "the loss to the champion",
    "champion_loss_interval": "how large the loss to the champion may be within noise",
    "accumulated_loss": "the loss to the best version approved so far",
    "no_class_worse": "no class is worse",
    "champion_unchanged": "the champion is the approved artifact",
}
THRESHOLDS = {"min_relative_gain": "MinRelativeGain", "max_champion_loss": "MaxChampionLoss"}


def render(evaluation: Mapping[str, Any], held: HeldOut, now: str) -> str:
    """The page, for the content of evaluation.json, the held-out predictions, and the date and time."""
    sections = [
        card("Figures", _metrics(evaluation), wide=True),
        card("Predicted and actual", _scatter(held)),
        card("Residuals", _residuals(held)),
        card("Error by bitterness", _bands(evaluation)),
        card("Error by style word", _styles(evaluation)),
        card("Actual and predicted class", _confusion(evaluation)),
        card("What the model relies on", _importance(evaluation)),
        card("Coverage of the intervals", _calibration(evaluation)),
        card("Three errors and what they mean", _three_errors(evaluation)),
        card("The ten worst predictions", _worst(evaluation), wide=True),
        card("Data: dropped and repaired rows", _quality(evaluation)),
        card("Drift of the arrivals", _drift(evaluation)),
        card("Distributions of the sides", _distributions(evaluation), wide=True),
        card("Lineage", _lineage(evaluation)),
        card("How to read this model", _purpose(evaluation)),
    ]
    size = evaluation["held_out"]
    state, word = _heading(evaluation["gate"])
    return page(
        f"Bitterness model: {word.lower()}",
        f"<h1>Evaluation of the bitterness model</h1>{_origin(evaluation['lineage'], now)}"
        f'<p class="soft">{size["n"]} beers of {size["families"]} recipe families, each predicted without having seen '
        "its family.</p>"
        f'<div class="verdict {state}"><strong>{word}</strong><p>{escape(evaluation["gate"]["reason"])}</p>'
        f"{_conditions(evaluation['gate'])}</div>"
        f'<div class="grid">{"".join(sections)}</div>',
    )


def page(title: str, body: str) -> str:
    """A page that needs nothing else."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _origin(lineage: Mapping[str, Any], now: str) -> str:
    """One line: run, date, environment and champion."""
    champion = lineage.get("champion_version")
    texts = [
        ("Run", lineage.get("run")),
        ("Evaluated", now),
        ("Environment", lineage.get("environment")),
        ("Champion", f"version {champion}" if champion else "none named"),
    ]
    items = [f"<span><b>{name}</b> {escape(str(value))}</span>" for name, value in texts if value]
    return f'<p class="origin">{"".join(items)}</p>'


def _heading(gate: Mapping[str, Any]) -> tuple[str, str]:
    """The style and the heading."""
    if gate["passed"]:
        return ("loosened", "Passed with loosened thresholds") if gate["loosened"] else ("passed", "Passed")
    return ("loosened", "Not passed, registered by override") if gate["register"] else ("failed", "Not passed")


def _conditions(gate: Mapping[str, Any]) -> str:
    """The loosened thresholds, the failed criteria and the reason of an override."""
    lines = [f"{THRESHOLDS[name]} is {gate[name]:g}, looser than the default." for name in gate["loosened"]]
    if gate["failed"]:
        lines.append(f"Failed: {'; '.join(CRITERIA[name] for name in gate['failed'])}.")
    if gate["register"] and not gate["passed"]:
        lines.append(f"Override: {gate['override_reason']}")
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _metrics(evaluation: Mapping[str, Any]) -> str:
    champion = evaluation["champion"] or {}
    models = (evaluation["candidate"], champion, evaluation["baseline"])
    rows = [
        [f"{name} <small>{unit}</small>", *(_figure(model.get(metric)) for model in models)]
        for metric, (name, unit) in METRICS.items()
    ]
    shared = f" The champion's figures are of {champion['n']} shared beers." if champion else ""
    grown = evaluation["gate"]["accumulated_loss"]
    if grown:
        shared += f" Above the best version approved so far the error is {100 * grown:.1f} %."
    return _table(["", "Candidate", "Champion", "Median of the labels"], rows) + (
        '<p class="soft">Small: 90 % intervals by bootstrap over recipe families. '
        f"{escape(evaluation['about_champion'])}{shared}</p>"
    )


def _scatter(held: HeldOut) -> str:
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
    return _captioned(scatter(points, "Predicted against actual bitterness"), caption)


def _residuals(held: HeldOut) -> str:
    residuals = (held.answers["ibu"] - held.beers.label).tolist()
    plot = histogram(residuals, "Histogram of the residuals", "predicted minus actual (IBU)")
    mean, median = np.mean(residuals), np.median(residuals)
    return _captioned(plot, f"Mean {mean:+.1f}, median {median:+.1f} IBU. Left of 0 the estimate is too low.")


def _bands(evaluation: Mapping[str, Any]) -> str:
    rows = [
        _error_bar(f"{BANDS.get(name, name)} IBU (n = {each['n']})", each)
        for name, each in evaluation["slices"]["bitterness"].items()
    ]
    plot = bars(rows, "Mean absolute error by actual bitterness", "mean absolute error (IBU)")
    worse = "".join(f" Significantly worse than the champion: {each['name']}." for each in evaluation["worse_classes"])
    return _captioned(plot, f"By actual bitterness. {MARKS}{worse}")


def _styles(evaluation: Mapping[str, Any]) -> str:
    rows = [_error_bar(f"{name} (n = {each['n']})", each) for name, each in evaluation["slices"]["style"].items()]
    plot = bars(rows, "Mean absolute error by a word of the name", "mean absolute error (IBU)")
    return _captioned(plot, f"Beers with the word in their name; a beer may be in several rows. {MARKS}")


def _error_bar(name: str, each: Mapping[str, float]) -> Bar:
    mae, baseline = each["mae"], each["baseline_mae"]
    return Bar(name, mae, f"{mae:.1f}", mark=baseline, mark_note=f"{baseline:.1f}")


def _confusion(evaluation: Mapping[str, Any]) -> str:
    names, counts = evaluation["confusion"]["classes"], evaluation["confusion"]["counts"]
    shown = [escape(name.replace("_", " ")) for name in names]
    rows = [
        [shown[row], *(f"<b>{count}</b>" if row == column else f"{count}" for column, count in enumerate(line))]
        for row, line in enumerate(counts)
    ]
    table = _table(["Actual \\ predicted", *shown], rows)
    right, total = sum(counts[each][each] for each in range(len(names))), sum(map(sum, counts)) or 1
    text = f"{right} of {total} beers are in their own class ({right / total:.0%})."
    known = evaluation["probabilities"]
    if known:
        folds, test = known["out_of_fold"], known["test"]
        text += (
            f" Class probabilities are off by {folds['ece']:.3f} out of fold (expected calibration error; the bare"
            f" votes of the trees by {folds['raw_ece']:.3f}) and by {test['ece']:.3f} on the {test['n']} test beers."
        )
    return f'{table}<p class="soft">{text}</p>'


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
            mark_note=f"{intervals['level']:.0%}",
        )
        for part in intervals["by_estimate"]
    ]
    plot = bars(rows, "Share of beers inside their interval", "share inside the interval", least=1)
    return _captioned(
        plot,
        f"{coverage['value']:.0%} of all beers lie inside (90 % interval: {coverage['low']:.0%} to "
        f"{coverage['high']:.0%}); {intervals['level']:.0%} is the target (blue). "
        f"The intervals are {intervals['mean_width']:.0f} IBU wide on average.",
    )


def _three_errors(evaluation: Mapping[str, Any]) -> str:
    folds, test, validation = evaluation["cross_validation"]["grouped"], evaluation["test"], evaluation["validation"]
    sides = evaluation["lineage"]["sides"]
    rows = [
        ["Cross-validation", f"{folds['n']}", _number(folds["mae"]), _number(folds["baseline_mae"])],
        ["Test", f"{test['n']}", _figure(test["mae"]), _figure(test["baseline_mae"])],
        ["Validation", f"{sides.get('validation', '')}", _number(validation.get("mae")), NONE],
    ]
    text = (
        "Cross-validation: every training beer as predicted by a fold without its family, by models with a tenth less "
        "data. Test: beers of families that this model has not seen, asked of the model as it is served. Validation: "
        "likewise, for tuning; no decision uses it. The figures above are of cross-validation and test together."
    )
    if "seed_range" in folds:
        low, high = folds["seed_range"]
        text += f" Fifths of the trees, with seeds of their own, have cross-validated errors of {low:.1f} to {high:.1f}"
        text += " IBU; the whole forest depends less than half as much on the seed."
    return _table(["MAE in IBU", "Beers", "Model", "Median"], rows) + f'<p class="soft">{text}</p>'


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
        return "<p>There is no quality.json of the processing step.</p>"
    rows = [
        ["Rows read", f"{quality['read']}"],
        ["Duplicates of a beer", f"{quality['duplicates']}"],
        ["Beers kept", f"{quality['kept']} of {quality['beers']}"],
    ]
    for kind in ("dropped", "repaired", "emptied", "flagged"):
        for reason, count in quality[kind].items():
            rows.append([f"{kind.capitalize()}: {escape(reason.replace('_', ' '))}", f"{count}"])
    return _table(["What", "Count"], rows) + (
        '<p class="soft">Dropped beers are not trained on. An emptied value is treated as missing; '
        "a flagged one stays.</p>"
    )


def _drift(evaluation: Mapping[str, Any]) -> str:
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
    plot = bars(rows, "Population stability index per column", "population stability index", least=0.3)
    rule = "A column has drifted when its index is above that and above 0.25."
    return _captioned(plot, f"{moved['sentence']} {caption} {rule}")


def _distributions(evaluation: Mapping[str, Any]) -> str:
    found = evaluation["distributions"]
    plots = [
        f"<div><h3>{escape(name)}</h3>{boxes([Box(*each) for each in sides.items()], f'{name} by side')}</div>"
        for name, sides in found.items()
    ]
    text = "Lines from the least to the largest value, boxes between the quartiles, blue at the median. Arrivals are "
    text += "training beers that the champion was not trained on."
    return f'<div class="small">{"".join(plots)}</div><p class="soft">{text}</p>'


def _lineage(evaluation: Mapping[str, Any]) -> str:
    lineage = evaluation["lineage"]
    names = {
        "run": "Run",
        "environment": "Environment",
        "champion_version": "Champion version",
        "model_uri": "Model",
        "artifact_sha256": "Artifact SHA-256",
        "input_uri": "Input",
        "cut_off": "Data up to",
        "input_sha256": "Input SHA-256",
        "split_sha256": "Split SHA-256",
        "sides": "Beers per side",
        "parameters": "Parameters",
        "model_sha256": "Arrays SHA-256",
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


def card(title: str, content: str, wide: bool = False) -> str:
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
