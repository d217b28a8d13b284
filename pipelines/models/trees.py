"""Flat trees: boosted trees and isolation forests as arrays, scored by one kernel.

A score depends on its own row alone: the same bits for any batch, any row order, any number of threads.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numba import njit
from numpy.typing import NDArray

from pipelines.errors import ModelError
from pipelines.models.binned_trees import BinnedTrees, binned

NODE = np.dtype([("threshold", "f4"), ("feature", "u4"), ("child", "u4")])
"""A test `value < threshold`. `child` is where a false test goes, `child + 1` where a true one goes.

A leaf is its own child and never true. Features f .. 2f - 1 are the negated features 0 .. f - 1, so that a
missing value, for which every test is false, can go either way."""

BLOCK = 64
FEW = 36
"""Rows below which walking each through the trees costs less than evaluating whole tiles of rows."""


@dataclass(frozen=True)
class Forest:
    """Trees side by side: a row's sum is `base` plus a leaf's value of each tree, in order, in the type of
    `values`."""

    width: int
    roots: NDArray[np.uint32]
    depths: NDArray[np.int32]
    nodes: NDArray[Any]
    values: NDArray[Any]
    base: np.floating[Any]

    def sums(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        """One sum for each of `rows` float32[n, width], NaN = missing. Raises ModelError for other shapes
        and types."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ModelError(
                f"the model needs {self.width} features a row, not an array of shape {rows.shape}"
            )
        if rows.dtype != np.float32:
            raise ModelError(f"the model needs float32 features, not {rows.dtype}")
        rows = np.ascontiguousarray(rows)
        if len(rows) >= FEW and self.in_bins:
            return self.in_bins.sums(rows, self.base)
        out = np.empty(len(rows), self.values.dtype)
        _sums(rows, self.roots, self.depths, self.nodes, self.values, self.base, out)
        return out

    @functools.cached_property
    def in_bins(self) -> BinnedTrees | None:
        """The same trees in the form that scores many rows fastest, where they have one: the same bits."""
        return binned(self.width, self.roots, self.depths, self.nodes, self.values)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything of the forest as plain number arrays, for `from_arrays`."""
        return {
            "width": np.asarray(self.width),
            "roots": self.roots,
            "depths": self.depths,
            "threshold": self.nodes["threshold"],
            "feature": self.nodes["feature"],
            "child": self.nodes["child"],
            "values": self.values,
            "base": np.asarray(self.base),
        }


def from_arrays(arrays: dict[str, NDArray[Any]]) -> Forest:
    """The forest of `Forest.arrays`. Raises ModelError when a node points outside of the arrays."""
    width, size = int(arrays["width"]), len(arrays["child"])
    nodes = np.empty(size, NODE)
    for field in NODE.names or ():
        nodes[field] = arrays[field]
    furthest = nodes["child"].astype(np.int64) + (nodes["threshold"] != -np.inf)
    lengths_fit = len(arrays["values"]) == size and len(arrays["depths"]) == len(arrays["roots"])
    points_inside = all(np.all(p < size) for p in (furthest, arrays["roots"], arrays["depths"]))
    if not (lengths_fit and points_inside and np.all(nodes["feature"] < 2 * width)):
        raise ModelError("the trees point outside of their own arrays: the file is damaged")
    values = arrays["values"]
    base = values.dtype.type(arrays["base"])
    return Forest(width, arrays["roots"].astype("u4"), arrays["depths"].astype("i4"), nodes, values, base)


@dataclass(frozen=True)
class Tree:
    """One binary tree by node: its children `left` and `right` (-1 at a leaf), and the `values` of leaves. A
    row goes left where `x[feature] < threshold`, and where x is missing if `missing_left`."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    values: NDArray[Any]


