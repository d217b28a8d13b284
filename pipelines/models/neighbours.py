"""How far a vector lies from the nearest of a bounded set of training vectors, and how much sparser it is
there.

Distance to the k-th neighbour (Ramaswamy, Rastogi, Shim: Efficient Algorithms for Mining Outliers, 2000) and
the local outlier factor (Breunig et al.: LOF, 2000), both against a frozen reference of distinct vectors:
what PyOD's KNN and LOF give for a new row when they are fitted on that reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LEAST_DENSITY = 1e-10  # added to a mean reach, so that vectors on top of each other have a density


@dataclass(frozen=True)
class Neighbours:
    """A reference of distinct vectors float32[d, size], with what the local factor needs of each.

    `own` holds how many neighbours a vector that equals the reference vector has at no distance: more than
    none where training vectors were heaped on that very place.
    """

    nearest: int
    around: int
    reference: NDArray[np.float32]
    own: NDArray[np.int64]
    reach: NDArray[np.float64]
    density: NDArray[np.float64]

    @classmethod
    def fit(
        cls, plain: NDArray[np.float64], size: int, nearest: int, around: int, seed: int
    ) -> Neighbours | None:
        """A reference of at most `size` of the distinct vectors, drawn by chance; None of fewer than
        three."""
        distinct, copies = np.unique(plain.astype(np.float32), axis=0, return_counts=True)
        if len(distinct) < 3:
            return None
        if len(distinct) > size:
            drawn = np.sort(np.random.default_rng(seed).choice(len(distinct), size, replace=False))
            distinct, copies = distinct[drawn], copies[drawn]
        nearest, around = min(nearest, len(distinct) - 1), min(around, len(distinct) - 1)
        own = copies // (HEAP * int(np.median(copies)))
        columns = np.ascontiguousarray(distinct.T)
        most = max(nearest, around)
        far, who = np.empty((len(distinct), most)), np.empty((len(distinct), most), np.int64)
        _nearest(distinct, columns, own, far, who)
        reach = np.ascontiguousarray(far[:, around - 1])
        density = np.empty(len(distinct))
        _densities(far, who, around, reach, density)
        return cls(nearest, around, columns, own, reach, density)

    def scores(self, plain: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each vector the distance to its `nearest`-th neighbour, and the local factor among `around`."""
        rows = np.ascontiguousarray(plain, np.float32)
        most = max(self.nearest, self.around)
        far, who = np.empty((len(rows), most)), np.empty((len(rows), most), np.int64)
        _nearest(rows, self.reference, self.own, far, who)
        factor = np.empty(len(rows))
        _factors(far, who, self.around, self.reach, self.density, factor)
        return np.ascontiguousarray(far[:, self.nearest - 1]), factor

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as number arrays, for `from_arrays`."""
        return {
            "sizes": np.array([self.nearest, self.around]),
            "reference": self.reference,
            "own": self.own,
            "reach": self.reach,
            "density": self.density,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Neighbours:
        """The reference of `arrays`."""
        nearest, around = (int(n) for n in arrays["sizes"])
        return cls(
            nearest,
            around,
            np.ascontiguousarray(arrays["reference"], np.float32),
            np.asarray(arrays["own"], np.int64),
            np.asarray(arrays["reach"], np.float64),
            np.asarray(arrays["density"], np.float64),
        )

    def fits(self, width: int) -> bool:
        """Whether the parts belong together and to vectors of this width."""
        size = self.reference.shape[1] if self.reference.ndim == 2 else -1
        lengths = {len(self.own), len(self.reach), len(self.density), size}
        return (
            self.reference.shape == (width, size)
            and lengths == {size}
            and 0 < max(self.nearest, self.around) < size
        )


HEAP = 4
"""So many times the usual number of copies make a place a heap, whose vectors are each other's neighbours."""


# Sums run over features in their order, side by side for all reference vectors: no sum is ever regrouped, so
# that a distance has the same bits in any batch.


