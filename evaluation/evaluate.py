"""The evaluation step: candidate, champion and baseline on the same held-out beers -> evaluation.json, report.html.

Run as: `python evaluate.py --model DIR --champion DIR --train DIR --validation DIR --test DIR --quality DIR
--output DIR`.

The test beers' recipes are unknown to the candidate. They are unknown to the champion too as long as the shares of
the split stay the same, since a beer never changes sides; that is checked all the same, and a test beer whose recipe
the champion has trained on is left out of the comparison with it. The baseline says the median of the training
labels, always.

The gate's two figures are always finite:

- relative_gain: the part by which the error (MAE) is below the baseline's, at the lower end of the 90 % bootstrap
  interval over recipe families: a gain within the noise of so many test beers does not count;
- champion_loss: the part by which the error is above the champion's on the same beers; 0 without a champion.

evaluation.json has, besides `gate` (its two figures, the thresholds, `passed` 0 or 1 and a `reason`), SageMaker's
`regression_metrics` and `multiclass_classification_metrics` of the candidate; `candidate`, `champion` (or null) and
`baseline`, each figure with its 90 % interval; and what stands behind them: see analysis.py. Figures are in IBU.

Exit codes: 0 evaluated, whatever the verdict; 1 the candidate or the data is unusable; 2 wrong usage.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from analysis import calibration, class_index, drift, permutation_importance, slices, worst
from artifact import BrokenArtifact, Served, UnsafeArtifact, find_archive, load
from beers import Beers, NoBeers, read_beers
from bootstrap import classification, draws, figure, figures, regression, relative
from gate import judge
from report import render

INPUTS = {
    "model": "the candidate's model.tar.gz",
    "champion": "the approved model's model.tar.gz; anything else is no champion",
    "train": "training beers",
    "validation": "validation beers, whose figures the candidate brings along",
    "test": "test beers",
    "quality": "quality.json and manifest.json",
}
REGRESSION = ("mae", "mse", "rmse", "r2", "median_absolute_error")
CLASSIFICATION = ("accuracy", "macro_f1")


class Unusable(Exception):
    """The candidate cannot be judged: what is wrong, where, and what to try."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"Error: {what}\nWhere: {where}\nTry: {remedy}")


class Measured(NamedTuple):
    """A predictor on some beers: its figures by metric, and the bootstrap replicates of its MAE."""

    figures: dict[str, dict[str, float]]
    mae: np.ndarray


def measure(beers: Beers, predicted: np.ndarray, classes: Sequence[Any], seed: int) -> Measured:
    """Regression and classification figures of (n,) predictions in IBU."""
    drawn = draws(beers.families, seed)
    errors = regression(beers.label, predicted, drawn)
    truth, guess = class_index(beers.label, classes), class_index(predicted, classes)
    return Measured(figures(errors | classification(truth, guess, len(classes), drawn)), errors["mae"])


def ask(model: Served, beers: Beers) -> dict[str, np.ndarray]:
    """The model's answers as (n,) arrays ibu, low and high, in IBU. Raises BrokenArtifact."""
    predictions = model.ask(beers.instances)
    if len(predictions) != len(beers.ids):
        raise BrokenArtifact(f"{len(predictions)} predictions for {len(beers.ids)} beers")
    try:
        answers = {name: np.array([each[name] for each in predictions], dtype=float) for name in ("ibu", "low", "high")}
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenArtifact(f"an answer without ibu, low and high: {error!r}") from None
    if not all(np.isfinite(values).all() for values in answers.values()):
        raise BrokenArtifact("an answer that is not a finite number")
    return answers


def load_candidate(folder: Path, scratch: Path) -> Served:
    """The candidate, in working order. Raises Unusable or BrokenArtifact."""
    archive = find_archive(folder)
    if archive is None:
        raise Unusable("there is no model.tar.gz", str(folder), "run the training step again")
    return load(archive, scratch)


def load_champion(folder: Path, scratch: Path, test: Beers) -> tuple[Served | None, str]:
    """The champion if it can be compared with, and a sentence about it. A broken one blocks nobody."""
    archive = find_archive(folder)
    if archive is None:
        return None, "There is no champion yet."
    try:
        champion = load(archive, scratch)
        ask(champion, test)
    except (UnsafeArtifact, BrokenArtifact) as error:
        return None, f"The champion cannot be asked and is left out: {error}"
    if champion.families.issuperset(test.families):
        return None, "The champion has trained on every test recipe, so it is left out."
    return champion, "The champion was asked about the same beers."


def compare(champion: Served, predicted: np.ndarray, test: Beers, classes: Sequence[Any], seed: int) -> dict[str, Any]:
    """The champion's figures on the test beers it has not trained on, and the candidate's loss against it there."""
    rows = [row for row, family in enumerate(test.families) if family not in champion.families]
    common = test.select(rows)
    theirs = measure(common, ask(champion, common)["ibu"], classes, seed)
    mine = measure(common, predicted[rows], classes, seed)
    return theirs.figures | {
        "loss": figure(relative(mine.mae - theirs.mae, theirs.mae)),
        "n": len(rows),
        "trained_on_by_champion": len(test.ids) - len(rows),
        "model_sha256": champion.card["sha256"],
    }


