"""The ids that silver holds, as numbers in this process: whether a row came before is asked of memory, not of
the table.

An id is kept as 64 bits of its hash with its event time, 16 bytes a row. That two ids of a window share a
hash has a chance of (rows in the window) / 2^64 for each row: 1 in 10^12 with 18 million rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

EVERYTHING = np.iinfo(np.int64).min
"""Horizon of what knows every row of its table."""


def identities(ids: pa.ChunkedArray | pa.Array) -> Numbers:
    """A number for each id, the same in every process."""
    texts = ids.to_numpy() if isinstance(ids, pa.ChunkedArray) else ids.to_numpy(zero_copy_only=False)
    return pd.util.hash_array(texts, categorize=False).view(np.int64)


class KnownIds:
    """Ids with their event times (milliseconds) of the rows of one table from `horizon_ms` on.

    Kept as sorted runs, each at least twice as long as the next, so that a look-up asks few and a row is
    merged a few times only.
    """

    def __init__(self, horizon_ms: int = EVERYTHING) -> None:
        self.horizon_ms = horizon_ms
        self._runs: list[tuple[Numbers, Numbers]] = []

    def __len__(self) -> int:
        return sum(len(run) for run, _ in self._runs)

    def add(self, ids: Numbers, times_ms: Numbers) -> None:
        """Know these rows from now on."""
        if not len(ids):
            return
        self._runs.append(_sorted(ids, times_ms))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (newer, newer_times), (older, older_times) = self._runs.pop(), self._runs.pop()
            self._runs.append(
                _sorted(np.concatenate([older, newer]), np.concatenate([older_times, newer_times]))
            )

    def forget_before(self, horizon_ms: int) -> None:
        """Keep only rows from then on."""
        self.horizon_ms = max(self.horizon_ms, horizon_ms)
        kept = [(run[times >= horizon_ms], times[times >= horizon_ms]) for run, times in self._runs]
        self._runs = [pair for pair in kept if len(pair[0])]

    def near(self, ids: Numbers, times_ms: Numbers, within_ms: int) -> Mask:
        """Which of the rows have a known id whose event time is at most `within_ms` away."""
        found = np.zeros(len(ids), dtype=bool)
        order = np.argsort(ids)
        wanted, wanted_times = ids[order], times_ms[order]
        for run, times in self._runs:
            at = np.searchsorted(run, wanted)
            open_ = np.flatnonzero(at < len(run))
            while len(open_):
                open_ = open_[run[at[open_]] == wanted[open_]]
                is_near = np.abs(times[at[open_]] - wanted_times[open_]) <= within_ms
                found[order[open_[is_near]]] = True
                at[open_] += 1
                open_ = open_[~is_near & (at[open_] < len(run))]
        return found


def _sorted(ids: Numbers, times_ms: Numbers) -> tuple[Numbers, Numbers]:
    order = np.argsort(ids, kind="stable")
    return ids[order], times_ms[order]
