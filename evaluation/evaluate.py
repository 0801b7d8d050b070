"""The evaluation step: compares candidate, champion and baseline on held-out beers; decides whether to register.

Run as: `python evaluate.py --model DIR --champion DIR --train DIR --validation DIR --test DIR --quality DIR
--output DIR`.

Held-out beers are the training beers, each predicted out of fold, and the test beers (held_out.py). The baseline
predicts the median of the labels it has seen. Two figures of the gate are compared with thresholds; both are finite:

- relative_gain: the share by which the error (MAE) is below the baseline's, at the lower end of its 90 % bootstrap
  interval over recipe families: a gain within the noise of so many beers does not count;
- champion_loss: the share by which the error is above the champion's on the beers that both have predicted without
  seeing their families; 0 without a champion. The upper end of its interval has a limit too, and so has its sum with
  the champion's own losses since the best version approved (gate.py).

Besides, in no bitterness class may the error be significantly above the champion's by more than that loss
(slices.py), the candidate must not have seen a test family, and the champion's artifact must be the approved one.

evaluation.json holds `gate` (figures, thresholds, `failed` criteria, `passed` and `register` 0 or 1, and a `reason` of
at most 700 printable characters), `summary` (texts for the registry's metadata), SageMaker's `regression_metrics` and
`multiclass_classification_metrics`; `candidate`, `champion` (or null) and `baseline`, each metric with its 90 %
interval; `test`, `validation` and `cross_validation`; and the analyses of analysis.py and arrivals.py. Errors are in
IBU. Beside it are report.html and the files of release.py.

Exit codes: 0 evaluated, whatever the decision; 1 the candidate or the data is unusable; 2 wrong usage.
"""

import argparse
import datetime
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import arrivals
import lineage
import release
from analysis import calibration, confusion, permutation_importance, slices, worst
from artifact import BrokenArtifact, Served, UnsafeArtifact, digest, find_archive, load
from beers import Beers, NoBeers, read_beers
from bootstrap import figure, relative
from card import CARD
from champion import Comparison, compare
from classes import probability_calibration
from failure import Unusable, exit_code
from gate import DEFAULTS, Evidence, Limits, decide
from held_out import HeldOut, predict
from measure import Measured, measure
from report import render

INPUTS = {
    "model": "the candidate's model.tar.gz",
    "champion": "the approved model's model.tar.gz; without one there is no champion",
    "train": "training beers",
    "validation": "validation beers",
    "test": "test beers",
    "quality": "quality.json and manifest.json",
}
REGRESSION = ("mae", "mse", "rmse", "r2", "median_absolute_error")
CLASSIFICATION = ("accuracy", "macro_f1")


class Evaluated(NamedTuple):
    """The content of evaluation.json, the held-out predictions, and the test beers with the candidate's answers."""

    evaluation: dict[str, Any]
    held: HeldOut
    answers: list[dict[str, Any]]


def evaluate(arguments: argparse.Namespace, scratch: Path) -> Evaluated:
    """Evaluates the candidate. Raises Unusable."""
    test, train = _beers(arguments.test), _beers(arguments.train)
    archive = find_archive(arguments.model)
    if archive is None:
        raise Unusable("there is no model.tar.gz", str(arguments.model), "run the training step again")
    try:
        candidate = load(archive, scratch / "candidate")
        held = predict(candidate, train, test)
        about = _about_candidate(candidate, held, test, arguments.seed)
    except (UnsafeArtifact, BrokenArtifact) as error:
        what = f"the candidate is unusable: {error}"
        raise Unusable(what, str(arguments.model), "run the training step again") from None
    approved, allowed = arguments.champion_sha256, arguments.max_champion_loss
    compared = compare(arguments.champion, approved, allowed, scratch / "champion", candidate, train, test, held)
    evaluation = {
        **_figures(candidate, compared, held, arguments),
        **about,
        **_about_data(compared.served, train, test),
        "quality": lineage.read_object(arguments.quality / "quality.json"),
        "lineage": lineage.lineage(arguments, candidate, digest(archive)),
        "card": CARD,
    }
    evaluation["summary"] = lineage.summary(evaluation)
    rows = list(range(min(len(test.ids), release.SMOKE_BEERS)))
    return Evaluated(evaluation, held, candidate.ask(test.select(rows).instances))


