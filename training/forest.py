"""A forest of regression trees as arrays: predicts with numpy alone and is stored without pickle."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LEAF = -1
ROWS_AT_ONCE = 128  # The arrays of so many rows fit into the processor's cache.


class BrokenForest(ValueError):
    """The bytes are not a forest: an array is missing, of another type or size, or a child index is invalid."""


class Forest(NamedTuple):
    """All nodes of all trees, level after level; the first `trees` nodes are the roots.

    A row goes to the node `left` where its feature is at most the threshold, else to the node after it. At a leaf
    `feature` is LEAF and `threshold` is the tree's prediction.
    """

    trees: int
    feature: np.ndarray  # (nodes,) intp
    threshold: np.ndarray  # (nodes,) float64
    left: np.ndarray  # (nodes,) intp


STORED = {"trees": "<i4", "feature": "<i2", "threshold": "<f8", "left": "<i4"}


def from_estimators(estimators: Sequence[Any]) -> Forest:
    """The arrays of scikit-learn's fitted regression trees (one output each)."""
    trees = [estimator.tree_ for estimator in estimators]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    value = np.concatenate([tree.value[:, 0, 0] for tree in trees])
    children = np.concatenate(
        [
            np.stack([tree.children_left, tree.children_right], axis=1) + start
            for tree, start in zip(trees, starts, strict=True)
        ]
    )
    level, levels, left, count = starts, [], [], len(starts)
    while level.size:
        inner = feature[level] >= 0
        left.append(np.where(inner, count + 2 * (np.cumsum(inner) - 1), 0))
        levels.append(level)
        level = children[level[inner]].ravel()
        count += level.size
    order = np.concatenate(levels)
    leaf = feature[order] < 0
    return Forest(
        trees=len(trees),
        feature=np.where(leaf, LEAF, feature[order]),
        threshold=np.where(leaf, value[order], threshold[order]),
        left=np.concatenate(left),
    )


def predict_trees(forest: Forest, matrix: np.ndarray) -> np.ndarray:
    """(n, trees) float64: the prediction of every tree for every row of `matrix` (n, features), which holds no NaN."""
    values = np.asarray(matrix, dtype=np.float32)  # scikit-learn compares in single precision as well.
    parts = [values[start : start + ROWS_AT_ONCE] for start in range(0, len(values), ROWS_AT_ONCE)]
    return np.concatenate([np.empty((0, forest.trees)), *(_descend(forest, part) for part in parts)])


def _descend(forest: Forest, values: np.ndarray) -> np.ndarray:
    """predict_trees for a few rows: all (tree, row) pairs step down together until each reaches its leaf."""
    rows, features = values.shape
    flat = values.ravel()
    result = np.empty(forest.trees * rows)
    pair = np.arange(result.size)
    node = np.repeat(np.arange(forest.trees), rows)
    first = np.tile(np.arange(rows) * features, forest.trees)  # Where the pair's row starts in `flat`.
    while pair.size:
        feature = forest.feature.take(node)
        going = np.flatnonzero(feature != LEAF)
        if going.size < pair.size:
            there = np.flatnonzero(feature == LEAF)
            result[pair.take(there)] = forest.threshold.take(node.take(there))
            pair, node, first, feature = (array.take(going) for array in (pair, node, first, feature))
        node = forest.left.take(node) + (flat.take(first + feature) > forest.threshold.take(node))
    return result.reshape(forest.trees, rows).T


def to_bytes(forest: Forest) -> bytes:
    """An .npz archive; equal forests make equal bytes (numpy dates its members 1980)."""
    buffer = io.BytesIO()
    arrays = {name: np.asarray(value).astype(STORED[name]) for name, value in forest._asdict().items()}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_bytes(content: bytes, features: int) -> Forest:
    """Reads the output of to_bytes, for rows of `features` values. Raises BrokenForest; never unpickles."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in STORED}
    except Exception as error:  # zipfile and numpy raise many kinds for broken bytes.
        raise BrokenForest(f"not an archive of the arrays {', '.join(STORED)}: {error}") from None
    for name, array in arrays.items():
        if array.dtype != np.dtype(STORED[name]) or array.ndim != (0 if name == "trees" else 1):
            raise BrokenForest(f"{name} is {array.dtype} with {array.ndim} dimensions")
    forest = Forest(
        trees=int(arrays["trees"]),
        feature=arrays["feature"].astype(np.intp),
        threshold=arrays["threshold"],
        left=arrays["left"].astype(np.intp),
    )
    _check(forest, features)
    return forest


def _check(forest: Forest, features: int) -> None:
    """Raises BrokenForest unless predict_trees stays within the arrays and ends, for any rows."""
    nodes = len(forest.feature)
    if not len(forest.threshold) == len(forest.left) == nodes or not 1 <= forest.trees <= nodes:
        raise BrokenForest("the arrays disagree about the number of nodes or trees")
    if not np.all(np.isfinite(forest.threshold)):
        raise BrokenForest("a threshold is not finite")
    if np.any((forest.feature < LEAF) | (forest.feature >= features)):
        raise BrokenForest(f"a node asks for a feature beyond the {features} there are")
    inner = np.flatnonzero(forest.feature != LEAF)
    # A child lies behind its parent, so every way down ends.
    if np.any((forest.left[inner] <= inner) | (forest.left[inner] + 1 >= nodes)):
        raise BrokenForest("a node's child is not behind it")
