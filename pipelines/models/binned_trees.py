"""Trees over binned features: many rows at once, without a branch and almost without memory accesses.

A value is first replaced by its bin, the number of the model's thresholds of that feature that it reaches:
one byte. A feature of more than 255 thresholds has several bins, each for its own part of them. A test is
then a comparison of bytes, and a processor compares those of `TILE` rows in a few instructions. Trees are
filled up to the same even depth, and every node is evaluated for every row: each group of three nodes (a
node and its two children) picks one of four answers, from the leaves up to the root, until a row's answer
is the number of its leaf. (Evaluating all nodes by bytes is the idea of Ye et al., RapidScorer, KDD 2018.)

Numba's loops over bytes are not turned into vector instructions (it widens indices and values to 64 bits), so
the two steps that the kernel spends its time in are written as LLVM vectors; LLVM splits them into what the
processor has. They stand in this file because numba's cache of a kernel looks at the kernel's file alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pipelines.features.lent import lent

TILE = 128
BYTE, INDEX = ir.IntType(8), ir.IntType(32)
LANES = ir.VectorType(BYTE, TILE)
MOST_CUTS = 255
DEEPEST = 8  # a leaf's number has to fit a byte


@dataclass(frozen=True)
class BinnedTrees:
    """Complete trees of an even `depth`; scale s bins feature `sources[s]` by the thresholds
    `cuts[starts[s] : starts[s + 1]]`.

    Groups of three nodes, [trees, groups, (node, its lower child, its higher child)], stand from the lowest
    level up: a test holds where the byte in row `columns` of the tile is at least `limits`. Rows 2s of a tile
    are the bins by scale s with 0 for a missing value, rows 2s + 1 the same with 255.
    """

    depth: int
    sources: NDArray[np.int64]
    cuts: NDArray[np.float32]
    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    limits: NDArray[np.uint8]
    leaves: NDArray[Any]  # [trees, 2 ** depth]

    def sums(self, rows: NDArray[np.float32], base: np.floating[Any]) -> NDArray[Any]:
        """For each of `rows` float32[n, width]: `base` plus a leaf's value of each tree, in order."""
        out = np.empty(len(rows), self.leaves.dtype)
        scales = self.sources, self.cuts, self.starts
        room = np.empty((2, TILE << (self.depth - 2)), np.uint8)
        _sums(rows, self.depth, *scales, self.columns, self.limits, self.leaves, base, room[0], room[1], out)
        return out


def binned(
    width: int,
    roots: NDArray[np.uint32],
    depths: NDArray[np.int32],
    nodes: NDArray[Any],
    values: NDArray[Any],
) -> BinnedTrees | None:
    """The binned form of the trees of a `trees.Forest`; None where a tree is too deep."""
    depth = max(2, int(depths.max()) + int(depths.max()) % 2)
    child = nodes["child"].astype(np.int64)
    is_leaf = child == np.arange(len(nodes))
    turned = (nodes["feature"] >= width) & ~is_leaf
    threshold = nodes["threshold"].copy()
    threshold[turned] = -np.nextafter(threshold[turned], np.float32(-np.inf))
    if depth > DEEPEST or not np.isfinite(threshold[~is_leaf]).all():
        return None
    feature = nodes["feature"] % width
    limit = np.zeros(len(nodes), np.uint8)  # a leaf above the lowest level: both ways lead to it
    scale = np.zeros(len(nodes), np.int32)
    sources, cuts = [0], [np.empty(0, np.float32)]  # something to look at where no tree has a test
    for f in range(width):
        of_feature = np.unique(threshold[(feature == f) & ~is_leaf])
        for start in range(0, len(of_feature), MOST_CUTS):
            part = of_feature[start : start + MOST_CUTS]
            asked = (feature == f) & ~is_leaf & (threshold >= part[0]) & (threshold <= part[-1])
            limit[asked] = np.searchsorted(part, threshold[asked]) + 1
            scale[asked] = len(sources)
            sources.append(f)
            cuts.append(part)
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
    columns = np.where(is_leaf, 0, 2 * scale + ~turned).astype(np.int32)
    starts = np.append(0, np.cumsum([len(c) for c in cuts])).astype(np.int64)
    flat = np.concatenate(cuts).astype(np.float32)
    leaves = np.ascontiguousarray(values[levels[-1]])
    return BinnedTrees(depth, np.array(sources), flat, starts, columns[ids], limit[ids], leaves)


