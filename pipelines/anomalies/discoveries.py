"""Which p-values are discoveries: Benjamini and Hochberg in each batch, at levels that keep the share of
false discoveries in a decaying memory of batches.

What is counted may be causes: hundreds of accounts that one device tries are one, and do not pay for ten
false ones. A threshold by such a count is never above that of Benjamini and Hochberg, and what they bound,
the false hypotheses over all that are found, is bounded over the causes (Blanchard, Roquain: Two simple
sufficient conditions for FDR control, Electronic Journal of Statistics 2, 2008).

A batch's level follows Zrnic, Jiang, Ramdas, Jordan: The Power of Batching in Multiple Hypothesis Testing
(AISTATS 2020, algorithm 1), with the weights of Ramdas, Yang, Wainwright, Jordan: Online control of the false
discovery rate with decaying memory (NeurIPS 2017): a batch counts `decay` times as much as the one after it,
so that what was spent long ago comes back and a stream without an end keeps finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
SPENT_AT_ONCE = 0.5
"""Share of the level that the memory leaves which one batch takes."""
FORGOTTEN = 1e-4
"""Weight below which a batch is not remembered."""


@dataclass(frozen=True)
class Past:
    """What is kept of a batch: the level it was tested at, how many causes it discovered, and the most that
    it could have discovered had one p-value been 0."""

    level: float
    found: int
    most: int


def benjamini_hochberg(p: Numbers, level: float, causes: Places | None = None) -> NDArray[np.bool_]:
    """Which of the hypotheses are discoveries, so that of these a share of `level` is false at most, on
    average (Benjamini, Hochberg 1995; under positive dependence: Benjamini, Yekutieli 2001). A p-value that
    is no number is never one. `causes` numbers each hypothesis' cause: then these are counted."""
    known = np.where(np.isnan(p), 2.0, p)
    return np.asarray(known <= _limit(*_counted(known, causes), level, p.size))


def most_found(p: Numbers, level: float, causes: Places | None = None) -> int:
    """The most that the batch could have discovered had one of its p-values been 0; at least 1."""
    return _most(*_counted(np.where(np.isnan(p), 2.0, p), causes), level, p.size)


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


def judge(
    past: Sequence[Past],
    p: Numbers,
    share: float,
    decay: float,
    causes: Callable[[Places], Places] | None = None,
) -> tuple[NDArray[np.bool_], Past]:
    """(discoveries of the next batch, what is kept of it). `causes` numbers the causes of hypotheses, given
    by their places; it is asked of few. Without it each is its own."""
    tests = len(p)
    level = next_level(past, tests, share, decay)
    few = np.flatnonzero(
        p <= _limit(np.sort(p), np.arange(2, tests + 2), level, tests)
    )  # no other one can be
    own = few if causes is None else causes(few)
    ordered, counts = _counted(p[few], own)
    found = p <= _limit(ordered, counts, level, tests)
    kept = Past(level, len(np.unique(own[found[few]])), _most(ordered, counts, level, tests))
    return found, kept


def _counted(p: Numbers, causes: Places | None) -> tuple[Numbers, Places]:
    """The p-values in order, and how many causes lie at or below each place."""
    if causes is None:
        return np.sort(p), np.arange(1, p.size + 1)
    order = np.argsort(p, kind="stable")
    opens = np.zeros(p.size, np.int64)
    opens[np.unique(causes[order], return_index=True)[1]] = 1
    return p[order], np.cumsum(opens)


def _limit(ordered: Numbers, counts: Places, level: float, tests: int) -> float:
    """The greatest p-value that is a discovery; below 0 where there is none."""
    under = ordered <= level * counts / max(tests, 1)
    return float(ordered[under][-1]) if under.any() else -1.0


def _most(ordered: Numbers, counts: Places, level: float, tests: int) -> int:
    """How many causes are discovered when one of the tests that are not in order yet has a p-value of 0."""
    more, shifted = np.append(1, counts + 1)[:tests], np.append(0.0, ordered)[:tests]
    return min(int(more[shifted <= level * more / max(tests, 1)].max(initial=1)), tests)
