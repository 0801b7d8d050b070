"""The approved model beside the candidate, on the same beers. Whatever is wrong with it, it blocks nobody."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from analysis import Answers, drift
from artifact import BrokenArtifact, Served, UnsafeArtifact, find_archive, load
from beers import Beers
from bootstrap import figure, relative
from measure import ask, measure

# A file that lies in the champion's place and says why there is none: an empty folder could not be given to the step.
PLACEHOLDER = "no-champion"


class Comparison(NamedTuple):
    """The champion's figures with the candidate's loss against it, or None; drift by column; a sentence on it."""

    figures: dict[str, Any] | None
    drift: dict[str, float]
    sentence: str


def against_champion(
    folder: Path, scratch: Path, train: Beers, test: Beers, answers: Answers, classes: Sequence[Any]
) -> Comparison:
    """Asks the champion in the folder about the test beers; `answers` are the candidate's."""
    archive = find_archive(folder)
    if archive is None:
        return Comparison(None, {}, _absence(folder))
    try:
        champion = load(archive, scratch)
        if champion.families.issuperset(test.families):
            return Comparison(None, {}, "The champion is left out: it has trained on every test recipe.")
        moved = _drift(champion, train)
        compared = _compare(champion, answers, test, classes)
        return Comparison(compared, moved, "The champion was asked about the same beers.")
    except (UnsafeArtifact, BrokenArtifact) as error:
        return Comparison(None, {}, f"The champion is left out, as it cannot be asked: {error}.")


def _absence(folder: Path) -> str:
    """Why the folder holds no champion."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if PLACEHOLDER in found:
        why = (folder / PLACEHOLDER).read_text(encoding="utf-8", errors="replace").strip()
        return f"There is no champion: {why or 'none is named'}."
    if found:
        return "The champion is left out: its folder holds no model.tar.gz."
    return "There is no champion: its folder is empty."


def _drift(champion: Served, train: Beers) -> dict[str, float]:
    """By how much today's training beers differ from the champion's. Raises BrokenArtifact."""
    try:
        moved = drift(champion.card["profile"], train)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BrokenArtifact(f"its training profile is of another version: {error!r}") from None
    if not np.isfinite(list(moved.values())).all():
        raise BrokenArtifact("its training profile has values that are not finite")
    return moved


def _compare(champion: Served, answers: Answers, test: Beers, classes: Sequence[Any]) -> dict[str, Any]:
    """The champion's figures on the test beers it has not trained on, and the candidate's loss against it there."""
    rows = [row for row, family in enumerate(test.families) if family not in champion.families]
    common = test.select(rows)
    theirs = measure(common, ask(champion, common), classes)
    mine = measure(common, {"ibu": answers["ibu"][rows]}, classes)
    return theirs.figures | {
        "loss": figure(relative(mine.mae - theirs.mae, theirs.mae)),
        "n": len(rows),
        "trained_on_by_champion": len(test.ids) - len(rows),
        "model_sha256": str(champion.card["sha256"]),
    }
