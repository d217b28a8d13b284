"""Which good rows are repeats: rows whose id another row had within the watermark, and which arrived before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.silver.known import KnownIds, Numbers

Mask = npt.NDArray[np.bool_]
Stored = Callable[[list[str], int, int], dict[str, list[int]]]
"""Ids, least and greatest event time → event times, by id, of the rows with one of these ids in that span."""


def repeats(
    ids: pa.ChunkedArray,
    numbers: Numbers,
    times_ms: Numbers,
    order: Callable[[int], tuple[int, str, int, int]],
    known: KnownIds,
    stored: Stored,
    within_ms: int,
) -> Mask:
    """Which rows of a batch are repeats of a row that is known, stored, or earlier in the batch by `order`.

    `numbers` are the identities of `ids`. Rows from before what `known` covers are asked of `stored`.
    """
    found = known.near(numbers, times_ms, within_ms)
    uncovered = np.flatnonzero(~found & (times_ms - within_ms < known.horizon_ms))
    if len(uncovered):
        asked = times_ms[uncovered]
        times = stored([ids[at].as_py() for at in uncovered], int(asked.min()) - within_ms, int(asked.max()) + within_ms)
        for at in uncovered:
            found[at] = any(abs(int(times_ms[at]) - time) <= within_ms for time in times.get(ids[at].as_py(), ()))
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    together: dict[str, list[int]] = {}
    for at in np.flatnonzero(counts[inverse] > 1):
        if not found[at]:
            together.setdefault(ids[at].as_py(), []).append(int(at))
    for positions in together.values():
        kept: list[int] = []
        for at in sorted(positions, key=order):
            time = int(times_ms[at])
            found[at] = any(abs(time - earlier) <= within_ms for earlier in kept)
            if not found[at]:
                kept.append(time)
    return found
