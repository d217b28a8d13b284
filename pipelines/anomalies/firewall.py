"""The learning firewall: what somebody did while they are under suspicion teaches nothing.

Rows of a held entity are kept in bronze and silver like all others. They are left out of what learns:
training rows, statistics of items, states of users. So a hold can be taken back, by computing again without
it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.anomalies.reviews import Confirmed
from pipelines.features.columns import as_ms, whole

COLUMNS: Mapping[str, str] = {
    "user": "user_id",
    "session": "session_id",
    "device": "device_id",
    "address": "ip_hash",
}
"""Kinds of entities, and the column of silver's events and decisions that names them."""


def held(rows: pa.Table, holds: Iterable[Confirmed]) -> NDArray[np.bool_]:
    """Which rows of silver.events or silver.decisions some hold covers: by who did it, and by event time,
    from its start to before its end (see `reviews.held_out`).

    A hold on a kind of entity that `rows` has no column for covers nothing.
    """
    is_held = np.zeros(rows.num_rows, bool)
    by_kind: dict[str, dict[str, list[Confirmed]]] = defaultdict(lambda: defaultdict(list))
    for hold in holds:
        if COLUMNS.get(hold.entity) in rows.column_names:
            by_kind[COLUMNS[hold.entity]][hold.entity_id].append(hold)
    if not by_kind or not rows.num_rows:
        return is_held
    times = as_ms(rows["event_time"])
    for column, of_entity in by_kind.items():
        wanted = pa.array(list(of_entity), pa.string())
        place = pc.index_in(whole(rows[column]).cast(pa.string()), value_set=wanted)
        number = pc.fill_null(place, -1).to_numpy(zero_copy_only=False)
        suspects = np.flatnonzero(number >= 0)
        order = suspects[np.argsort(number[suspects], kind="stable")]
        starts = np.flatnonzero(np.diff(number[order], prepend=-1))
        names = list(of_entity)
        for group in np.split(order, starts[1:]):
            for hold in of_entity[names[number[group[0]]]] if group.size else ():
                at = times[group]
                is_held[group] |= (hold.from_ms <= at) & (at < hold.until_ms)
    return is_held


def taught_by(rows: pa.Table, holds: Sequence[Confirmed]) -> pa.Table:
    """The rows of silver.events or silver.decisions that no hold covers."""
    return rows.filter(pa.array(~held(rows, holds))) if holds else rows
