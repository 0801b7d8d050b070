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
- champion_loss: the part by which the error is above the champion's on the same beers; 0 without a champion. It is
  the figure itself, not an end of its interval: the allowance is what says how much worse may be luck.

evaluation.json has, besides `gate` (its two figures, the thresholds, `passed` 0 or 1 and a `reason` of at most 700
printable characters), `summary` (the data's hashes and counts and the errors, as texts: what the registry shows),
SageMaker's `regression_metrics` and `multiclass_classification_metrics` of the candidate; `candidate`, `champion` (or
null) and `baseline`, each figure with its 90 % interval; and what stands behind them: see analysis.py. Errors are in
IBU. The intervals tell how the figures would vary with other test beers, not with another training.

Exit codes: 0 evaluated, whatever the verdict; 1 the candidate or the data is unusable; 2 wrong usage.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from analysis import calibration, permutation_importance, slices, worst
from artifact import BrokenArtifact, Served, UnsafeArtifact, find_archive, load
from beers import Beers, NoBeers, read_beers
from bootstrap import figure, relative
from card import CARD
from champion import against_champion
from gate import judge
from measure import Measured, ask, measure
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


def load_candidate(folder: Path, scratch: Path) -> Served:
    """The candidate, in working order. Raises Unusable or BrokenArtifact."""
    archive = find_archive(folder)
    if archive is None:
        raise Unusable("there is no model.tar.gz", str(folder), "run the training step again")
    return load(archive, scratch)


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

    classes, median = candidate.card["classes"], float(np.median(train.label))
    mine = measure(test, answers, classes)
    baseline = measure(test, {"ibu": np.full(len(test.ids), median)}, classes)
    gain = figure(relative(baseline.mae - mine.mae, baseline.mae))
    folder = scratch / "champion"
    champion = against_champion(arguments.champion, folder, train, test, answers, classes)
    loss = champion.figures["loss"] if champion.figures else None
    leaked = sum(family in candidate.families for family in test.families)
    limits = arguments.min_relative_gain, arguments.max_champion_loss
    evaluation = {
        "regression_metrics": _statistics(mine, REGRESSION),
        "multiclass_classification_metrics": _statistics(mine, CLASSIFICATION),
        "gate": judge(gain, loss, leaked, champion.sentence, *limits),
        "gain": gain,
        "candidate": mine.figures,
        "champion": champion.figures,
        "about_champion": champion.sentence,
        "baseline": baseline.figures | {"label_median": median},
        "drift": champion.drift,
        "summary": _summary(mine, baseline, account),
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
        "card": CARD,
    }


def _summary(mine: Measured, baseline: Measured, account: Mapping[str, Any]) -> dict[str, str]:
    """What a registry shows beside a model's name: always all of it, and as texts, for its metadata hold no numbers."""
    mae, lineage, quality = mine.figures["mae"], account["lineage"], account["quality"]
    told = {"data_sha256": lineage["input_sha256"], "split_sha256": lineage["split_sha256"]}
    told |= {name: str(quality.get(key, "")) for name, key in (("rows", "read"), ("beers", "beers"), ("kept", "kept"))}
    errors = {"mae": mae["value"], "mae_low": mae["low"], "mae_high": mae["high"]}
    errors |= {"baseline_mae": baseline.figures["mae"]["value"]}
    return {name: value or "unknown" for name, value in told.items()} | {
        name: f"{value:.2f}" for name, value in errors.items()
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
        "parameters": manifest.get("parameters", {})
        | {name: getattr(arguments, name) for name in ("min_relative_gain", "max_champion_loss")},
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
    parser.add_argument("--seed", type=int, default=0, help="of the permutations that importance is measured by")
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
