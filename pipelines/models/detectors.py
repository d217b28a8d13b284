"""Detectors that look at one feature at a time: PyOD's isolation forest and histograms, frozen into plain
numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.models import trees
from pipelines.models.densities import Frozen
from pipelines.models.trees import Forest, Tree

if TYPE_CHECKING:
    from pyod.models.iforest import IForest

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Isolation:
    """PyOD's IForest: minus the sum of the depths at which the trees isolate a vector, which orders vectors
    as PyOD's score does."""

    forest: Forest

    @classmethod
    def fit(cls, plain: Numbers, count: int, rows: int, seed: int) -> Isolation:
        """A forest of `count` trees, each of at most `rows` vectors."""
        from pyod.models.iforest import IForest  # heavy, and only training needs it

        isolation = IForest(
            n_estimators=count, max_samples=min(rows, len(plain)), random_state=seed, n_jobs=1
        )
        isolation.fit(plain.astype(np.float32))
        return cls(trees.plant(isolating_trees(isolation), plain.shape[1], np.float64(0)))

    def scores(self, plain: Numbers) -> Numbers:
        """Of each vector minus the sum."""
        return np.asarray(-self.forest.sums(plain.astype(np.float32)), np.float64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as number arrays, for `from_arrays`."""
        return self.forest.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Isolation:
        """The forest of `arrays`. Raises ModelError when a node points outside of the arrays."""
        return cls(trees.from_arrays(dict(arrays)))

    def fits(self, width: int) -> bool:
        """Whether it judges vectors of this width."""
        return self.forest.width == width


@dataclass(frozen=True)
class Histograms(Frozen):
    """PyOD's HBOS: minus the sum over features of the logarithm of the density of the value's bin.

    `density` [bins + 1, d] is that logarithm, `rarity` the share of training vectors in bins that are as
    rare; their last row is for values outside of all bins, by more than `reach` of a bin.
    """

    edges: Numbers
    density: Numbers
    rarity: Numbers
    reach: Numbers  # [1]

    @classmethod
    def fit(cls, plain: Numbers, bins: int, smoothing: float, reach: float) -> Histograms:
        """Histograms of `bins` bins of even width; `smoothing` is added to each density."""
        from pyod.models.hbos import HBOS  # heavy, and only training needs it

        found = HBOS(n_bins=bins, alpha=smoothing, tol=reach).fit(plain)
        density, rarity = histogram_tables(found.hist_, found.bin_edges_, smoothing)
        return cls(found.bin_edges_, density, rarity, np.array([reach]))

    def scores(self, plain: Numbers) -> Numbers:
        """Of each vector minus the sum."""
        out = np.empty(len(plain))
        _minus_sums(self.density, plain, np.ascontiguousarray(self.edges.T), self.reach[0], out)
        return out

    def fits(self, width: int) -> bool:
        """Whether the parts belong together and to vectors of this width."""
        shapes = {self.edges.shape, self.density.shape, self.rarity.shape}
        return len(shapes) == 1 and self.edges.shape[1:] == (width,) and self.reach.shape == (1,)


def rarest(histograms: Histograms, plain: Numbers, k: int) -> tuple[NDArray[np.int64], Numbers]:
    """(of each vector the places of the `k` features of which the fewest training vectors had a value as
    rare; among equally rare ones the further from the middle comes first, `histograms.scores`)."""
    out, sums = np.empty((len(plain), min(k, plain.shape[1])), np.int64), np.empty(len(plain))
    tables = histograms.rarity, histograms.density
    _rarest(*tables, plain, np.ascontiguousarray(histograms.edges.T), histograms.reach[0], out, sums)
    return out, sums


def isolating_trees(model: IForest) -> Iterator[Tree]:
    """The forest's trees, each leaf's value the depth at which it isolates a row."""
    for estimator in model.estimators_:
        tree = estimator.tree_
        thresholds = tree.threshold.astype(np.float32)
        # They go left on x <= t, t a double: in single precision that is x < the number above t rounded down.
        lower = np.nextafter(thresholds, np.float32(-np.inf))
        thresholds = np.where(thresholds > tree.threshold, lower, thresholds)
        yield Tree(
            tree.children_left,
            tree.children_right,
            tree.feature,
            np.nextafter(thresholds, np.float32(np.inf)),
            np.zeros(tree.node_count, bool),
            tree.compute_node_depths() - 1 + _expected_depth(tree.n_node_samples),
        )


def _expected_depth(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Depth that a random tree would still need to tell `rows` apart (equation 1 of the paper)."""
    more = np.maximum(rows, 3).astype(np.float64)
    general = 2.0 * (np.log(more - 1.0) + np.euler_gamma) - 2.0 * (more - 1.0) / more
    return np.asarray(np.select([rows <= 1, rows == 2], [0.0, 1.0], general), np.float64)


def histogram_tables(
    histogram: NDArray[np.float64], edges: NDArray[np.float64], smoothing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of `histogram` [bins, d] the logarithm of each bin's density and the share of rows in bins that are as
    rare.

    Both have one row more, for values outside of all bins.
    """
    mass = histogram * np.diff(edges, axis=0)
    rarity = np.zeros_like(mass)
    for row in range(len(mass)):
        rarity[row] = np.where(histogram <= histogram[row], mass, 0.0).sum(axis=0)
    density = np.log2(histogram + smoothing)
    return np.vstack([density, density.min(axis=0)]), np.vstack([rarity, np.zeros(rarity.shape[1])])


@njit(cache=True, error_model="numpy")
def _bin(x, edges, reach):  # type: ignore[no-untyped-def]
    """The bin of a value between the `edges` of one feature; the number of bins where it is outside, by more
    than `reach` of a bin. A value on an edge belongs to the bin that counted it at fit: the upper one, the
    last edge to the last."""
    bins = edges.size - 1
    first, last = edges[0], edges[bins]
    if x < first:
        return 0 if first - x <= reach * (edges[1] - first) else bins
    if x > last:
        return bins - 1 if x - last <= reach * (last - edges[bins - 1]) else bins
    at = 0
    if last > first:  # bins are of even width: the guess is right or next to it
        at = min(int((x - first) / (last - first) * bins), bins - 1)
    while at > 0 and x < edges[at]:
        at -= 1
    while at < bins - 1 and x >= edges[at + 1]:
        at += 1
    return at


@njit(cache=True, error_model="numpy")
def _minus_sums(table, plain, edges, reach, out):  # type: ignore[no-untyped-def]
    """Fill `out` [n] with minus the sum of `table[bin of plain[i, j], j]` over j, in the order of j."""
    for i in range(plain.shape[0]):
        total = 0.0
        for j in range(plain.shape[1]):
            total -= table[_bin(plain[i, j], edges[j], reach), j]
        out[i] = total


@njit(cache=True, error_model="numpy")
def _rarest(rarity, density, plain, edges, reach, out, sums):  # type: ignore[no-untyped-def]
    """Fill `out` [n, k] with the columns of the least `rarity[bin of plain[i, j], j]`, the least first, and
    `sums` [n] as `_minus_sums`."""
    k = out.shape[1]
    shares, distances = np.empty(k), np.empty(k)  # of those found so far
    for i in range(plain.shape[0]):
        found, total = 0, 0.0
        for j in range(plain.shape[1]):
            place = _bin(plain[i, j], edges[j], reach)
            total -= density[place, j]
            share, far = rarity[place, j], abs(plain[i, j])
            at = found
            while at > 0 and (
                share < shares[at - 1] or (share == shares[at - 1] and far > distances[at - 1])
            ):
                if at < k:
                    out[i, at] = out[i, at - 1]
                    shares[at], distances[at] = shares[at - 1], distances[at - 1]
                at -= 1
            if at < k:
                out[i, at] = j
                shares[at], distances[at] = share, far
                found = min(found + 1, k)
        sums[i] = total
