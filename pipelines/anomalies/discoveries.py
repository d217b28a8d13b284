"""Which p-values are discoveries: Benjamini and Hochberg in each batch, at levels that keep the share of
false discoveries in a decaying memory of batches.

A batch's level follows Zrnic, Jiang, Ramdas, Jordan: The Power of Batching in Multiple Hypothesis Testing
(AISTATS 2020, algorithm 1), with the weights of Ramdas, Yang, Wainwright, Jordan: Online control of the false
discovery rate with decaying memory (NeurIPS 2017): a batch counts `decay` times as much as the one after it,
so that what was spent long ago comes back and a stream without an end keeps finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
SPENT_AT_ONCE = 0.5
"""Share of the level that the memory leaves which one batch takes."""
FORGOTTEN = 1e-4
"""Weight below which a batch is not remembered."""


@dataclass(frozen=True)
class Past:
    """What is kept of a batch: the level it was tested at, how many discoveries it made, and the most it
    could have made had one p-value been 0."""

    level: float
    found: int
    most: int


def benjamini_hochberg(p: Numbers, level: float) -> NDArray[np.bool_]:
    """Which of the hypotheses are discoveries, so that of these a share of `level` is false at most, on
    average (Benjamini, Hochberg 1995; under positive dependence: Benjamini, Yekutieli 2001). A p-value that
    is no number is never one."""
    known = np.where(np.isnan(p), 2.0, p)
    limit = _limit(np.sort(known), level)
    return np.asarray(known <= limit)


def most_found(p: Numbers, level: float) -> int:
    """The most discoveries that the batch could have made had one of its p-values been 0; at least 1."""
    ordered = np.sort(np.where(np.isnan(p), 2.0, p))
    if not ordered.size:
        return 0
    places = np.arange(1, ordered.size + 1)
    shifted = np.concatenate([[0.0], ordered[:-1]])
    return int(places[shifted <= level * places / ordered.size].max(initial=1))


def next_level(past: Sequence[Past], tests: int, share: float, decay: float) -> float:
    """The level of the next batch of so many hypotheses, after these batches, the oldest first: it is decided
    before the batch's p-values are seen.

    For p-values that are independent, given their calibration, the weighted share of false discoveries stays
    at most `share` after each batch.
    """
    if not tests:
        return 0.0
    weights = decay ** np.arange(len(past), 0, -1, dtype=np.float64)
    found, most = (np.array([getattr(one, name) for one in past], np.float64) for name in ("found", "most"))
    levels = np.array([one.level for one in past], np.float64)
    others = float(weights @ found) - weights * found
    own = weights * most
    used = float(np.sum(levels * own / np.maximum(own + others, 1.0)))
    together = float(weights @ found)
    left = max(share - used, 0.0) * (tests + together) / tests
    return min(SPENT_AT_ONCE * left, share)


def remembered(decay: float) -> int:
    """How many batches weigh enough to be kept."""
    return int(np.ceil(np.log(FORGOTTEN) / np.log(decay))) if 0 < decay < 1 else 1


def judge(past: Sequence[Past], p: Numbers, share: float, decay: float) -> tuple[NDArray[np.bool_], Past]:
    """(discoveries of the next batch, what is kept of it)."""
    level = next_level(past, len(p), share, decay)
    found = benjamini_hochberg(p, level)
    return found, Past(level, int(found.sum()), most_found(p, level))


def _limit(ordered: Numbers, level: float) -> float:
    """The greatest p-value that is a discovery; below 0 where there is none."""
    places = np.arange(1, ordered.size + 1)
    under = ordered <= level * places / max(ordered.size, 1)
    return float(ordered[under][-1]) if under.any() else -1.0
