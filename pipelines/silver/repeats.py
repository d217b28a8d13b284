"""Which good rows are repeats: rows whose id another row has, which arrived before, within the watermark."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.silver.known import KnownIds, identities
from pipelines.silver.stored import Place

Mask = npt.NDArray[np.bool_]
Ask = Callable[[list[str], int, int], dict[str, list[int]]]
"""Ids, least and greatest event time → event times, by id, of stored rows with one of these ids in that
span."""
Arrival = tuple[int, Place]
"""When a row arrived (its Kafka timestamp) and where."""


def repeats(
    ids: pa.ChunkedArray,
    times_ms: npt.NDArray[np.int64],
    arrivals: Callable[[list[int]], list[Arrival]],
    known: KnownIds,
    ask: Ask,
    within_ms: int,
) -> Mask:
    """Which rows of a batch have the id of a row that is known, stored, or earlier in the batch, with an
    event time at most `within_ms` away. The others are known afterwards. `ask` is for rows older than what
    `known` covers."""
    numbers = identities(ids)
    found = known.near(numbers, times_ms, within_ms)
    uncovered = np.flatnonzero(~found & (times_ms - within_ms < known.horizon_ms))
    if len(uncovered):
        asked, moments = [ids[int(at)].as_py() for at in uncovered], times_ms[uncovered]
        times = ask(asked, int(moments.min()) - within_ms, int(moments.max()) + within_ms)
        for at, name in zip(uncovered, asked, strict=True):
            found[at] = any(abs(int(times_ms[at]) - time) <= within_ms for time in times.get(name, ()))
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    doubled = np.flatnonzero((counts[inverse] > 1) & ~found).tolist()
    together: dict[str, list[tuple[Arrival, int]]] = {}
    for row, arrived in zip(doubled, arrivals(doubled), strict=True):
        together.setdefault(ids[row].as_py(), []).append((arrived, row))
    for rows in together.values():
        kept: list[int] = []
        for row in in_order(rows):
            moment = int(times_ms[row])
            found[row] = any(abs(moment - earlier) <= within_ms for earlier in kept)
            if not found[row]:
                kept.append(moment)
    known.add(numbers[~found], times_ms[~found])
    return found


def in_order(rows: list[tuple[Arrival, int]]) -> list[int]:
    """Rows in the order in which they arrived.

    Within a partition that is the order of offsets, whatever their timestamps say. Between partitions it is
    the order of the highest timestamp that was reached.
    """
    found: list[tuple[int, Place, int]] = []
    by_place = sorted((place, arrived_ms, row) for (arrived_ms, place), row in rows)
    for _, group in groupby(by_place, key=lambda row: row[0][:2]):
        reached: int | None = None
        for place, arrived_ms, row in group:
            reached = arrived_ms if reached is None else max(reached, arrived_ms)
            found.append((reached, place, row))
    return [row for _, _, row in sorted(found)]
