"""The model folder: written by the training step, read by serving.

model.json describes the model and holds the SHA-256 of every other file and of itself; model.npz holds the forest's
arrays, neighbours.csv training beers to show beside a prediction, oof.csv the out-of-fold predictions. Nothing is
pickled, and equal input makes equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from explain import Neighbours, from_csv, neighbours
from features import FEATURES, INPUTS, feature_matrix, fill
from forest import BrokenForest, Forest, from_bytes

FORMAT = 2
ARRAYS = "model.npz"
DATA = ("neighbours.csv", "oof.csv")


class BrokenModel(ValueError):
    """The folder does not hold a model of this format, or its bytes are not those that were trained."""


class Model(NamedTuple):
    """The forest, the training medians in the order of FEATURES, model.json's content and the training beers."""

    forest: Forest
    medians: np.ndarray
    card: dict[str, Any]
    known: Neighbours


def load(folder: str) -> Model:
    """Reads the folder after every hash is verified. Raises BrokenModel."""
    home = Path(folder)
    try:
        card = json.loads((home / "model.json").read_bytes())
        if card["format"] != FORMAT:
            raise BrokenModel(f"format {card['format']} where {FORMAT} is served")
        files = {name: (home / name).read_bytes() for name in (ARRAYS, *DATA)}
        _verify(card, files)
        if tuple(card["features"]) != FEATURES:
            raise BrokenModel("the model was trained on other features than features.py makes")
        medians = np.array([card["medians"][name] for name in FEATURES], dtype=float)
        known = _read_neighbours(files["neighbours.csv"].decode(), medians)
        return Model(from_bytes(files[ARRAYS], len(FEATURES)), medians, card, known)
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BrokenModel(f"{folder} holds no model: {error!r}") from None
    except BrokenForest as error:
        raise BrokenModel(f"{folder} holds no model: {error}") from None


def _verify(card: dict[str, Any], files: Mapping[str, bytes]) -> None:
    if card_digest(card) != card["card_sha256"]:
        raise BrokenModel("model.json is not the file that was trained: its SHA-256 differs from the one it holds")
    for name, content in files.items():
        expected = card["sha256"] if name == ARRAYS else card["files"][name]
        if digest(content) != expected:
            raise BrokenModel(f"{name} is not the file that was trained: its SHA-256 differs from model.json's")


def digest(content: bytes) -> str:
    """The SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def card_digest(card: Mapping[str, Any]) -> str:
    """The SHA-256 of model.json's content without the member that holds it."""
    rest = {name: value for name, value in card.items() if name != "card_sha256"}
    return digest(json.dumps(rest, sort_keys=True).encode())


def signed(card: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """model.json's content with the SHA-256 of every file and of itself."""
    hashes = {name: digest(content) for name, content in files.items()}
    full = {**card, "sha256": hashes.pop(ARRAYS), "files": hashes}
    return full | {"card_sha256": card_digest(full)}


def _read_neighbours(text: str, medians: np.ndarray) -> Neighbours:
    table = from_csv(text)
    columns = {name: table[name] for name in INPUTS}
    matrix = fill(feature_matrix(columns), medians)
    return neighbours(table["id"], table["name"], np.array(table["ibu"], dtype=float), matrix)
