"""What PyOD's detectors learnt, as plain numbers, and the kernels that judge with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.models.trees import Tree

if TYPE_CHECKING:
    from pyod.models.iforest import IForest


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
def bins_of(plain, edges, reach, out):  # type: ignore[no-untyped-def]
    """Fill `out` [n, d] with the bin of each value; the number of bins where it is outside, by more than
    `reach` of a bin."""
    bins = edges.shape[0] - 1
    for j in range(plain.shape[1]):
        own = edges[:, j].copy()
        first_reach, last_reach = reach * (own[1] - own[0]), reach * (own[bins] - own[bins - 1])
        for i in range(plain.shape[0]):
            x = plain[i, j]
            if x < own[0]:
                out[i, j] = 0 if own[0] - x <= first_reach else bins
            elif x > own[bins]:
                out[i, j] = bins - 1 if x - own[bins] <= last_reach else bins
            else:
                # A value on an edge belongs to the bin that counted it at fit: the upper one, the last edge
                # to the last.
                out[i, j] = min(np.searchsorted(own, x, side="right"), bins) - 1


@njit(cache=True, error_model="numpy")
def minus_sums(table, places, out):  # type: ignore[no-untyped-def]
    """Fill `out` [n] with minus the sum of `table[places[i, j], j]` over j, in the order of j."""
    for i in range(places.shape[0]):
        out[i] = 0.0
        for j in range(places.shape[1]):
            out[i] -= table[places[i, j], j]
