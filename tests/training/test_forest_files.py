"""The forest's arrays: a sound file is read back, any other is refused, and nothing is unpickled."""

import ast
import io
import pickle
from typing import Any

import numpy as np
import pytest

from tests.support.beers import ROOT, module

forest = module("forest")


def sound() -> dict[str, Any]:
    """The arrays of a forest of one tree with one split."""
    return {
        "trees": np.array(1, "<i4"),
        "feature": np.array([2, -1, -1], "<i2"),
        "threshold": np.array([0.5, 1.0, 2.0], "<f8"),
        "left": np.array([1, 0, 0], "<i4"),
    }


class Canary:
    """An object that raises when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('unpickled')",)


BROKEN: dict[str, dict[str, Any]] = {
    "no trees": {"trees": np.array(0, "<i4")},
    "more trees than nodes": {"trees": np.array(4, "<i4")},
    "a feature there is not": {"feature": np.array([13, -1, -1], "<i2")},
    "a negative feature": {"feature": np.array([-2, -1, -1], "<i2")},
    "a child beyond the end": {"left": np.array([2, 0, 0], "<i4")},
    "a child before its parent": {"left": np.array([-1, 0, 0], "<i4")},
    "a node that is its own child": {"left": np.array([0, 0, 0], "<i4")},
    "a threshold that is no number": {"threshold": np.array([np.nan, 1, 2], "<f8")},
    "an array too short": {"threshold": np.array([0.5], "<f8")},
    "another type": {"left": np.array([1.0, 0.0, 0.0], "<f8")},
    "another shape": {"left": np.array([[1, 0, 0]], "<i4")},
    "a pickled object": {"left": np.array([Canary()], dtype=object)},
}


def test_a_sound_forest_is_read_back() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **sound())
    read = forest.from_bytes(buffer.getvalue(), 13)
    rows = np.zeros((4, 13))
    rows[:, 2] = (0.4, 0.5, 0.6, 0.5 + 1e-12)  # The last is 0.5 in single precision, in which scikit-learn compares.
    assert forest.predict_trees(read, rows).tolist() == [[1.0], [1.0], [2.0], [1.0]]


@pytest.mark.parametrize("changed", BROKEN.values(), ids=BROKEN)
def test_arrays_that_are_no_forest_are_refused(changed: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **sound() | changed)
    with pytest.raises(forest.BrokenForest):
        forest.from_bytes(buffer.getvalue(), 13)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps(Canary()), b"\x93NUMPY\x01\x00"])
def test_bytes_that_are_no_archive_are_refused(content: bytes) -> None:
    with pytest.raises(forest.BrokenForest):
        forest.from_bytes(content, 13)


def test_no_step_can_unpickle_or_extract() -> None:
    forbidden = {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal", "extractall", "extract"}
    for path in [path for folder in ("processing", "training", "evaluation") for path in (ROOT / folder).glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        imported |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not (imported | used) & forbidden, path.name