@njit(cache=True, error_model="numpy")
def _squares(row, reference, out):  # type: ignore[no-untyped-def]
    """Fill `out` [size] with the squared distances of a row to all reference vectors."""
    width, size = reference.shape
    out[:] = np.float32(0)
    j = 0
    while j + 4 <= width:  # four features at once: sums stay in a register meanwhile
        a, b, c, d = reference[j], reference[j + 1], reference[j + 2], reference[j + 3]
        x, y, z, w = row[j], row[j + 1], row[j + 2], row[j + 3]
        for r in range(size):
            s = out[r] + (x - a[r]) * (x - a[r])
            s += (y - b[r]) * (y - b[r])
            s += (z - c[r]) * (z - c[r])
            s += (w - d[r]) * (w - d[r])
            out[r] = s
        j += 4
    while j < width:
        a, x = reference[j], row[j]
        for r in range(size):
            out[r] += (x - a[r]) * (x - a[r])
        j += 1


@njit(cache=True, error_model="numpy")
def _bound(squares, least, k):  # type: ignore[no-untyped-def]
    """A number that at least k of the squares other than 0 do not pass, low enough that few others do:
    each of them is in one of `least.size` groups, and k groups have a least one up to here. Infinite where
    there are fewer groups."""
    groups = least.size
    if squares.size < 2 * groups:
        return np.float32(np.inf)
    least[:] = np.float32(np.inf)
    start = 0
    while start + groups <= squares.size:
        for g in range(groups):
            s = squares[start + g]
            s = s if s > np.float32(0) else np.float32(np.inf)
            least[g] = min(least[g], s)
        start += groups
    return np.partition(least, k - 1)[k - 1]


@njit(cache=True, error_model="numpy")
def _within(squares, bound, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the places of squares up to `bound`, in order; how many there are."""
    count = 0
    for r in range(squares.size):
        out[count] = r
        count += squares[r] <= bound
    return count


@njit(cache=True, error_model="numpy")
def _nearest(rows, reference, own, far, who):  # type: ignore[no-untyped-def]
    """Fill far, who [n, k] with the k nearest reference vectors of each row, the nearest first; one that
    equals the row is the row itself, and counts as `own` neighbours."""
    size = reference.shape[1]
    k = far.shape[1]
    squares = np.empty(size, np.float32)
    least = np.empty(2 * k, np.float32)
    near = np.empty(size, np.int64)
    for i in range(rows.shape[0]):
        _squares(rows[i], reference, squares)
        count = _within(squares, _bound(squares, least, k), near)
        found = 0
        worst = np.float32(np.inf)
        for c in range(count):
            r = near[c]
            s = squares[r]
            if s >= worst:
                continue
            times = 1 if s > 0 else min(own[r], k)
            for _ in range(times):
                at = min(found, k - 1)
                while at > 0 and far[i, at - 1] > s:
                    far[i, at] = far[i, at - 1]
                    who[i, at] = who[i, at - 1]
                    at -= 1
                far[i, at] = s
                who[i, at] = r
                found = min(found + 1, k)
            if found == k:
                worst = np.float32(far[i, k - 1])
        for at in range(found):
            far[i, at] = np.sqrt(far[i, at])
        for at in range(found, k):  # all others are the row itself, as single precision tells them apart
            far[i, at] = far[i, at - 1] if at > 0 else 0.0
            who[i, at] = who[i, at - 1] if at > 0 else 0


@njit(cache=True, error_model="numpy")
def _density(far, who, around, reach, i):  # type: ignore[no-untyped-def]
    total = 0.0
    for at in range(around):
        total += max(far[i, at], reach[who[i, at]])
    return 1.0 / (total / around + LEAST_DENSITY)


@njit(cache=True, error_model="numpy")
def _densities(far, who, around, reach, out):  # type: ignore[no-untyped-def]
    for i in range(far.shape[0]):
        out[i] = _density(far, who, around, reach, i)


@njit(cache=True, error_model="numpy")
def _factors(far, who, around, reach, density, out):  # type: ignore[no-untyped-def]
    for i in range(far.shape[0]):
        total = 0.0
        for at in range(around):
            total += density[who[i, at]]
        out[i] = total / around / _density(far, who, around, reach, i)
