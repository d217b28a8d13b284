"""How far beyond everything known a single feature is.

Shares of training vectors cannot be smaller than one of them, so detectors that count by shares hear no
difference between a value just above the highest and one a hundred times as high. Each feature's upper and
lower tail is therefore taken to fall off exponentially, which it does or faster for all but the heaviest
tails, since vectors are bent (see `outlier_scale`); what that makes rarer than one training vector counts.

A count goes by steps. Where nearly all training vectors have the same, the few that have one more are far
out in spreads, however common they are, so a tail begins behind that step: a second address in five minutes,
which one customer in three thousand has, is rare, but not beyond everything known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.models.densities import Frozen
from pipelines.models.outlier_scale import straight

Numbers = NDArray[np.float64]
TAIL, OUTERMOST = 0.02, 0.002
"""Shares of the training values that lie in a tail, and that it is not measured by: there may be outliers."""
STEP = 1.0 + 1e-6
"""Steps that are taken for one, since spreads are rounded."""
SHORTEST = 0.25
"""Least mean length of a tail, in bent spreads."""
CUT_MEAN = 1.0 - (OUTERMOST / TAIL) * math.log(TAIL / OUTERMOST) / (1.0 - OUTERMOST / TAIL)
"""Mean of an exponential variable without its outermost part, over its mean with it."""


@dataclass(frozen=True)
class Extremes(Frozen):
    """Of each feature's upper and lower tail [2, d] where it starts, its mean length, and by how much the
    logarithm of its share of training vectors lies above that of one of them."""

    start: Numbers
    length: Numbers
    head: Numbers

    @classmethod
    def fit(cls, bent: Numbers, steps: Numbers | None = None) -> Extremes:
        """The tails of bent training vectors [n, d]; `steps` [d] are those of features that go by steps, in
        spreads, 0 for the others."""
        sides = np.stack([bent, -bent])
        start = np.quantile(sides, 1 - TAIL, axis=1, method="higher")
        end = np.quantile(sides, 1 - OUTERMOST, axis=1, method="higher")
        beyond = sides > start[:, None]
        if steps is not None:
            following = np.where(beyond, sides, np.inf).min(axis=1)
            is_next = straight(following) - straight(start) <= STEP * steps
            start = np.where(is_next, following, start)
        measured = beyond & (sides <= end[:, None])
        excess = np.where(measured, sides - start[:, None], 0.0).sum(axis=1)
        length = excess / np.maximum(measured.sum(axis=1), 1) / CUT_MEAN
        return cls(start, np.maximum(length, SHORTEST), np.log(np.maximum(beyond.sum(axis=1), 1.0)))

    def scores(self, bent: Numbers) -> Numbers:
        """Of each bent vector [n, d] minus the logarithm of how many training vectors would have a feature
        as far out, of the most extreme one; 0 where that is one or more."""
        out = np.empty(len(bent))
        _furthest(np.ascontiguousarray(bent), self.start, self.length, self.head, out)
        return out

    def fits(self, width: int) -> bool:
        """Whether it judges vectors of this width."""
        return all(array.shape == (2, width) for array in self.arrays().values())


@njit(cache=True, error_model="numpy")
def _furthest(bent, start, length, head, out):  # type: ignore[no-untyped-def]
    for i in range(bent.shape[0]):
        most = 0.0
        for j in range(bent.shape[1]):
            up = (bent[i, j] - start[0, j]) / length[0, j] - head[0, j]
            down = (-bent[i, j] - start[1, j]) / length[1, j] - head[1, j]
            most = max(most, up, down)
        out[i] = most
