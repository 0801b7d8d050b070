"""How often the gate accepts a worse model and refuses a better one: a simulation with real models on the real beers.

    python -m benchmarks.gate [--worlds 300] [--approvals 200]
    python -m benchmarks.gate --worlds 20 --approvals 20       within a minute

Champion and candidate are out-of-fold predictions of the 318 beers on the same folds, in IBU. The champion is the
project's model; the candidate is another model:

- the same recipe with another seed;
- worse by 5, 10 or 20 %: the mean of the same recipe with another seed and of one of five weaker models (one tree;
  strength as the only feature; a twentieth of the recipes; XGBoost on the raw columns; the median), weighted so that
  its error on all beers is that much larger;
- better by 10 %: likewise with a model that also knows hops and malt, which the cleaned table does not have.

The size of the difference is fixed on all beers. A world is a sample of the recipe families, drawn with replacement; a
quarter of them are its test beers. Each rule sees the world's beers alone. Compared are the loss on the test beers, at
most 5 %, and the project's criteria on all held-out beers (evaluation/gate.py), one after another.

Then candidates are offered one after another, each 1 % worse than the approved one, or of the same recipe with other
seeds: how much is lost after ten of them, with and without the limit on accumulated loss, on the same beers every time
or on other beers each time.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.model import (
    CLASSES,
    ROOT,
    Data,
    boosted,
    crossval,
    features,
    folds,
    inference,
    median,
    predict_trees,
    read,
)

sys.path.append(str(ROOT / "evaluation"))

from beers import Beers
from bootstrap import draws, figure, relative, sums
from gate import ACCUMULATED_LIMITS, NOISE
from slices import worse_slices

TREES = 1000
SEEDS = 6
TEST_SHARE = 0.25
LIMIT = 0.02
WORSE = (0.05, 0.1, 0.2)
STEPS = 10


class Models(NamedTuple):
    """(n,) out-of-fold predictions in IBU: (SEEDS, n) of the project's model, the weaker ones, and the better one."""

    project: np.ndarray
    weaker: dict[str, np.ndarray]
    better: np.ndarray


class World(NamedTuple):
    """Rows of the beers that were drawn, and which of them are test beers."""

    rows: np.ndarray
    tested: np.ndarray


def forest(data: Data, matrix: np.ndarray, seed: int, trees: int = TREES, share: float = 1.0) -> np.ndarray:
    """Out-of-fold predictions of the project's learner; share: of the seen families that it is trained on."""
    predicted, chance = np.empty(len(data.label)), np.random.default_rng(seed)
    families = np.array(data.families)
    for seen, unseen in folds(data.families, 0):
        names = np.unique(families[seen])
        chosen = seen & np.isin(families, chance.permutation(names)[: int(share * len(names))])
        medians = features.column_medians(matrix[chosen])
        settings = crossval.Settings(trees, 0.6, 1, seed)
        fitted = crossval.fit_forest(features.fill(matrix[chosen], medians), data.label[chosen], settings)
        predicted[unseen] = inference.quartiles_of(predict_trees(fitted, features.fill(matrix[unseen], medians)))[:, 1]
    return predicted


def other(data: Data, fit: Callable[..., np.ndarray]) -> np.ndarray:
    """Out-of-fold predictions of a learner of benchmarks.model."""
    predicted = np.empty(len(data.label))
    for seen, unseen in folds(data.families, 0):
        predicted[unseen] = fit(data, seen, unseen, 0)
    return predicted


def recipes(data: Data) -> np.ndarray:
    """(n, 6) grams of hops: all, bittering, at the end, dry; their number; kilograms of malt."""
    catalogue = json.loads((ROOT / "pipelines/local/catalogue/beers.json").read_text(encoding="utf-8"))
    by_id = {str(beer["id"]): beer["ingredients"] for beer in catalogue}

    def row(ingredients: dict[str, Any]) -> list[float]:
        hops = [(_amount(each), each["add"], each["attribute"]) for each in ingredients["hops"]]
        bitter = sum(grams for grams, add, attribute in hops if add == "start" or attribute == "bitter")
        late = sum(grams for grams, add, _ in hops if add == "end")
        dry = sum(grams for grams, add, _ in hops if "dry" in add)
        malt = sum(map(_amount, ingredients["malt"]))
        return [sum(grams for grams, _, _ in hops), bitter, late, dry, len(hops), malt]

    return np.array([row(by_id[each]) for each in data.ids], dtype=float)


