"""Questions to silver's own tables: what a stream of silver must know again after a start."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS, QUARANTINE
from pipelines.contracts.table import Table
from pipelines.errors import ContractError
from pipelines.silver.known import EVERYTHING, KnownIds, identities

TABLES = (EVENTS, DECISIONS, ITEMS, QUARANTINE)
ID = {EVENTS.name: "event_id", DECISIONS.name: "decision_id", ITEMS.name: "item_id"}
"""Table → the column that names what a row is about."""

Place = tuple[str, int, int]
"""Topic, partition and offset: a landed row."""


class Stored(Protocol):
    """What the sorting room asks of the lake."""

    def columns(
        self, table: Table, names: list[str], time: str | None = None, since_ms: int = 0, until_ms: int = 0
    ) -> pa.Table:
        """Columns of the table's rows; with `time`, of those whose time lies from `since_ms` to
        `until_ms`."""

    def greatest(self, table: Table, name: str) -> Any:
        """The greatest value of a column; None for a table without rows."""


def milliseconds(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Timestamps as milliseconds since 1970."""
    found: npt.NDArray[np.int64] = times.cast(pa.int64()).to_numpy() // 1000
    return found


def time_of(table: Table) -> str:
    """The column that holds a table's event time."""
    if table.event_time is None:
        raise ContractError(f"{table.name} names no event time, but silver looks for repeats by it")
    return table.event_time


def known_ids(stored: Stored, table: Table, within_ms: int | None) -> KnownIds:
    """The ids of a table's rows: all of them, or with `within_ms` those of twice that time before the newest
    row.

    Twice, so that every row that is not late finds all ids of the `within_ms` before its own event time.
    """
    name, time = ID[table.name], time_of(table)
    newest = stored.greatest(table, time)
    if newest is None:
        return KnownIds()
    if within_ms is None:
        known, rows = KnownIds(EVERYTHING), stored.columns(table, [name, time])
    else:
        newest_ms = int(newest.timestamp() * 1000) + 1
        known = KnownIds(newest_ms - 2 * within_ms)
        rows = stored.columns(table, [name, time], time, known.horizon_ms, newest_ms)
    known.add(identities(rows[name]), milliseconds(rows[time]))
    return known


def event_times(
    stored: Stored, table: Table, ids: list[str], since_ms: int, until_ms: int
) -> dict[str, list[int]]:
    """Event times, by id, of a table's rows with one of these ids, from `since_ms` to `until_ms`."""
    name, time = ID[table.name], time_of(table)
    rows = stored.columns(table, [name, time], time, since_ms, until_ms)
    rows = rows.filter(pc.is_in(rows[name], pa.array(ids, pa.string())))
    found: dict[str, list[int]] = {}
    for known, moment in zip(rows[name].to_pylist(), milliseconds(rows[time]).tolist(), strict=True):
        found.setdefault(known, []).append(moment)
    return found


def highest_offset(stored: Stored) -> int:
    """The highest offset that silver holds, of whatever source; -1 when it holds nothing."""
    found = [stored.greatest(table, "offset") for table in TABLES]
    return max((offset for offset in found if offset is not None), default=-1)


def places(stored: Stored, since_ms: int, until_ms: int) -> set[Place]:
    """The places of silver's rows that arrived from `since_ms` to `until_ms`."""
    names = ["topic", "partition", "offset"]
    found: set[Place] = set()
    for table in TABLES:
        rows = stored.columns(table, names, "arrived_at", since_ms, until_ms)
        found.update(zip(*(rows[name].to_pylist() for name in names), strict=True))
    return found
