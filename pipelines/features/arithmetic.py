"""Formulas that several kinds share."""

from __future__ import annotations

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled


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