class _Code:
    """A builder of vector code over the arrays of one call."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        self.types, self.values = signature.args, arguments

    def data(self, which: int) -> Any:
        """Pointer to the elements of an array argument."""
        return self.context.make_array(self.types[which])(self.context, self.builder, self.values[which]).data

    def element(self, which: int, place: int) -> Any:
        """One element of a small array argument, as a number of the machine's size of index where it is no
        byte."""
        found = self.builder.load(self.builder.gep(self.data(which), [ir.Constant(INDEX, place)]))
        return found if found.type == BYTE else self.builder.sext(found, ir.IntType(64))

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), LANES.as_pointer())

    def load(self, pointer: Any, offset: Any) -> Any:
        """`TILE` bytes from an offset on, at any alignment."""
        found = self.builder.load(self._at(pointer, offset))
        found.align = 1
        return found

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        """`TILE` bytes to an offset, at any alignment."""
        self.builder.store(value, self._at(pointer, offset), align=1)

    def spread(self, byte: Any) -> Any:
        """The same byte in every lane."""
        nothing = ir.Constant(LANES, ir.Undefined)
        first = self.builder.insert_element(nothing, byte, ir.Constant(INDEX, 0))
        return self.builder.shuffle_vector(
            first, nothing, ir.Constant(ir.VectorType(INDEX, TILE), [0] * TILE)
        )

    def holds(self, node: int) -> Any:
        """In which rows the test of a group's node holds: its column of the tile reaches its limit."""
        rows = self.builder.mul(self.element(1, node), ir.Constant(ir.IntType(64), TILE))
        return self.builder.icmp_unsigned(
            ">=", self.load(self.data(0), rows), self.spread(self.element(2, node))
        )

    def picked(self, four: list[Any]) -> Any:
        """Of four answers the one that the three tests of the group lead to."""
        lower = self.builder.select(self.holds(1), four[1], four[0])
        higher = self.builder.select(self.holds(2), four[3], four[2])
        return self.builder.select(self.holds(0), higher, lower)


@intrinsic
def number_of_four(_typing, tile, columns, limits, first, out, to):  # type: ignore[no-untyped-def]
    """Write for each row of the tile which of the leaves `first` .. `first + 3` the group leads to, into
    `out[to : to + TILE]`."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        code = _Code(context, builder, signature, arguments)
        places = code.picked([ir.Constant(LANES, [place] * TILE) for place in range(4)])
        code.store(builder.add(places, code.spread(arguments[3])), code.data(4), arguments[5])
        return context.get_dummy_value()

    return types.void(tile, columns, limits, types.uint8, out, types.intp), generate


@intrinsic
def answer_of_four(_typing, tile, columns, limits, answers, start, out, to):  # type: ignore[no-untyped-def]
    """Write for each row of the tile the one of its four answers, of the groups below, that the group leads
    to: they stand in `answers[start : start + 4 * TILE]`, the outcome in `out[to : to + TILE]`."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        code = _Code(context, builder, signature, arguments)
        starts = [builder.add(arguments[4], ir.Constant(ir.IntType(64), k * TILE)) for k in range(4)]
        four = [code.load(code.data(3), start) for start in starts]
        code.store(code.picked(four), code.data(5), arguments[6])
        return context.get_dummy_value()

    return types.void(tile, columns, limits, answers, types.intp, out, types.intp), generate


@njit(cache=True, error_model="numpy")
def _fill(rows, start, size, sources, cuts, starts, tile, column, bins):  # type: ignore[no-untyped-def]
    """Bins of `size` rows from `start`, into a tile [2 * scales, TILE] that is flat."""
    for s in range(sources.size):
        here = cuts[starts[s] : starts[s + 1]]
        if here.size == 0:
            continue
        for r in range(size):
            column[r] = rows[start + r, sources[s]]
        bins[:] = np.uint32(0)
        # Every threshold is compared with every row: vectors of them, with no search and no branch.
        k = 0
        while k + 4 <= here.size:
            _count_four(here[k], here[k + 1], here[k + 2], here[k + 3], column, bins)
            k += 4
        while k < here.size:
            for r in range(TILE):
                bins[r] += np.uint32(here[k] <= column[r])
            k += 1
        lows = tile[2 * s * TILE : (2 * s + 1) * TILE]
        highs = tile[(2 * s + 1) * TILE : (2 * s + 2) * TILE]
        for r in range(TILE):
            missing = np.uint32(column[r] != column[r])  # and then no threshold was reached
            lows[r] = bins[r]
            highs[r] = bins[r] | missing * np.uint32(255)


@njit(cache=True, error_model="numpy")
def _count_four(a, b, c, d, column, bins):  # type: ignore[no-untyped-def]
    """Count of each row which of the thresholds it reaches."""
    for r in range(TILE):
        x = column[r]
        bins[r] += np.uint32(a <= x) + np.uint32(b <= x) + np.uint32(c <= x) + np.uint32(d <= x)


@njit(cache=True, error_model="numpy")
def _sums(  # type: ignore[no-untyped-def]
    rows, depth, sources, cuts, starts, columns, limits, leaves, base, even, odd, out
):
    most = 1 << (depth - 2)
    tile = np.zeros(2 * sources.size * TILE, np.uint8)
    even, odd = lent(even), lent(odd)  # they change places for each tree; who calls holds them
    column, bins = np.zeros(TILE, np.float32), np.empty(TILE, np.uint32)
    sums = np.empty(TILE, leaves.dtype)
    for start in range(0, rows.shape[0], TILE):
        size = min(TILE, rows.shape[0] - start)
        _fill(rows, start, size, sources, cuts, starts, tile, column, bins)
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
            for r in range(size):
                sums[r] += leaves[t, np.intp(answers[r])]
        out[start : start + size] = sums[:size]
