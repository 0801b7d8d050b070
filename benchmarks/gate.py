"""How often the gate accepts a worse model and refuses a better one: a simulation on the bundled beers.

    python -m benchmarks.gate [--worlds 400]

Each world draws the recipe families with replacement and splits them by the project's shares. Champion and candidate
are the project's model with different seeds; the candidate's errors are then made larger or smaller by the stated share
on average, by noise of its own on the logarithm, or by drawing its predictions towards the median. Compared are the
rule on the test beers alone with a limit of 5 %, and the project's rule on all held-out beers with a limit of 2 % and
the test of the bitterness classes. `approvals` repeats the project's rule along a chain of candidates that are each a
little worse than the one before, to see how far losses add up.
"""

import argparse
import sys
from typing import NamedTuple

import numpy as np

from benchmarks.model import BOUNDS, CLASSES, Data, crossval, features, folds, inference, predict_trees, read

sys.path.append(str(inference.__file__).rpartition("/")[0].replace("training", "evaluation"))

from beers import Beers
from slices import worse_slices

TREES = 1000
SEEDS = 3
TEST_SHARE = 0.15
CHANGES = {"20 % worse": 0.2, "10 % worse": 0.1, "5 % worse": 0.05, "same recipe": 0.0, "10 % better": -0.1}


class World(NamedTuple):
    """A sample of the beers: labels, families, test mask, and (seeds, n) predictions in IBU."""

    label: np.ndarray
    families: list[str]
    tested: np.ndarray
    predicted: np.ndarray


def predictions(data: Data) -> np.ndarray:
    """(SEEDS, n) out-of-fold predictions of the project's model, each with other seeds and other folds."""
    found = np.empty((SEEDS, len(data.label)))
    for seed in range(SEEDS):
        settings = crossval.Settings(TREES, 0.6, 1, seed)
        for seen, unseen in folds(data.families, 0):
            medians = features.column_medians(data.matrix[seen])
            forest = crossval.fit_forest(features.fill(data.matrix[seen], medians), data.label[seen], settings)
            trees = predict_trees(forest, features.fill(data.matrix[unseen], medians))
            found[seed, unseen] = inference.quartiles_of(trees)[:, 1]
    return found


def draw(data: Data, predicted: np.ndarray, generator: np.random.Generator) -> World:
    """A world of as many families as there are, drawn with replacement."""
    names, family = np.unique(data.families, return_inverse=True)
    chosen = generator.integers(len(names), size=len(names))
    tested = generator.random(len(names)) < TEST_SHARE
    rows = [np.flatnonzero(family == each) for each in chosen]
    copies = np.repeat(np.arange(len(chosen)), [len(each) for each in rows])
    order = np.concatenate(rows)
    # Copies of a family stay one family: they are no independent evidence.
    families = [data.families[row] for row in order]
    return World(data.label[order], families, tested[copies], predicted[:, order])


def changed(world: World, seed: int, share: float, kind: str, generator: np.random.Generator) -> np.ndarray:
    """Predictions of one seed whose mean absolute error is larger by `share` (smaller where it is negative)."""
    base = world.predicted[seed]
    target = (1 + share) * np.abs(base - world.label).mean()
    if share < 0:  # Towards the labels, by a random part of the way for each beer.
        direction = (world.label - base) * generator.uniform(0, 2, len(base))
    elif kind == "noise":
        direction = (base + 5) * generator.normal(size=len(base))
    else:
        direction = np.median(world.label) - base
    steps = np.linspace(0, 2, 401)
    errors = np.abs(base + steps[:, None] * direction - world.label).mean(axis=1)
    reached = np.flatnonzero(errors <= target if share < 0 else errors >= target)
    if share == 0 or not reached.size:
        return base
    return np.maximum(base + steps[reached[0]] * direction, 0)


def accepted_on_test(world: World, mine: np.ndarray, theirs: np.ndarray, limit: float) -> bool:
    """The rule on the test beers alone: the loss is at most `limit`."""
    rows = world.tested
    ours, other = (np.abs(each - world.label)[rows].mean() for each in (mine, theirs))
    return bool((ours - other) / other <= limit)


def accepted_on_all(world: World, mine: np.ndarray, theirs: np.ndarray, limit: float, slices: bool = True) -> bool:
    """The project's rule: the loss on all held-out beers is at most `limit`, and no class is significantly worse."""
    errors = np.column_stack([np.abs(mine - world.label), np.abs(theirs - world.label)])
    loss = (errors[:, 0].sum() - errors[:, 1].sum()) / errors[:, 1].sum()
    if loss > limit:
        return False
    if not slices:
        return True
    beers = Beers(world.families, world.families, world.label, [])
    return not worse_slices(beers, errors, CLASSES, limit)


RULES = {
    "test beers, 5 %": lambda world, mine, theirs: accepted_on_test(world, mine, theirs, 0.05),
    "all held out, 2 %": lambda world, mine, theirs: accepted_on_all(world, mine, theirs, 0.02, slices=False),
    "and classes": lambda world, mine, theirs: accepted_on_all(world, mine, theirs, 0.02),
}


def simulate(data: Data, predicted: np.ndarray, worlds: int) -> dict[tuple[str, str], dict[str, float]]:
    """(change, kind) -> share of worlds accepted by each rule."""
    table = {}
    for name, share in CHANGES.items():
        for kind in ("noise", "towards the median") if share > 0 else ("",):
            generator = np.random.default_rng(0)
            counts = dict.fromkeys(RULES, 0)
            for _ in range(worlds):
                world = draw(data, predicted, generator)
                first, second = generator.choice(SEEDS, 2, replace=False)
                mine = changed(world, second, share, kind, generator)
                for rule, accepted in RULES.items():
                    counts[rule] += accepted(world, mine, world.predicted[first])
            table[name, kind] = {rule: count / worlds for rule, count in counts.items()}
    return table


def approvals(data: Data, predicted: np.ndarray, worlds: int, steps: int = 10, share: float = 0.01) -> float:
    """The mean loss after `steps` candidates, each worse than the approved model by `share`, offered one by one."""
    generator = np.random.default_rng(1)
    losses = []
    for _ in range(worlds):
        world = draw(data, predicted, generator)
        first = champion = world.predicted[0]
        for _ in range(steps):
            offered = changed(world._replace(predicted=champion[None]), 0, share, "noise", generator)
            if accepted_on_all(world, offered, champion, 0.02):
                champion = offered
        before, after = (np.abs(each - world.label).mean() for each in (first, champion))
        losses.append(after / before - 1)
    return float(np.mean(losses))


def main() -> None:
    """Simulates and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=400, help="samples of the beers per line")
    worlds = parser.parse_args().worlds
    data = read()
    predicted = predictions(data)
    print(f"Share of {worlds} candidates that the gate accepts; bounds of the classes: {BOUNDS.tolist()} IBU\n")
    print(f"{'candidate':36}" + "".join(f"{rule:>20}" for rule in RULES))
    for (name, kind), row in simulate(data, predicted, worlds).items():
        title = f"{name}, {kind}" if kind else name
        print(f"{title:36}" + "".join(f"{share:>20.1%}" for share in row.values()))
    lost = approvals(data, predicted, max(worlds // 10, 10))
    print(f"\nTen candidates, each 1 % worse than the approved model: {lost:.1%} lost in all.")


if __name__ == "__main__":
    main()
