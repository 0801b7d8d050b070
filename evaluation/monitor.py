"""The monitoring job: how requests and arrivals differ from the beers that the served model was trained on.

Run as: `python monitor.py --model DIR --predictions DIR --requests DIR --output DIR --sha256 HEX --model-version N
--trained-up-to TIME`.

Two sources are compared with the training beers, column by column, by the population stability index:

- arrivals: beers of predictions.parquet whose first row was delivered after the model's training data;
- requests: answered rows of captured requests.

The prediction is a column too (`predicted`), and so is the error (`error`): the mean absolute error on beers whose
label became known after the training, compared with the cross-validated one. A source is silent with fewer than LEAST
rows. Without drift all columns of both sources stay below their chance level in 95 % of checks.

drift.json: {model_version, measured_at, trained_on, least, sources: {arrivals, requests: {rows, columns: {name: {value,
chance, drifted}}, error, drifted, sentence}}, values: [{source, column, value}], drifted: ["abv (requests)"],
sentence}. Beside it is drift.html.

Exit codes: 0 compared; 1 the model or the data is unusable; 2 wrong usage.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import arrivals
import captured
import numpy as np
from artifact import BrokenArtifact, Served
from failure import Unusable, exit_code
from monitor_report import render
from score import read, verified

LEAST = arrivals.LEAST
SOURCES = ("arrivals", "requests")
# The share of checks without drift in which nothing is reported.
CONFIDENCE = 0.95
Row = dict[str, Any]


def monitor(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The content of drift.json. Raises Unusable."""
    model = verified(arguments.model, arguments.sha256, scratch / "model")
    inputs = [name for name in model.card["profile"] if name != "ibu"]
    try:
        answered, unreadable = captured.read(arguments.requests, model)
        rows = list(relevant(arguments.predictions, arguments.trained_up_to, answered))
        found = {
            "arrivals": of_arrivals(rows, inputs, arguments.trained_up_to, model),
            "requests": of_requests(answered, unreadable, inputs, rows, model),
        }
    except (BrokenArtifact, ValueError, OSError, KeyError) as error:
        what = f"the data cannot be compared: {error!r}"
        raise Unusable(what, str(arguments.predictions), "score the table again") from None
    drifted = [f"{column} ({source})" for source in SOURCES for column in found[source]["drifted"]]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "model_version": arguments.model_version,
        "measured_at": now,
        "trained_on": len(model.out_of_fold.family),
        "least": LEAST,
        "sources": found,
        "values": [
            {"source": source, "column": name, "value": each["value"]}
            for source in SOURCES
            for name, each in measured(found[source]).items()
        ],
        "drifted": drifted,
        "sentence": f"Drifted: {', '.join(drifted)}." if drifted else "Nothing has drifted.",
    }


def relevant(folder: Path, trained_up_to: str, answered: Sequence[captured.Answered]) -> Iterator[Row]:
    """Rows of the predictions that were delivered after the training data, or whose beer was asked for by its name."""
    asked = {each.inputs.get("name") for each in answered} - {None}
    for batch in read(folder):
        for row in batch.to_pylist():
            if row["delivered"] > trained_up_to or row["name"] in asked:
                yield row


def of_arrivals(rows: Sequence[Row], inputs: Sequence[str], trained_up_to: str, model: Served) -> dict[str, Any]:
    """The drift of the beers that arrived after the training data, and the error where a label is known by now."""
    arrived = [row for row in rows if row["arrived"] > trained_up_to]
    values = {name: numbers(arrived, name) for name in ("ibu", *inputs, "predicted")}
    # Also of beers that were there before without a label.
    later = [row for row in rows if row["delivered"] > trained_up_to and str(row["id"]) not in model.out_of_fold.family]
    errors = [abs(row["predicted"] - row["actual"]) for row in later if None not in (row["predicted"], row["actual"])]
    return of_source(f"{len(arrived)} beers arrived since the training", len(arrived), values, errors, model)


