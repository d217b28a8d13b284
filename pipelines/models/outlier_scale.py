"""How features are made comparable before any detector sees them: frozen at fit, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.models.densities import Frozen

Numbers = NDArray[np.float64]
USUAL = (0.025, 0.975)
"""Shares of training values below and up to a feature's usual range."""
FURTHEST = 1e6
"""Spreads from the middle at which a value counts as no further away."""


@dataclass(frozen=True)
class Scale(Frozen):
    """Of each feature its middle, its spread, and its usual range."""

    centre: Numbers
    spread: Numbers
    low: Numbers
    high: Numbers

    @classmethod
    def fit(cls, known: Numbers) -> Scale:
        """The scale of `known` [n, d], NaN where unknown: 0 and 1 where nothing is known, 1 where nothing
        varies."""
        width = known.shape[1]
        centre, spread, low, high = np.zeros(width), np.ones(width), np.zeros(width), np.zeros(width)
        for column in range(width):
            values = known[~np.isnan(known[:, column]), column]
            if not len(values):
                continue
            low[column], high[column] = np.quantile(values, USUAL)
            centre[column] = np.median(values)
            spread[column] = _spread(values)
        return cls(centre, spread, low, high)

    def plain(self, vectors: Numbers) -> Numbers:
        """The vectors in spreads from the middle, C-ordered; what is unknown or infinite is in the middle."""
        out = np.empty(vectors.shape)
        _plain(np.ascontiguousarray(vectors, np.float64), self.centre, self.spread, out)
        return out

    def steps(self, vectors: Numbers) -> Numbers:
        """Of each feature how many spreads lie between a whole number and the next, 0 where a vector has
        another number."""
        is_whole = (vectors == np.floor(vectors)) | ~np.isfinite(vectors)
        return np.where(is_whole.all(axis=0), 1.0 / self.spread, 0.0)

    def fits(self, width: int) -> bool:
        """Whether the parts belong together and to vectors of this width."""
        return all(array.shape == (width,) for array in self.arrays().values())


def bent(plain: Numbers) -> Numbers:
    """The same vectors with the logarithm of 1 + the distance from the middle in its place: heavy tails are
    drawn in."""
    out = np.empty(plain.shape)
    _bent(plain, out)
    return out


def straight(curved: Numbers) -> Numbers:
    """The plain vectors that are `bent` like these."""
    return np.copysign(np.expm1(np.abs(curved)), curved)


def _spread(values: Numbers) -> float:
    """The standard deviation of values that are bell-shaped; of others that of their middle half, unless
    that hardly varies."""
    furthest = float(np.abs(values).max()) or 1.0  # squares of huge numbers are no numbers
    values = values / furthest
    quarters = np.quantile(values, [0.25, 0.75])
    deviation = float(np.std(values))
    robust = float(quarters[1] - quarters[0]) / 1.349
    return ((robust if robust > deviation / 1000 else deviation) * furthest) or 1.0


# The kernels spell out loops: a library's vector routines may round a value otherwise at the end of a batch
# than in its middle.


@njit(cache=True, error_model="numpy")
def _plain(vectors, centre, spread, out):  # type: ignore[no-untyped-def]
    for i in range(vectors.shape[0]):
        for j in range(vectors.shape[1]):
            x = vectors[i, j]
            z = (x - centre[j]) / spread[j] if np.isfinite(x) else 0.0
            out[i, j] = min(max(z, -FURTHEST), FURTHEST)


@njit(cache=True, error_model="numpy")
def _bent(plain, out):  # type: ignore[no-untyped-def]
    for i in range(plain.shape[0]):
        for j in range(plain.shape[1]):
            out[i, j] = math.copysign(math.log1p(abs(plain[i, j])), plain[i, j])
