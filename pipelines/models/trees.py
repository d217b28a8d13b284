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

import msgspec
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

FEW = 48
"""Rows below which walking each through the trees costs less than evaluating whole tiles of rows."""
LANES = 8
"""Rows, or trees, that are walked side by side."""
ALONE = 3
"""So many rows or fewer are walked one by one, several trees at once."""


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
    first = np.where(tree.missing_left, tree.left, tree.right).tolist()
    second = np.where(tree.missing_left, tree.right, tree.left).tolist()
    for position, node in enumerate(order):
        if first[node] < 0:
            child.append(position)
            continue
        child.append(len(order))
        order += (first[node], second[node])
        level += (level[position] + 1,) * 2
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
    learner = msgspec.json.decode(booster.save_raw("json"))["learner"]
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
    both = np.empty(LANES * 2 * width, np.float32)  # of each row its features, then the same negated
    start = 0
    while start < n:
        left = n - start
        size = min(LANES, left) if left > ALONE else 1
        for r in range(LANES if size > 1 else 1):
            row, at = start + min(r, size - 1), r * 2 * width
            for j in range(width):
                both[at + j] = rows[row, j]
                both[at + width + j] = -rows[row, j]
        if size > 1:
            _rows_at_once(both, np.uint64(2 * width), roots, depths, nodes, values, base, out, start, size)
        else:
            out[start] = _trees_at_once(both, roots, depths, nodes, values, base)
        start += size


@njit(cache=True, error_model="numpy")
def _next(nodes, features, row, at):  # type: ignore[no-untyped-def]
    node = nodes[at]
    return np.uint64(node.child) + np.uint64(features[row + np.uint64(node.feature)] < node.threshold)


@njit(cache=True, error_model="numpy")
def _rows_at_once(  # type: ignore[no-untyped-def]
    both, width, roots, depths, nodes, values, base, out, start, size
):
    """`LANES` rows go down a tree side by side, each in a variable of its own: loads overlap, and no branch
    can be mispredicted. The first `size` sums are written."""
    r0 = np.uint64(0)
    r1, r2, r3 = r0 + width, r0 + width * np.uint64(2), r0 + width * np.uint64(3)
    r4, r5, r6 = r0 + width * np.uint64(4), r0 + width * np.uint64(5), r0 + width * np.uint64(6)
    r7 = r0 + width * np.uint64(7)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = base
    for t in range(roots.size):
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.uint64(roots[t])
        for _ in range(depths[t]):
            a0, a1 = _next(nodes, both, r0, a0), _next(nodes, both, r1, a1)
            a2, a3 = _next(nodes, both, r2, a2), _next(nodes, both, r3, a3)
            a4, a5 = _next(nodes, both, r4, a4), _next(nodes, both, r5, a5)
            a6, a7 = _next(nodes, both, r6, a6), _next(nodes, both, r7, a7)
        s0, s1, s2, s3 = s0 + values[a0], s1 + values[a1], s2 + values[a2], s3 + values[a3]
        s4, s5, s6, s7 = s4 + values[a4], s5 + values[a5], s6 + values[a6], s7 + values[a7]
    sums = (s0, s1, s2, s3, s4, s5, s6, s7)
    for r in range(size):
        out[start + r] = sums[r]


@njit(cache=True, error_model="numpy")
def _trees_at_once(features, roots, depths, nodes, values, base):  # type: ignore[no-untyped-def]
    """One row goes down `LANES` trees side by side. A leaf is its own child, so a shallow tree waits for the
    deepest; the values are added up in the order of the trees."""
    row, total, t = np.uint64(0), base, 0
    while t + LANES <= roots.size:
        a0, a1, a2, a3 = (
            np.uint64(roots[t]),
            np.uint64(roots[t + 1]),
            np.uint64(roots[t + 2]),
            np.uint64(roots[t + 3]),
        )
        a4, a5, a6, a7 = (
            np.uint64(roots[t + 4]),
            np.uint64(roots[t + 5]),
            np.uint64(roots[t + 6]),
            np.uint64(roots[t + 7]),
        )
        deepest = 0
        for k in range(t, t + LANES):
            deepest = max(deepest, depths[k])
        for _ in range(deepest):
            a0, a1 = _next(nodes, features, row, a0), _next(nodes, features, row, a1)
            a2, a3 = _next(nodes, features, row, a2), _next(nodes, features, row, a3)
            a4, a5 = _next(nodes, features, row, a4), _next(nodes, features, row, a5)
            a6, a7 = _next(nodes, features, row, a6), _next(nodes, features, row, a7)
        total = total + values[a0] + values[a1] + values[a2] + values[a3]
        total = total + values[a4] + values[a5] + values[a6] + values[a7]
        t += LANES
    while t < roots.size:
        at = np.uint64(roots[t])
        for _ in range(depths[t]):
            at = _next(nodes, features, row, at)
        total = total + values[at]
        t += 1
    return total