def plant(trees: Iterable[Tree], width: int, base: np.floating[Any]) -> Forest:
    """A forest of `trees` over `width` features; its sums have the type of `base`."""
    roots: list[int] = []
    depths: list[int] = []
    parts: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    size = 0
    for tree in trees:
        nodes, leaves, depth = _laid_out(tree, width, size)
        roots.append(size)
        depths.append(depth)
        parts.append(nodes)
        values.append(leaves.astype(base.dtype))
        size += len(nodes)
    if not parts:
        raise ModelError("a model without trees cannot score: train it with at least one round")
    nodes, leaves = np.concatenate(parts), np.concatenate(values)
    return Forest(width, np.array(roots, "u4"), np.array(depths, "i4"), nodes, leaves, base)


def _laid_out(tree: Tree, width: int, start: int) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Nodes in breadth-first order, the two children of a node side by side."""
    order, level, child = [0], [0], []
    for position, node in enumerate(order):
        if tree.left[node] < 0:
            child.append(position)
            continue
        child.append(len(order))
        pair = (tree.left[node], tree.right[node])
        order.extend(int(n) for n in (pair if tree.missing_left[node] else pair[::-1]))
        level.extend([level[position] + 1] * 2)
    ids = np.array(order)
    is_leaf, missing_left = tree.left[ids] < 0, tree.missing_left[ids]
    # left | missing is "not (x >= t)"; x >= t is "-x < the number just above -t", false for NaN.
    turned = np.nextafter(-tree.threshold[ids], np.float32(np.inf))
    nodes = np.empty(len(ids), NODE)
    nodes["threshold"] = np.where(is_leaf, -np.inf, np.where(missing_left, turned, tree.threshold[ids]))
    nodes["feature"] = np.where(is_leaf, 0, tree.feature[ids] + width * missing_left)
    nodes["child"] = np.array(child) + start
    return nodes, np.where(is_leaf, tree.values[ids], 0), max(level)


def from_booster(booster: xgboost.Booster) -> Forest:
    """The margins of a booster of one output, bit for bit.

    Raises ModelError for other kinds: linear, dart, categories, several classes.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    parameters, model = learner["learner_model_param"], learner["gradient_booster"]
    if model["name"] != "gbtree" or int(parameters["num_class"]) > 1 or int(parameters["num_target"]) > 1:
        raise ModelError(f"only boosted trees with one output can be scored, not {model['name']}")
    base = np.float32(json.loads(parameters["base_score"].replace("-0E0", "0"))[0])
    if learner["objective"]["name"] == "binary:logistic":
        base = np.float32(-math.log(float(np.float32(1) / base - np.float32(1))))
    return plant(_boosted(model["model"]["trees"]), int(parameters["num_feature"]), base)


def _boosted(trees: list[dict[str, Any]]) -> Iterator[Tree]:
    for tree in trees:
        if tree["categories"]:
            raise ModelError("the model splits on categories, and no feature is one: train it on numbers")
        conditions = np.array(tree["split_conditions"], np.float32)
        yield Tree(
            np.array(tree["left_children"]),
            np.array(tree["right_children"]),
            np.array(tree["split_indices"]),
            conditions,
            np.array(tree["default_left"], bool),
            conditions,
        )


@njit(cache=True, error_model="numpy")
def _sums(rows, roots, depths, nodes, values, base, out):  # type: ignore[no-untyped-def]
    n, width = rows.shape
    row_size = np.uint64(2 * width)
    both = np.empty(BLOCK * 2 * width, np.float32)  # of each row its features, then the same negated
    at = np.empty(BLOCK, np.uint32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for r in range(size):
            for j in range(width):
                both[r * 2 * width + j] = rows[start + r, j]
                both[r * 2 * width + width + j] = -rows[start + r, j]
            out[start + r] = base
        for t in range(roots.size):
            at[:size] = roots[t]
            # One step of every row before the next step of any: loads overlap, and no branch can be
            # mispredicted.
            for _ in range(depths[t]):
                for r in range(size):
                    node = nodes[np.uint64(at[r])]
                    value = both[np.uint64(r) * row_size + np.uint64(node.feature)]
                    at[r] = node.child + np.uint32(value < node.threshold)
            for r in range(size):
                out[start + r] += values[np.uint64(at[r])]
