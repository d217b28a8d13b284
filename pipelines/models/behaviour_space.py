"""Vectors and neighbours of items from who did what with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pipelines.models.text_space import leading, unit

Ints = NDArray[np.int64]
MOST_LIKED, MOST_SHOWN = 64, 256
"""Items of one user that count at most, the latest ones: pairs grow with their square."""
EVEN = 0.75
"""Exponent that makes rare items' contexts weigh more (Levy, Goldberg and Dagan 2015)."""


@dataclass(frozen=True)
class Touches:
    """Users and items that met, by row number: the first time (ms) for each pair, in any order."""

    users: Ints
    items: Ints
    times: Ints

    def before(self, time: int) -> Touches:
        """Those that had happened by then."""
        chosen = self.times < time
        return Touches(self.users[chosen], self.items[chosen], self.times[chosen])

    def matrix(self, users: int, items: int, most: int) -> Any:
        """[users, items] of 0 and 1, with the `most` latest items of each user."""
        order = np.lexsort((self.items, -self.times, self.users))
        of = self.users[order]
        starts = np.searchsorted(of, np.arange(users))
        kept = order[np.arange(of.size) - starts[of] < most]
        ones = np.ones(kept.size)
        found = sp.csr_matrix((ones, (self.users[kept], self.items[kept])), (users, items))
        found.data[:] = 1.0  # one pair may be given twice
        return found


def behaviour_vectors(liked: Any, size: int, seed: int) -> NDArray[np.float32]:
    """Vectors of length one of items that users like together: a truncated SVD of their positive pointwise
    mutual information (Levy and Goldberg 2014). Zeros for an item that goes with no other."""
    together = (liked.T @ liked).tocoo()
    apart = together.row != together.col
    nothing = np.bincount(together.row[apart], minlength=liked.shape[1]) == 0
    # An item goes with itself too: without that, two items that only go with each other would be unlike.
    kept = ~nothing[together.row]
    rows, columns, counts = together.row[kept], together.col[kept], together.data[kept]
    if not counts.size:
        return np.zeros((liked.shape[1], size), np.float32)
    totals = np.bincount(rows, counts, liked.shape[1])
    even = totals**EVEN
    information = np.log(counts * even.sum() / (totals[rows] * even[columns]))
    chosen = information > 0
    matrix = sp.csr_matrix((information[chosen], (rows[chosen], columns[chosen])), together.shape)
    if not matrix.nnz:
        return np.zeros((liked.shape[1], size), np.float32)
    directions = leading(matrix, size, seed)
    strength = np.sqrt(np.linalg.norm(matrix @ directions, axis=0))
    # Each direction weighs with the root of its strength: neither the first ones alone, nor all alike.
    return unit(np.asarray(matrix @ directions) / np.where(strength > 0, strength, 1.0))


@dataclass(frozen=True)
class Neighbours:
    """Of item i the others `items[starts[i]:starts[i + 1]]`, ascending, with a score each."""

    starts: Ints
    items: Ints
    scores: NDArray[np.float32]


def covisits(liked: Any, shown: Any, smooth: float, keep: int) -> Neighbours:
    """How much liking one item says of another: log(((both + s p) / (seen + s)) / p).

    `both` counts users who liked h and j, `seen` those who liked h and met j, p is j's own rate, smoothed
    by s users of the overall rate. Kept are the `keep` strongest of each h, either way; none with itself.
    """
    shown = ((shown + liked) > 0).astype(np.float64)
    likes, meetings = (np.asarray(matrix.sum(axis=0)).ravel() for matrix in (liked, shown))
    overall = likes.sum() / max(meetings.sum(), 1.0)
    own = (likes + smooth * overall) / (meetings + smooth)
    seen = (liked.T @ shown).tocoo()
    apart = seen.row != seen.col
    rows, columns = seen.row[apart].astype(np.int64), seen.col[apart].astype(np.int64)
    both = np.asarray((liked.T @ liked).tocsr()[rows, columns]).ravel() if rows.size else np.zeros(0)
    base = own[columns]
    scores = np.log((both + smooth * base) / (seen.data[apart] + smooth) / base)
    order = np.lexsort((columns, -np.abs(scores), rows))
    starts = np.searchsorted(rows[order], np.arange(liked.shape[1] + 1))
    kept = order[np.arange(order.size) - starts[rows[order]] < keep]
    kept = kept[np.lexsort((columns[kept], rows[kept]))]
    ends = np.searchsorted(rows[kept], np.arange(liked.shape[1] + 1))
    return Neighbours(ends.astype(np.int64), columns[kept], scores[kept].astype(np.float32))
