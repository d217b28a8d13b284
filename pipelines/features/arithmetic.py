"""Formulas that several kinds share."""

from __future__ import annotations

import math

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled

LOGS = np.array([math.log1p(n) for n in range(1024)])
"""log(1 + n) of small counts: most are."""


@compiled
def log_of(amount: float) -> float:
    """log(1 + amount)."""
    if 0.0 <= amount < LOGS.size:
        whole = np.uint64(amount)
        if whole == amount:
            return float(LOGS[whole])
    return float(np.log1p(amount))


@compiled
def smoothed(part: float, whole: float, prior: float, smooth: float) -> float:
    """`part` per `whole` with `smooth` imagined wholes at the rate `prior`; without any, the plain rate."""
    return (part + smooth * prior) / (whole + smooth) if smooth else part / whole


@compiled
def aggregated(how: int, total: float, largest: float, smallest: float, found: int) -> float:
    """The chosen one of mean, max, min and sum of `found` numbers; NaN of none."""
    if found == 0:
        return np.nan
    if how == p.MEAN:
        return total / found
    if how == p.MAX:
        return largest
    return smallest if how == p.MIN else total
