"""The evaluation as one HTML page: no network, no script, light and dark, narrow and wide."""

from collections.abc import Mapping
from html import escape
from typing import Any

import report_figures as figures
from held_out import HeldOut
from page import NONE, card, figure, number, page, table

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
        card("Predicted and actual", figures.scatter(held)),
        card("Residuals", figures.residuals(held)),
        card("Error by bitterness", figures.bands(evaluation)),
        card("Error by style word", figures.styles(evaluation)),
        card("Actual and predicted class", _confusion(evaluation)),
        card("What the model relies on", figures.importance(evaluation)),
        card("Coverage of the intervals", figures.calibration(evaluation)),
        card("Three errors and what they mean", _three_errors(evaluation)),
        card("The ten worst predictions", _worst(evaluation), wide=True),
        card("Data: dropped and repaired rows", _quality(evaluation)),
        card("Drift of the arrivals", figures.drift(evaluation)),
        card("Distributions of the sides", figures.distributions(evaluation), wide=True),
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
        [f"{name} <small>{unit}</small>", *(figure(model.get(metric)) for model in models)]
        for metric, (name, unit) in METRICS.items()
    ]
    shared = f" The champion's figures are of {champion['n']} shared beers." if champion else ""
    grown = evaluation["gate"]["accumulated_loss"]
    if grown:
        shared += f" Above the best version approved so far the error is {100 * grown:.1f} %."
    return table(["", "Candidate", "Champion", "Median of the labels"], rows) + (
        '<p class="soft">Small: 90 % intervals by bootstrap over recipe families. '
        f"{escape(evaluation['about_champion'])}{shared}</p>"
    )


def _confusion(evaluation: Mapping[str, Any]) -> str:
    names, counts = evaluation["confusion"]["classes"], evaluation["confusion"]["counts"]
    shown = [escape(name.replace("_", " ")) for name in names]
    rows = [
        [shown[row], *(f"<b>{count}</b>" if row == column else f"{count}" for column, count in enumerate(line))]
        for row, line in enumerate(counts)
    ]
    confusion = table(["Actual \\ predicted", *shown], rows)
    right, total = sum(counts[each][each] for each in range(len(names))), sum(map(sum, counts)) or 1
    text = f"{right} of {total} beers are in their own class ({right / total:.0%})."
    known = evaluation["probabilities"]
    if known:
        folds, test = known["out_of_fold"], known["test"]
        text += (
            f" Class probabilities are off by {folds['ece']:.3f} out of fold (expected calibration error; the bare"
            f" votes of the trees by {folds['raw_ece']:.3f}) and by {test['ece']:.3f} on the {test['n']} test beers."
        )
    return f'{confusion}<p class="soft">{text}</p>'


def _three_errors(evaluation: Mapping[str, Any]) -> str:
    folds, test, validation = evaluation["cross_validation"]["grouped"], evaluation["test"], evaluation["validation"]
    sides = evaluation["lineage"]["sides"]
    rows = [
        ["Cross-validation", f"{folds['n']}", number(folds["mae"]), number(folds["baseline_mae"])],
        ["Test", f"{test['n']}", figure(test["mae"]), figure(test["baseline_mae"])],
        ["Validation", f"{sides.get('validation', '')}", number(validation.get("mae")), NONE],
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
    return table(["MAE in IBU", "Beers", "Model", "Median"], rows) + f'<p class="soft">{text}</p>'


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
    return table(["Beer", "Actual IBU", "Predicted", "90 % interval", "Error"], rows)


def _quality(evaluation: Mapping[str, Any]) -> str:
    quality = evaluation["quality"]
    if not quality:
        return "<p>There is no quality.json of the processing step.</p>"
    rows = [
        ["Rows read", f"{quality['read']}"],
        ["Duplicates of a beer", f"{quality['duplicates']}"],
        ["Beers used", f"{quality['used']} of {quality['beers']}"],
    ]
    for kind in ("dropped", "repaired", "emptied", "flagged"):
        for reason, count in quality[kind].items():
            rows.append([f"{kind.capitalize()}: {escape(reason.replace('_', ' '))}", f"{count}"])
    return table(["What", "Count"], rows) + (
        '<p class="soft">Dropped beers are not trained on. An emptied value is treated as missing; '
        "a flagged one stays.</p>"
    )


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


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)