def _amount(ingredient: dict[str, Any]) -> float:
    return float(ingredient["amount"]["value"] or 0)


def models(data: Data) -> Models:
    """Fits all of them."""
    return Models(
        np.array([forest(data, data.matrix, seed) for seed in range(SEEDS)]),
        {
            "one tree": forest(data, data.matrix, SEEDS, trees=1),
            "strength alone": forest(data, data.raw[:, :1], SEEDS),
            "a twentieth of the recipes": forest(data, data.matrix, SEEDS, share=1 / 20),
            "XGBoost on raw columns": other(data, boosted(100, 5, -99)),
            "the median": other(data, median),
        },
        forest(data, np.column_stack([data.matrix, recipes(data)]), SEEDS),
    )


def mixed(label: np.ndarray, base: np.ndarray, towards: np.ndarray, change: float) -> np.ndarray:
    """The mean of two predictions with the smallest weight of the second that changes the base's error by `change`."""
    weights = np.linspace(0, 1, 1001)[:, None]
    errors = np.abs(base + weights * (towards - base) - label).mean(axis=1)
    wanted = (1 + change) * errors[0]
    reached = np.flatnonzero(errors >= wanted if change > 0 else errors <= wanted)
    if not reached.size:
        raise SystemExit(f"no mean of the two models changes the error by {change:+.0%}")
    return np.asarray(base + weights[reached[0]] * (towards - base))


def draw(data: Data, chance: np.random.Generator) -> World:
    """As many families as there are, drawn with replacement."""
    names, family = np.unique(data.families, return_inverse=True)
    members = [np.flatnonzero(family == each) for each in range(len(names))]
    chosen = chance.integers(len(names), size=len(names))
    tested = chance.random(len(names)) < TEST_SHARE
    copies = [np.full(len(members[each]), flag) for each, flag in zip(chosen, tested, strict=True)]
    return World(np.concatenate([members[each] for each in chosen]), np.concatenate(copies))


RULES = ("test beers, 5 %", "held out, 2 %", "and interval", "and classes")


