"""Trees over binned features: many rows at once, without a branch and almost without memory accesses.

A value is first replaced by its bin, the number of the model's thresholds of that feature that it reaches:
one byte, since histogram training knows at most 256 cuts. A test is then a comparison of bytes, and a
processor compares those of `TILE` rows in a few instructions. Trees are filled up to the same even depth, and
every node is evaluated for every row: each group of three nodes (a node and its two children) picks one of
four answers, from the leaves up to the root, until a row's answer is the number of its leaf. (Evaluating all
nodes by bytes is the idea of Ye et al., RapidScorer, KDD 2018.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.models.lanes import TILE, answer_of_four, number_of_four

MOST_CUTS = 255
DEEPEST = 8  # a leaf's number has to fit a byte


@dataclass(frozen=True)
class BinnedTrees:
    """Complete trees of an even `depth`; feature f has the thresholds `cuts[starts[f] : starts[f + 1]]`.

    Groups of three nodes, [trees, groups, (node, its lower child, its higher child)], stand from the lowest
    level up: a test holds where the byte in row `columns` of the tile is at least `limits`. Rows 2f of a tile
    are the bins of feature f with 0 for a missing value, rows 2f + 1 the same with 255.
    """

    depth: int
    cuts: NDArray[np.float32]
    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    limits: NDArray[np.uint8]
    leaves: NDArray[Any]  # [trees, 2 ** depth]

    def sums(self, rows: NDArray[np.float32], base: np.floating[Any]) -> NDArray[Any]:
        """For each of `rows` float32[n, width]: `base` plus a leaf's value of each tree, in order."""
        out = np.empty(len(rows), self.leaves.dtype)
        _sums(rows, self.depth, self.cuts, self.starts, self.columns, self.limits, self.leaves, base, out)
        return out


def binned(
    width: int,
    roots: NDArray[np.uint32],
    depths: NDArray[np.int32],
    nodes: NDArray[Any],
    values: NDArray[Any],
) -> BinnedTrees | None:
    """The binned form of the trees of a `trees.Forest`; None where a feature has more thresholds than a byte
    can count, or a tree is too deep."""
    depth = max(2, int(depths.max()) + int(depths.max()) % 2)
    child = nodes["child"].astype(np.int64)
    is_leaf = child == np.arange(len(nodes))
    turned = (nodes["feature"] >= width) & ~is_leaf
    threshold = nodes["threshold"].copy()
    threshold[turned] = -np.nextafter(threshold[turned], np.float32(-np.inf))
    if depth > DEEPEST or not np.isfinite(threshold[~is_leaf]).all():
        return None
    feature = nodes["feature"] % width
    cuts = [np.unique(threshold[(feature == f) & ~is_leaf]) for f in range(width)]
    if max(map(len, cuts)) > MOST_CUTS:
        return None
    limit = np.zeros(len(nodes), np.uint8)  # a leaf above the lowest level: both ways lead to it
    for f, of_feature in enumerate(cuts):
        asked = (feature == f) & ~is_leaf
        limit[asked] = np.searchsorted(of_feature, threshold[asked]) + 1
    # A test of a turned node is "x >= threshold, and not missing", its true child comes second.
    lower, higher = child + (~turned & ~is_leaf), child + turned
    levels = [roots.astype(np.int64)[:, None]]
    for _ in range(depth):
        ids = levels[-1]
        levels.append(np.stack([lower[ids], higher[ids]], axis=-1).reshape(len(ids), -1))
    groups = [
        np.concatenate([levels[d][:, :, None], levels[d + 1].reshape(len(roots), -1, 2)], axis=-1)
        for d in range(depth - 2, -1, -2)
    ]
    ids = np.concatenate(groups, axis=1)
    columns = np.where(is_leaf, 0, 2 * feature.astype(np.int32) + ~turned).astype(np.int32)
    starts = np.append(0, np.cumsum([len(c) for c in cuts])).astype(np.int64)
    flat = np.concatenate(cuts).astype(np.float32)
    return BinnedTrees(
        depth, flat, starts, columns[ids], limit[ids], np.ascontiguousarray(values[levels[-1]])
    )


@njit(cache=True, error_model="numpy")
def _fill(rows, start, size, cuts, starts, tile, column, at):  # type: ignore[no-untyped-def]
    """Bins of `size` rows from `start`, into a tile [2 * width, TILE] that is flat."""
    for f in range(rows.shape[1]):
        here = cuts[starts[f] : starts[f + 1]]
        if here.size == 0:
            continue
        for r in range(size):
            column[r] = rows[start + r, f]
        at[:] = np.uint32(0)
        # Each search takes the same steps, one of every row before the next of any: no branch to mispredict.
        left = np.uint32(here.size)
        while left > 1:
            half = left // np.uint32(2)
            for r in range(TILE):
                there = at[r] + half
                at[r] = there if here[there - np.uint32(1)] <= column[r] else at[r]
            left = np.uint32(left - half)
        lows = tile[2 * f * TILE : (2 * f + 1) * TILE]
        highs = tile[(2 * f + 1) * TILE : (2 * f + 2) * TILE]
        for r in range(TILE):
            value = column[r]
            bin_ = at[r] + np.uint32(here[at[r]] <= value)
            lows[r] = 0 if value != value else bin_
            highs[r] = 255 if value != value else bin_


@njit(cache=True, error_model="numpy")
def _sums(rows, depth, cuts, starts, columns, limits, leaves, base, out):  # type: ignore[no-untyped-def]
    most = 1 << (depth - 2)
    tile = np.zeros(2 * rows.shape[1] * TILE, np.uint8)
    even, odd = np.empty(most * TILE, np.uint8), np.empty(most * TILE, np.uint8)
    column, at = np.zeros(TILE, np.float32), np.empty(TILE, np.uint32)
    sums = np.empty(TILE, leaves.dtype)
    for start in range(0, rows.shape[0], TILE):
        size = min(TILE, rows.shape[0] - start)
        _fill(rows, start, size, cuts, starts, tile, column, at)
        sums[:] = base
        for t in range(leaves.shape[0]):
            for k in range(most):
                tests = columns[t, k], limits[t, k]
                number_of_four(tile, *tests, np.uint8(4 * k), even, k * TILE)  # type: ignore[call-arg]
            done, count = most, most
            answers, spare = even, odd
            while count > 1:
                count //= 4
                for k in range(count):
                    tests = columns[t, done + k], limits[t, done + k]
                    start_of_four, to = 4 * k * TILE, k * TILE
                    answer_of_four(tile, *tests, answers, start_of_four, spare, to)  # type: ignore[call-arg]
                done += count
                answers, spare = spare, answers
            for r in range(TILE):
                sums[r] += leaves[t, np.intp(answers[r])]
        out[start : start + size] = sums[:size]
