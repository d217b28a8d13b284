"""Scores of any scale as shares of training vectors: what makes detectors comparable."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
KEPT_SCORES = 10_000
"""Training scores that a model keeps of each detector to rank new ones by."""
CELLS, MANY = 4_096, 2_000
"""Parts of even width of the range of training scores, that tell of many scores where to look for them."""


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


def below(ordered: Numbers, scores: Numbers) -> NDArray[np.int64]:
    """How many of `ordered` are below each score; all of them where it is no number."""
    if len(scores) < MANY:
        return np.searchsorted(ordered, scores, side="left")
    out = np.empty(len(scores), np.int64)
    _below(ordered, scores, out)
    return out


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
    a_cell = _a_cell(ordered) if scores.size >= MANY else 0.0
    before = _cells(ordered, a_cell)
    for i in range(scores.size):
        x = scores[i]
        if x > highest:
            out[i] = math.log(size + 1.0)
            if reach > 0:
                out[i] += math.log1p((x - highest) / reach)
            continue
        lower = _place(ordered, before, a_cell, x)
        at_least = float(size - lower)
        if lower > 0 and ordered[lower] > x:
            at_least += (ordered[lower] - x) / (ordered[lower] - ordered[lower - 1])
        out[i] = math.log((size + 1.0) / (at_least + 1.0))


@njit(cache=True, error_model="numpy")
def _below(ordered, scores, out):  # type: ignore[no-untyped-def]
    size = ordered.size
    a_cell = _a_cell(ordered)
    before = _cells(ordered, a_cell)
    for i in range(scores.size):
        x = scores[i]
        out[i] = _place(ordered, before, a_cell, x) if x <= ordered[size - 1] else size


@njit(cache=True, error_model="numpy")
def _place(ordered, before, a_cell, x):  # type: ignore[no-untyped-def]
    """How many of `ordered` are below a score that is not above all of them."""
    low, high = 0, ordered.size
    if a_cell > 0.0 and x >= ordered[0]:
        cell = min(int((x - ordered[0]) * a_cell), CELLS - 1)
        low, high = before[cell], before[cell + 1]
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, error_model="numpy")
def _a_cell(ordered):  # type: ignore[no-untyped-def]
    """Cells to one of score; 0 where the scores have no range that could be parted."""
    wide = ordered[ordered.size - 1] - ordered[0]
    found = CELLS / wide if wide > 0.0 else 0.0
    return found if found < np.inf else 0.0


@njit(cache=True, error_model="numpy")
def _cells(ordered, a_cell):  # type: ignore[no-untyped-def]
    """How many of `ordered` are in cells before each one: what is in an earlier cell than a score is below
    it, what is in a later one above it."""
    before = np.zeros(CELLS + 1, np.int64)
    if a_cell > 0.0:
        for x in ordered:
            before[min(int((x - ordered[0]) * a_cell), CELLS - 1) + 1] += 1
        for cell in range(CELLS):
            before[cell + 1] += before[cell]
    return before
