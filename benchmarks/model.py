"""The model's errors on the bundled beers, beside other models on the same folds; its size and its latency.

    python -m benchmarks.model [--repeats 5]

The 318 usable beers of the catalogue, 10 folds, repeated with other folds and other seeds. `families` keeps beers of
equal gravities in one fold and is the error to expect of new recipes; `beers` assigns single beers to folds, so that a
recipe may be on both sides, and flatters. The intervals are calibrated as the training step does it, by a
cross-validation within the nine seen folds. XGBoost rows need `pip install xgboost`; without it they are left out. Exit
code 1 when a must is missed.

Choices that were made with figures of these same beers, which flatters them a little:
- extremely randomised trees on log(1 + IBU) and the median of the trees, over boosting and over the mean;
- 1,000 trees: the MAE of the test side varies by 0.8 IBU over seeds with 200 trees and by 0.2 with 1,000;
- the style read from the name by the style guidelines' bitterness, over no style and over words as columns;
- intervals from the quartiles of the trees, over absolute errors, errors on the logarithm and other quantiles. One
  offset for each predicted class lifts the coverage of the class `high` from .87 to .90 and makes the intervals 12 to
  16 IBU wider, so there is one offset for all.
"""

import argparse
import gzip
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# The steps' modules find each other as in their containers: by the folder on the path.
sys.path[:0] = [str(ROOT / "processing"), str(ROOT / "training")]
sys.path.append(str(ROOT / "evaluation"))

import bootstrap  # noqa: E402
import crossval  # noqa: E402
import features  # noqa: E402
import inference  # noqa: E402
import rules  # noqa: E402
import split  # noqa: E402
from forest import predict_trees, to_bytes  # noqa: E402
from train import CLASSES  # noqa: E402

FOLDS = 10
INTERVAL_REPEATS = 1  # Each takes eleven times as long as a cross-validation.
FEW_TREES = 200  # What the forest had before; shown beside it.
SETTINGS = crossval.Settings(n_estimators=1000, max_features=0.6, min_samples_leaf=1, seed=0)
RAW = ("abv", "target_fg", "target_og", "ebc", "srm", "ph")
BOUNDS = np.array([each["below"] for each in CLASSES[:-1]], dtype=float)

Fit = Callable[["Data", np.ndarray, np.ndarray, int], np.ndarray]


class Data(NamedTuple):
    """The usable beers: (n, 13) features and (n, 6) raw columns with NaN, (n,) labels, families and ids."""

    matrix: np.ndarray
    raw: np.ndarray
    label: np.ndarray
    families: list[str]
    ids: list[str]


class Goal(NamedTuple):
    """A figure's limits: `must` fails the benchmark, `goal` is what it is meant to reach; both (least, most)."""

    name: str
    must: tuple[float, float]
    goal: tuple[float, float]


def at_most(name: str, must: float, goal: float) -> Goal:
    return Goal(name, (0, must), (0, goal))


def at_least(name: str, must: float, goal: float) -> Goal:
    return Goal(name, (must, np.inf), (goal, np.inf))


GOALS = (
    at_most("MAE, families", 22.5, 21.5),
    at_most("MAE, beers", 17.5, 16.5),
    at_least("accuracy, families", 0.46, 0.50),
    at_least("macro F1, families", 0.42, 0.48),
    Goal("coverage at 90 %, families", (0.87, 0.94), (0.89, 0.92)),
    at_most("interval width, families", np.inf, 80),
    at_most("fit, seconds", 4, 1),
    at_most("artifact, MB", 5, 3),
    at_most("one row, ms", 30, 10),
    at_most("1,000 rows, ms", 4000, 1500),
)


def read() -> Data:
    """The catalogue through the processing step's own rules."""
    rows = json.loads((ROOT / "pipelines/local/catalogue/beers.json").read_text(encoding="utf-8"))
    beers = [each.beer for each in map(rules.validate, rows) if not each.dropped]
    columns = {name: [{"name": beer.name, **beer.numbers}[name] for beer in beers] for name in features.INPUTS}
    return Data(
        features.feature_matrix(columns),
        np.column_stack([np.array(columns[name], dtype=float) for name in RAW]),
        np.array([beer.ibu for beer in beers], dtype=float),
        [split.family(beer) for beer in beers],
        [str(beer.id) for beer in beers],
    )


