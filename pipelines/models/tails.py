"""Scores of any scale as shares of training vectors: what makes detectors comparable."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
KEPT_SCORES = 10_000
"""Training scores that a model keeps of each detector to rank new ones by."""


def kept(scores: Numbers, most: int) -> Numbers:
    """The scores in order; of more than `most`, evenly spaced ones with the lowest and the highest."""
    ordered = np.sort(scores)
    if len(ordered) <= most:
        return ordered
    places = np.linspace(0, len(ordered) - 1, most).round().astype(np.int64)
    return np.asarray(ordered[places], np.float64)


def tail(ordered: Numbers, scores: Numbers) -> Numbers:
    """Of each score (1 + how many of `ordered` are at least as high) / (1 + how many there are)."""
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1.0 + at_least) / (1.0 + len(ordered)), np.float64)


def surprise(ordered: Numbers, scores: Numbers) -> Numbers:
    """Minus the logarithm of `tail`, of a score between two ranks that of its place between them. Above all
    training scores it goes on rising, as the logarithm of how far above, in distances of the highest from
    the middle."""
    out = np.empty(len(scores))
    _surprise(ordered, scores, out)
    return out


@njit(cache=True, error_model="numpy")
def _surprise(ordered, scores, out):  # type: ignore[no-untyped-def]
    size = ordered.size
    highest = ordered[size - 1]
    reach = highest - ordered[size // 2]
    for i in range(scores.size):
        x = scores[i]
        if x > highest:
            out[i] = math.log(size + 1.0)
            if reach > 0:
                out[i] += math.log1p((x - highest) / reach)
            continue
        below, above = 0, size  # the number of training scores below x
        while below < above:
            middle = (below + above) // 2
            if ordered[middle] < x:
                below = middle + 1
            else:
                above = middle
        at_least = float(size - below)
        if below > 0 and ordered[below] > x:
            at_least += (ordered[below] - x) / (ordered[below] - ordered[below - 1])
        out[i] = math.log((size + 1.0) / (at_least + 1.0))