def of_requests(
    answered: Sequence[captured.Answered], unreadable: int, inputs: Sequence[str], rows: Sequence[Row], model: Served
) -> dict[str, Any]:
    """The drift of the requests' rows, and the error where the table has a beer of that name with a label."""
    values = {name: numbers([each.inputs for each in answered], name) for name in inputs}
    values["predicted"] = np.array([each.predicted for each in answered], dtype=float)
    known: dict[str, list[Row]] = {}
    for row in rows:
        known.setdefault(row["name"] or "", []).append(row)
    pairs = [(each.predicted, known.get(str(each.inputs.get("name") or ""), [])) for each in answered]
    errors = [
        abs(predicted - found[0]["actual"])
        for predicted, found in pairs
        if len(found) == 1
        and found[0]["name"]
        and found[0]["actual"] is not None
        and str(found[0]["id"]) not in model.out_of_fold.family
    ]
    about = f"{len(answered)} beers were asked for" + (f", {unreadable} requests are unreadable" if unreadable else "")
    return of_source(about, len(answered), values, errors, model)


def of_source(
    about: str, count: int, values: Mapping[str, np.ndarray], errors: Sequence[float], model: Served
) -> dict[str, Any]:
    """{rows, columns, error, drifted, sentence} of one source."""
    error = of_errors(errors, model)
    if count < LEAST:
        sentence = f"{about}: with fewer than {LEAST}, drift cannot be distinguished from chance."
        columns: dict[str, Any] = {}
    else:
        estimates = np.array([each[0] for each in model.out_of_fold.values.values()])
        profile = {**model.card["profile"], "predicted": arrivals.profile_of(estimates)}
        level = 1 - (1 - CONFIDENCE) / (len(values) * len(SOURCES))
        columns = arrivals.compare(profile, values, len(model.out_of_fold.family), level)
        sentence = f"{about}."
    drifted = [name for name, each in columns.items() if each["drifted"]]
    drifted += ["error"] if error and error["drifted"] else []
    sentence += f" Drifted: {', '.join(drifted)}." if drifted else " No column has drifted." if columns else ""
    return {"rows": count, "columns": columns, "error": error, "drifted": drifted, "sentence": sentence}


def measured(source: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a source, and its error where it was compared."""
    return {**source["columns"], **({"error": source["error"]} if source["error"] else {})}


def of_errors(errors: Sequence[float], model: Served) -> dict[str, Any] | None:
    """{n, value, expected, chance, drifted} of the mean absolute error in IBU; None with too few labels.

    chance: what the mean of so many errors stays below in 95 % of samples from the cross-validated ones.
    """
    if len(errors) < LEAST:
        return None
    expected = float(model.card["metrics"]["cv_families"]["mae"])
    spread = float(model.card["metrics"]["cv_families"]["rmse"]) ** 2 - expected**2
    chance = expected + 1.645 * float(np.sqrt(max(spread, 0) / len(errors)))
    value = float(np.mean(errors))
    return {"n": len(errors), "value": value, "expected": expected, "chance": chance, "drifted": value > chance}


def numbers(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """(n,) values of a column, NaN where missing."""
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=float)


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    base = Path("/opt/ml/processing")
    for name, content in (
        ("model", "model.tar.gz"),
        ("predictions", "predictions.parquet"),
        ("requests", "captured requests; it may be missing"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=base / "input" / name, help=f"folder of {content}")
    parser.add_argument("--output", type=Path, default=base / "output/drift", help="folder for the results")
    parser.add_argument("--sha256", required=True, help="the artifact's recorded digest, verified before use")
    parser.add_argument("--model-version", type=int, required=True, help="version of the model package")
    parser.add_argument("--trained-up-to", required=True, help="newest delivery in the model's data")
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="file for the failure")
    return parser.parse_args(values)


def monitored(arguments: argparse.Namespace, scratch: Path) -> str:
    """Writes drift.json and drift.html; returns the sentence. Raises Unusable."""
    found = monitor(arguments, scratch)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "drift.html").write_text(render(found), encoding="utf-8")
    (arguments.output / "drift.json").write_text(json.dumps(found, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    return str(found["sentence"])


def main(values: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    return exit_code(monitored, parse_arguments(values))


if __name__ == "__main__":
    sys.exit(main())