def decisions(data: Data, world: World, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(rules,) whether each rule of RULES accepts the candidate."""
    rows = world.rows
    errors = np.abs(np.column_stack([mine, theirs]) - data.label[:, None])[rows]
    tested = errors[world.tested].sum(axis=0)
    # Copies of a family stay one family: they are no independent evidence.
    families = [data.families[row] for row in rows]
    totals = sums(errors, draws(families))
    loss = figure(relative(totals[:, 0] - totals[:, 1], totals[:, 1]))
    small = loss["value"] <= LIMIT
    certain = small and loss["high"] <= LIMIT + NOISE
    beers = Beers(families, families, data.label[rows], [])
    classes = certain and not worse_slices(beers, errors, CLASSES, LIMIT)
    return np.array([tested[0] <= 1.05 * tested[1], small, certain, classes], dtype=float)


def accepted(data: Data, project: np.ndarray, candidates: np.ndarray, worlds: int) -> np.ndarray:
    """(rules,) the share of worlds that each rule accepts; candidates: (SEEDS, n), one for each seed."""
    chance = np.random.default_rng(0)
    found = np.zeros(len(RULES))
    for _ in range(worlds):
        world = draw(data, chance)
        first, second = chance.choice(len(project), 2, replace=False)
        found += decisions(data, world, candidates[second], project[first])
    return found / worlds


def simulate(data: Data, made: Models, worlds: int) -> dict[str, np.ndarray]:
    """Candidate -> (kinds, rules) shares of worlds accepted; a worse candidate has one kind per weaker model."""
    label, project = data.label, made.project

    def share(towards: np.ndarray | None, change: float) -> np.ndarray:
        some = project if towards is None else np.array([mixed(label, each, towards, change) for each in project])
        return accepted(data, project, some, worlds)

    worse = {f"{change:.0%} worse": [share(each, change) for each in made.weaker.values()] for change in WORSE}
    others = {"same recipe, another seed": [share(None, 0)], "10% better": [share(made.better, -0.1)]}
    return {name: np.array(kinds) for name, kinds in (worse | others).items()}


def approvals(data: Data, offered: Sequence[np.ndarray], worlds: int, limit: float, fresh: bool) -> tuple[float, float]:
    """The loss on all beers after all have been offered one by one, and the share refused; means over worlds.

    offered: (STEPS + 1, n) for each seed, the first of them approved. fresh: every comparison has beers of its own.
    """
    chance = np.random.default_rng(1)
    errors = np.abs(np.array(offered) - data.label)
    lost, refused = 0.0, 0
    for _ in range(worlds):
        seed, world = int(chance.integers(len(errors))), draw(data, chance)
        champion, accumulated = 0, 0.0
        for step in range(1, errors.shape[1]):
            world = draw(data, chance) if fresh else world
            mine, theirs = errors[seed, [step, champion]][:, world.rows].sum(axis=1)
            grown = max(0.0, (1 + accumulated) * mine / theirs - 1)
            if mine / theirs - 1 <= LIMIT and grown <= limit:
                champion, accumulated = step, grown
            else:
                refused += 1
        lost += errors[seed, champion].mean() / errors[seed, 0].mean() - 1
    return lost / worlds, refused / worlds / (errors.shape[1] - 1)


def chains(data: Data, made: Models) -> dict[str, list[np.ndarray]]:
    """Candidates offered one after another: each 1 % worse, by every weaker model, and other seeds."""
    label, project = data.label, made.project
    found = {
        f"each 1 % worse: {name}": [
            np.array([each, *(mixed(label, each, towards, step / 100) for step in range(1, STEPS + 1))])
            for each in project
        ]
        for name, towards in made.weaker.items()
    }
    seeds = [np.array([project[(first + step) % SEEDS] for step in range(STEPS + 1)]) for first in range(SEEDS)]
    return found | {"same recipe, other seeds": seeds}


def print_table(table: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """A line per candidate with the mean over its kinds, and beside it the least and the largest of them."""
    print(f"{'candidate':40}" + "".join(f"{rule:>24}" for rule in RULES))
    for title, kinds in table.items():
        spread = [f" ({low:.1%} to {high:.1%})" for low, high in zip(kinds.min(0), kinds.max(0), strict=True)]
        cells = [
            f"{share:.1%}{text if len(kinds) > 1 else ''}" for share, text in zip(kinds.mean(0), spread, strict=True)
        ]
        print(f"{title:40}" + "".join(f"{cell:>24}" for cell in cells))
        for name, shares in zip(names, kinds, strict=False):
            if len(kinds) > 1:
                print(f"  by {name:35}" + "".join(f"{share:>24.1%}" for share in shares))


def main() -> None:
    """Simulates and prints two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=300, help="samples of the beers for each candidate")
    parser.add_argument("--approvals", type=int, default=200, help="samples of the beers for each chain of approvals")
    given = parser.parse_args()
    data = read()
    made = models(data)
    errors = np.abs(made.project - data.label).mean(axis=1)
    print(f"{len(data.label)} beers; MAE of {SEEDS} seeds {errors.min():.2f} to {errors.max():.2f} IBU")
    losses = errors / errors[:, None] - 1
    print(f"largest loss of one seed to another on the beers as they are: {losses.max():.1%}\n")
    print(f"Share of {given.worlds} worlds in which a candidate is accepted\n")
    print_table(simulate(data, made, given.worlds), list(made.weaker))
    print(f"\n{STEPS} candidates offered one after another: loss in all, and share refused\n")
    titles = [f"{limit}, {beers}" for limit in ("no limit", "limit") for beers in ("same beers", "new beers")]
    print(f"{'':50}" + "".join(f"{title:>24}" for title in titles))
    for name, offered in chains(data, made).items():
        cells = []
        for limit in (np.inf, ACCUMULATED_LIMITS * LIMIT):
            for fresh in (False, True):
                lost, refused = approvals(data, offered, given.approvals, limit, fresh)
                cells.append(f"{lost:+.1%}, {refused:.0%} refused")
        print(f"{name:50}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