def _figures(candidate: Served, compared: Comparison, held: HeldOut, arguments: argparse.Namespace) -> dict[str, Any]:
    """The gate and the metrics of candidate, champion and baseline."""
    classes = candidate.card["classes"]
    mine = measure(held.beers, {name: held.answers[name] for name in ("ibu", "low", "high")}, classes)
    baseline = measure(held.beers, {"ibu": held.answers["baseline"]}, classes)
    gain = figure(relative(baseline.mae - mine.mae, baseline.mae))
    tested = held.beers.select(held.tested.nonzero()[0].tolist())
    evidence = Evidence(
        gain,
        compared.figures["loss"] if compared.figures else None,
        sum(family in candidate.families for family in tested.families),
        compared.worse,
        compared.changed,
        compared.sentence,
        arguments.champion_accumulated_loss,
    )
    limits = Limits(arguments.min_relative_gain, arguments.max_champion_loss)
    return {
        "regression_metrics": _statistics(mine, REGRESSION),
        "multiclass_classification_metrics": _statistics(mine, CLASSIFICATION),
        "gate": decide(evidence, limits, arguments.override_reason),
        "gain": gain,
        "candidate": mine.figures,
        "champion": compared.figures,
        "about_champion": compared.sentence,
        "worse_classes": compared.worse,
        "baseline": baseline.figures,
        "held_out": {"n": len(held.beers.ids), "families": len(set(held.beers.families))},
    }


def _about_candidate(candidate: Served, held: HeldOut, test: Beers, seed: int) -> dict[str, Any]:
    """The members of evaluation.json that concern the candidate alone. Raises BrokenArtifact."""
    classes, metrics = candidate.card["classes"], candidate.card["metrics"]
    rows = held.tested.nonzero()[0]
    tested = {name: values[rows] for name, values in held.answers.items()}
    on_test = measure(test, {name: tested[name] for name in ("ibu", "low", "high")}, classes)
    median = measure(test, {"ibu": tested["baseline"]}, classes)
    return {
        "test": {"n": len(test.ids), "families": len(set(test.families))}
        | {"mae": on_test.figures["mae"], "baseline_mae": median.figures["mae"]},
        "validation": metrics.get("validation", {}),
        "cross_validation": {"grouped": metrics["cv_families"]},
        "intervals": calibration(held.beers, held.answers, candidate.card["interval"]["level"]),
        "slices": slices(held.beers, held.answers, classes),
        "confusion": confusion(held.beers, held.answers, classes),
        "probabilities": probability_calibration(candidate, test, classes),
        "importance": permutation_importance(candidate, test, seed),
        "worst": worst(held.beers, held.answers),
    }


def _about_data(champion: Served | None, train: Beers, test: Beers) -> dict[str, Any]:
    """Drift and distributions; a champion whose profile cannot be read has no drift."""
    try:
        moved = arrivals.drift(champion, train)
    except BrokenArtifact as error:
        moved = arrivals.drift(None, train) | {"sentence": f"Drift cannot be computed: {error}."}
    return {"drift": moved, "distributions": arrivals.distributions(train, test, champion)}


def _statistics(measured: Measured, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The metrics in the layout of SageMaker's model quality statistics."""
    members = ("value", "standard_deviation")
    return {
        name: {part: measured.figures[name][part] for part in members} for name in names if name in measured.figures
    }


def _beers(folder: Path) -> Beers:
    try:
        return read_beers(folder)
    except NoBeers as error:
        raise Unusable(str(error), str(folder), "run the processing step again") from None


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    base = Path("/opt/ml/processing")
    for name, content in INPUTS.items():
        parser.add_argument(f"--{name}", type=Path, default=base / "input" / name, help=f"folder of {content}")
    parser.add_argument("--output", type=Path, default=base / "output/evaluation", help="folder for the results")
    for name, text in (
        ("min_relative_gain", "least gain over the median"),
        ("max_champion_loss", "largest loss to the champion"),
    ):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=_finite, default=DEFAULTS[name], help=f"{text}, as a share of its error")
    parser.add_argument(
        "--champion-accumulated-loss",
        type=_finite,
        default=0.0,
        help="the champion's loss to the best version approved",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the permutations that importance is measured by")
    parser.add_argument("--champion-sha256", default="", help="the champion's recorded digest, verified before use")
    parser.add_argument("--override-reason", default="", help="reason to register a model that fails the gate")
    for name in lineage.COPIED:
        parser.add_argument(f"--{name.replace('_', '-')}", default="", help="text copied into the lineage")
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="file for the failure")
    return parser.parse_args(values)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def evaluated(arguments: argparse.Namespace, scratch: Path) -> str:
    """Evaluates the candidate and writes the files; returns the gate's reason. Raises Unusable."""
    evaluation, held, answers = evaluate(arguments, scratch)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    files = {
        "evaluation.json": _json(evaluation),
        "report.html": render(evaluation, held, now),
        **release.files(evaluation, answers, _beers(arguments.test)),
    }
    release.write(arguments.output, files)
    return str(evaluation["gate"]["reason"])


def main(values: list[str] | None = None) -> int:
    """Runs the step and returns its exit code."""
    return exit_code(evaluated, parse_arguments(values))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