def evaluate(arguments: argparse.Namespace, scratch: Path) -> tuple[dict[str, Any], Beers, dict[str, np.ndarray]]:
    """What evaluation.json holds, and the test beers with the candidate's answers. Raises Unusable."""
    test, train = _beers(arguments.test), _beers(arguments.train)
    try:
        candidate = load_candidate(arguments.model, scratch / "candidate")
        answers = ask(candidate, test)
        account = _account(candidate, answers, train, test, arguments)
    except (UnsafeArtifact, BrokenArtifact) as error:
        what = f"the candidate is unusable: {error}"
        raise Unusable(what, str(arguments.model), "run the training step again") from None
    champion, about_champion = load_champion(arguments.champion, scratch / "champion", test)

    classes, median = candidate.card["classes"], float(np.median(train.label))
    mine = measure(test, answers["ibu"], classes, arguments.seed)
    baseline = measure(test, np.full(len(test.ids), median), classes, arguments.seed)
    gain = figure(relative(baseline.mae - mine.mae, baseline.mae))
    comparison = compare(champion, answers["ibu"], test, classes, arguments.seed) if champion else None
    loss = comparison["loss"] if comparison else None
    leaked = sum(family in candidate.families for family in test.families)
    evaluation = {
        "regression_metrics": _statistics(mine, REGRESSION),
        "multiclass_classification_metrics": _statistics(mine, CLASSIFICATION),
        "gate": judge(gain, loss, leaked, arguments.min_relative_gain, arguments.max_champion_loss),
        "gain": gain,
        "candidate": mine.figures,
        "champion": comparison,
        "about_champion": about_champion,
        "baseline": baseline.figures | {"label_median": median},
        "drift": drift(champion.card["profile"], train) if champion else {},
    }
    return evaluation | account, test, answers


def _account(
    candidate: Served, answers: dict[str, np.ndarray], train: Beers, test: Beers, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Everything of evaluation.json that is about the candidate alone."""
    classes, metrics = candidate.card["classes"], candidate.card["metrics"]
    return {
        "test": {"n": len(test.ids), "families": len(set(test.families))},
        "validation": metrics.get("validation", {}),
        "cross_validation": {"grouped": metrics["cv_families"], "ungrouped": metrics["cv_beers"]},
        "intervals": calibration(test, answers, candidate.card["interval"]["level"]),
        "slices": slices(test, answers, float(np.median(train.label)), classes),
        "importance": permutation_importance(candidate, test, arguments.seed),
        "worst": worst(test, answers),
        "quality": _object(arguments.quality / "quality.json"),
        "lineage": _lineage(arguments, candidate),
    }


def _statistics(measured: Measured, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The figures in the layout of SageMaker's model quality statistics."""
    kept = ("value", "standard_deviation")
    return {name: {part: measured.figures[name][part] for part in kept} for name in names if name in measured.figures}


def _lineage(arguments: argparse.Namespace, candidate: Served) -> dict[str, Any]:
    """Where the model came from, as told by the arguments, the processing step and the artifact."""
    manifest = _object(arguments.quality / "manifest.json")
    return {
        "cut_off": arguments.cut_off,
        "input_uri": arguments.input_uri,
        "input_sha256": manifest.get("input", {}).get("sha256", ""),
        "split_sha256": manifest.get("split", {}).get("sha256", ""),
        "sides": {name: side["rows"] for name, side in manifest.get("sides", {}).items()},
        "git_commit": arguments.git_commit,
        "image_uri": arguments.image_uri,
        "model_sha256": candidate.card["sha256"],
        "hyperparameters": candidate.card["hyperparameters"],
        "versions": candidate.card["versions"],
    }


def _beers(folder: Path) -> Beers:
    try:
        return read_beers(folder)
    except NoBeers as error:
        raise Unusable(str(error), str(folder), "run the processing step again") from None


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty when there is no such file, for the report does without it."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    base = Path("/opt/ml/processing")
    for name, content in INPUTS.items():
        parser.add_argument(f"--{name}", type=Path, default=base / "input" / name, help=f"folder of {content}")
    parser.add_argument("--output", type=Path, default=base / "output/evaluation", help="folder for the results")
    parser.add_argument("--min-relative-gain", type=float, default=0.0, help="gain over the median that is asked for")
    parser.add_argument("--max-champion-loss", type=float, default=0.05, help="loss against the champion allowed")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap and the permutations")
    for name in ("cut-off", "input-uri", "git-commit", "image-uri"):
        parser.add_argument(f"--{name}", default="", help="text carried into the lineage")
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="file for the failure")
    return parser.parse_args(values)


def main(values: list[str] | None = None) -> int:
    """Runs the step and returns its exit code."""
    arguments = parse_arguments(values)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            evaluation, test, answers = evaluate(arguments, Path(scratch))
    except Unusable as error:
        print(error, file=sys.stderr)
        if arguments.message.parent.is_dir():  # Shown by SageMaker as the job's exit message.
            arguments.message.write_text(str(error), encoding="utf-8")
        return 1
    content = json.dumps(evaluation, indent=1, ensure_ascii=False, allow_nan=False)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "evaluation.json").write_text(content + "\n", encoding="utf-8")
    (arguments.output / "report.html").write_text(render(evaluation, test, answers), encoding="utf-8")
    print(evaluation["gate"]["reason"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