def folds(groups: Sequence[str], repeat: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(seen, unseen) masks of the folds; every repeat deals the groups out in another order."""
    names = [hashlib.sha256(f"{repeat} {group}".encode()).hexdigest() for group in groups]
    assigned = crossval.assign_folds(names, FOLDS)
    return ((assigned != fold, assigned == fold) for fold in range(FOLDS))


def forest(data: Data, seen: np.ndarray, unseen: np.ndarray, repeat: int) -> np.ndarray:
    """The project's model."""
    medians = features.column_medians(data.matrix[seen])
    settings = SETTINGS._replace(seed=repeat)
    fitted = crossval.fit_forest(features.fill(data.matrix[seen], medians), data.label[seen], settings)
    return inference.quartiles_of(predict_trees(fitted, features.fill(data.matrix[unseen], medians)))[:, 1]


def median(data: Data, seen: np.ndarray, unseen: np.ndarray, repeat: int) -> np.ndarray:
    """The median of the labels, always."""
    return np.full(unseen.sum(), np.median(data.label[seen]))


def linear(data: Data, seen: np.ndarray, unseen: np.ndarray, repeat: int) -> np.ndarray:
    """Ordinary least squares on the six raw columns."""
    medians = np.nanmedian(data.raw[seen], axis=0)
    known = np.column_stack([features.fill(data.raw, medians), np.ones(len(data.raw))])
    weights = np.linalg.lstsq(known[seen], data.label[seen], rcond=None)[0]
    return known[unseen] @ weights


def gradient_boosting(data: Data, seen: np.ndarray, unseen: np.ndarray, repeat: int) -> np.ndarray:
    """scikit-learn's histogram gradient boosting with the absolute error on log(1 + IBU), on the same features."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=repeat)
    model.fit(data.matrix[seen], np.log1p(data.label[seen]))
    return np.asarray(np.expm1(model.predict(data.matrix[unseen])))


def boosted(trees: int, depth: int, missing: float) -> Fit:
    """XGBoost on the six raw columns, with `missing` in the place of missing values."""

    def fit(data: Data, seen: np.ndarray, unseen: np.ndarray, repeat: int) -> np.ndarray:
        from xgboost import XGBRegressor

        known = np.where(np.isnan(data.raw), missing, data.raw)
        model = XGBRegressor(n_estimators=trees, max_depth=depth, random_state=repeat, n_jobs=1)
        return np.asarray(model.fit(known[seen], data.label[seen]).predict(known[unseen]))

    return fit


def models() -> dict[str, Fit]:
    """What is compared, by name."""
    compared: dict[str, Fit] = {
        "this project": forest,
        "gradient boosting, same features": gradient_boosting,
        "linear regression, raw columns": linear,
        "median of the labels": median,
    }
    if importlib.util.find_spec("xgboost"):
        compared["XGBoost, 100 trees of depth 5, -99 for missing"] = boosted(100, 5, -99)
        compared["XGBoost, 500 trees of depth 3"] = boosted(500, 3, np.nan)
    return compared


def predict_all(fit: Fit, data: Data, groups: Sequence[str], repeats: int) -> np.ndarray:
    """(repeats, n) predictions, each by a model that has not seen the beer's group."""
    predicted = np.empty((repeats, len(data.label)))
    for repeat in range(repeats):
        for seen, unseen in folds(groups, repeat):
            predicted[repeat, unseen] = fit(data, seen, unseen, repeat)
    return predicted


def scores(predicted: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """MAE, accuracy and macro F1 in the bitterness classes, one value per repeat."""
    truth, guess = np.digitize(label, BOUNDS), np.digitize(predicted, BOUNDS)
    f1 = []
    for each in range(len(CLASSES)):
        hits = ((truth == each) & (guess == each)).sum(axis=1)
        f1.append(2 * hits / ((truth == each).sum() + (guess == each).sum(axis=1)))
    return {
        "MAE": np.abs(predicted - label).mean(axis=1),
        "accuracy": (truth == guess).mean(axis=1),
        "macro F1": np.mean(f1, axis=0),
    }


def ends(predicted: np.ndarray, data: Data) -> np.ndarray:
    """The 90 % interval of the MAE over recipe families; each beer's error is averaged over the repeats."""
    errors = np.abs(predicted - data.label).mean(axis=0)
    total, count = bootstrap.sums(np.column_stack([errors, np.ones_like(errors)]), bootstrap.draws(data.families)).T
    found = bootstrap.figure(total / count)
    return np.array([found["low"], found["high"]])


def intervals(data: Data, repeats: int) -> dict[str, np.ndarray]:
    """Coverage and width of the intervals on unseen families, calibrated within the seen ones; one per repeat."""
    found = []
    for repeat in range(repeats):
        inside, width = np.empty(len(data.label), dtype=bool), np.empty(len(data.label))
        for seen, unseen in folds(data.families, repeat):
            settings = SETTINGS._replace(seed=repeat)
            families = [family for family, chosen in zip(data.families, seen, strict=True) if chosen]
            known, label = data.matrix[seen], data.label[seen]
            offset = crossval.conformal_offset(crossval.out_of_fold(known, label, families, FOLDS, settings).scores)
            medians = features.column_medians(known)
            fitted = crossval.fit_forest(features.fill(known, medians), label, settings)
            quarters = inference.quartiles_of(predict_trees(fitted, features.fill(data.matrix[unseen], medians)))
            _, low, high = inference.interval(quarters, offset)
            inside[unseen] = (low <= data.label[unseen]) & (data.label[unseen] <= high)
            width[unseen] = high - low
        found.append((inside.mean(), width.mean()))
    coverage, mean_width = np.array(found).T
    return {"coverage at 90 %, families": coverage, "interval width, families": mean_width}


def costs(data: Data, trees: int) -> dict[str, np.ndarray]:
    """CPU time of the fit and of requests, each the least of five, and the size of the compressed arrays."""
    matrix, settings = (
        features.fill(data.matrix, features.column_medians(data.matrix)),
        SETTINGS._replace(n_estimators=trees),
    )
    fitted = crossval.fit_forest(matrix, data.label, settings)
    found = {
        "fit, seconds": _least(lambda: crossval.fit_forest(matrix, data.label, settings)),
        "artifact, MB": len(gzip.compress(to_bytes(fitted))) / 1e6,
    }
    profile = {name: {"low": 0.0, "high": 2000.0} for name in features.RANGES}
    card = {"classes": CLASSES, "interval": {"level": 0.9, "offset": 10.0}, "profile": profile}
    model = inference.Model(fitted, features.column_medians(data.matrix), card, None)
    row = dict(zip(RAW, (5.6, 1010, 1053, 17, 8.5, 4.4), strict=True))
    for name, count in (("one row, ms", 1), ("1,000 rows, ms", 1000)):
        body = json.dumps({"instances": [row | {"name": "Punk IPA"}] * count})
        found[name] = 1000 * _least(lambda body=body: _request(body, model))
    return {name: np.array([value]) for name, value in found.items()}


def _request(body: str, model: object) -> None:
    inference.output_fn(inference.predict_fn(inference.input_fn(body, "application/json"), model), "application/json")


def _least(call: Callable[[], object]) -> float:
    """The least CPU seconds of five calls."""
    seconds = []
    for _ in range(5):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


def print_costs(table: dict[int, dict[str, np.ndarray]]) -> None:
    """One line per figure, one column per number of trees."""
    print(f"\n{'':30}" + "".join(f"{trees:>8} trees" for trees in table))
    for name in next(iter(table.values())):
        print(f"{name:30}" + "".join(f"{found[name].mean():14.2f}" for found in table.values()))


def print_model(name: str, kinds: Iterable[dict[str, np.ndarray]]) -> None:
    """The scores of a model by both kinds of folds, each MAE with its interval over families."""
    cells = ""
    for each in kinds:
        mae = f"{each['MAE'].mean():.1f} [{each['ends'][0]:.1f}, {each['ends'][1]:.1f}]"
        cells += f"{mae:>22}{each['MAE'].std():5.1f}{each['accuracy'].mean():6.2f}{each['macro F1'].mean():6.2f}"
    print(f"{name:50}{cells}", flush=True)


def check_goals(found: dict[str, np.ndarray]) -> bool:
    """Prints every figure with its limits; returns whether all musts are met."""
    print(f"\n{'':30}{'mean':>8}{'sd':>8}{'must':>16}{'goal':>16}")
    for each in GOALS:
        value = found[each.name].mean()
        reached = [low <= value <= high for low, high in (each.must, each.goal)]
        verdict = "goal reached" if all(reached) else "goal missed" if reached[0] else "MUST MISSED"
        limits = f"{_limits(each.must):>16}{_limits(each.goal):>16}"
        print(f"{each.name:30}{value:8.3f}{found[each.name].std():8.3f}{limits}   {verdict}")
    return all(low <= found[name].mean() <= high for name, (low, high), _ in GOALS)


def _limits(ends: tuple[float, float]) -> str:
    low, high = ends
    if np.isinf(high):
        return f"at least {low:g}" if low else "any"
    return f"{low:g} to {high:g}" if low else f"at most {high:g}"


def main() -> int:
    """Measures, prints two tables, and returns 1 when a must is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="of every cross-validation")
    repeats = parser.parse_args().repeats
    data = read()
    print(f"{len(data.label)} beers of {len(set(data.families))} recipes, {FOLDS} folds, {repeats} repeats\n")
    kinds = {"beers": data.ids, "families": data.families}
    title = f"{'MAE':>22}{'sd':>5}{'acc':>6}{'F1':>6}"
    print(f"{'':50}{'beers':>22}{'':17}{'families':>22}\n{'':50}{title}{title}")
    table: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for name, fit in models().items():
        predicted = {kind: predict_all(fit, data, groups, repeats) for kind, groups in kinds.items()}
        table[name] = {kind: scores(each, data.label) | {"ends": ends(each, data)} for kind, each in predicted.items()}
        print_model(name, table[name].values())
    mine = table["this project"]
    found = {f"{name}, {kind}": values for kind in kinds for name, values in mine[kind].items()}
    spent = {trees: costs(data, trees) for trees in (FEW_TREES, SETTINGS.n_estimators)}
    print_costs(spent)
    found |= intervals(data, min(repeats, INTERVAL_REPEATS)) | spent[SETTINGS.n_estimators]
    return 0 if check_goals(found) else 1


if __name__ == "__main__":
    sys.exit(main())
