"""Compares the candidate with the approved model, the champion, on beers that both have predicted without seeing them.

A champion that cannot be asked is left out with the reason. One whose bytes are not those that were approved closes the
gate: a changed artifact could otherwise open it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from artifact import BrokenArtifact, Served, UnsafeArtifact, digest, find_archive, load
from beers import Beers
from bootstrap import draws, figure, relative, sums
from held_out import HeldOut, ask
from measure import measure
from refit import refit
from slices import worse_slices

# A file that lies in the champion's place and gives the reason why there is none: an empty folder could not be given
# to the step.
PLACEHOLDER = "no-champion"
# Fewer shared beers than this are no comparison.
LEAST_SHARED = 20


class Comparison(NamedTuple):
    """The champion beside the candidate.

    figures: its metrics on the shared beers and the candidate's loss, or None when it is left out.
    worse: slices in which the candidate is significantly worse. served: the loaded champion, or None.
    sentence: how they were compared, or why not. changed: whether its bytes differ from the approved ones.
    """

    figures: dict[str, Any] | None
    worse: list[dict[str, Any]]
    served: Served | None
    sentence: str
    changed: bool = False


class Shared(NamedTuple):
    """Positions of the held-out beers that the champion predicted without their families, and its predictions."""

    rows: np.ndarray
    answers: dict[str, np.ndarray]
    how: str


def compare(
    folder: Path,
    approved: str,
    allowed: float,
    scratch: Path,
    candidate: Served,
    train: Beers,
    test: Beers,
    held: HeldOut,
) -> Comparison:
    """Compares with the champion in the folder.

    approved: the SHA-256 recorded at its registration, or empty. allowed: the loss that is allowed in each class.
    """
    archive = find_archive(folder)
    if archive is None:
        return Comparison(None, [], None, _absence(folder))
    # Verified before anything of it is unpacked or run.
    if approved and digest(archive) != approved:
        return Comparison(None, [], None, "The champion's artifact is not the one that was approved.", changed=True)
    try:
        champion = load(archive, scratch)
        shared = _shared(champion, candidate, train, test, held)
        if len(shared.rows) < LEAST_SHARED:
            why = f"only {len(shared.rows)} beers are unknown to both models, fewer than {LEAST_SHARED}"
            return Comparison(None, [], champion, f"The champion is left out: {why}.")
        figures, worse = _figures(champion, shared, held, candidate.card["classes"], allowed)
        return Comparison(figures, worse, champion, shared.how)
    except (UnsafeArtifact, BrokenArtifact) as error:
        return Comparison(None, [], None, f"The champion is left out, as it cannot be asked: {error}.")


def _absence(folder: Path) -> str:
    """Why the folder holds no champion."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if PLACEHOLDER in found:
        why = (folder / PLACEHOLDER).read_text(encoding="utf-8", errors="replace").strip()
        return f"There is no champion: {why or 'none is named'}."
    if found:
        return "The champion is left out: its folder holds no model.tar.gz."
    return "There is no champion: its folder is empty."


def _shared(champion: Served, candidate: Served, train: Beers, test: Beers, held: HeldOut) -> Shared:
    """The champion's predictions: out of fold where it was trained on the beer, its answer where the family is new."""
    beers, known = held.beers, champion.out_of_fold
    own = [row for row, beer in enumerate(beers.ids) if beer in known.family]
    same = [row for row in own if known.family[beers.ids[row]] == beers.families[row]]
    if 2 * len(same) < len(own):
        fold = np.array([candidate.out_of_fold.fold[beer] for beer in train.ids])
        predicted = refit(champion, train, test, fold)
        how = "The champion was trained with other recipe families: its recipe was refitted on the candidate's folds."
        return Shared(np.arange(len(beers.ids)), {"ibu": predicted}, how)
    new = [row for row, beer in enumerate(beers.ids) if beer not in known.family and _is_new(champion, beers, row)]
    asked = ask(champion, beers.select(new)) if new else {}
    values = np.array([known.values[beers.ids[row]] for row in same]).reshape(-1, 4)
    answers = {
        name: np.concatenate([values[:, column], asked.get(name, np.empty(0))])
        for column, name in enumerate(("ibu", "low", "high"))
    }
    how = "The champion is compared on the beers that both have predicted without seeing their recipes."
    return Shared(np.array([*same, *new], dtype=int), answers, how)


def _is_new(champion: Served, beers: Beers, row: int) -> bool:
    return beers.families[row] not in champion.families


def _figures(
    champion: Served, shared: Shared, held: HeldOut, classes: list[Any], allowed: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The champion's metrics on the shared beers, with the loss, and the candidate's significantly worse slices."""
    common, mine = held.beers.select(shared.rows.tolist()), held.answers["ibu"][shared.rows]
    theirs = shared.answers["ibu"]
    if not np.isfinite(theirs).all():
        raise BrokenArtifact("a prediction that is not finite")
    errors = np.column_stack([np.abs(mine - common.label), np.abs(theirs - common.label)])
    totals = sums(errors, draws(common.families))
    loss = figure(relative(totals[:, 0] - totals[:, 1], totals[:, 1]))
    known = champion.out_of_fold.family
    return measure(common, shared.answers, classes).figures | {
        "loss": loss,
        "n": len(shared.rows),
        "out_of_fold": sum(beer in known for beer in common.ids),
        "model_sha256": str(champion.card["sha256"]),
    }, worse_slices(common, errors, classes, allowed)
