"""How far features have moved: the population stability index of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

BINS = 10


def stability_indices(then: Features, now: Features, bins: int = BINS) -> Floats:
    """Of each column the population stability index (Siddiqi 2006) of its values `now` against `then`: the
    sum over bins of (p - q) ln(p / q), where p and q are the shares of the rows. 0 means no change; it is
    customary to call more than 0.25 a shift.

    Bins hold equal numbers of the rows `then`; missing values (NaN) are a bin of their own. A bin without
    rows counts as half a row.
    """
    width = then.shape[1]
    return np.array([_index(then[:, column], now[:, column], bins) for column in range(width)])


def _index(then: Features, now: Features, bins: int) -> float:
    known = then[~np.isnan(then)]
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.unique(np.quantile(known, inner, method="lower")) if known.size else np.zeros(0, np.float32)
    p, q = _shares(now, edges), _shares(then, edges)
    return float(np.sum((p - q) * np.log(p / q)))


def _shares(values: Features, edges: Features) -> Floats:
    """Share of the values in each bin (above the edge before it, up to its own), the missing ones last."""
    is_missing = np.isnan(values)
    places = np.where(is_missing, edges.size + 1, np.searchsorted(edges, values))
    counts = np.bincount(places, minlength=edges.size + 2)
    return np.maximum(counts, 0.5) / max(values.size, 1)
