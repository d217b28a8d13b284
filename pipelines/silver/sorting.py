"""The sorter of a stream: landed rows in, the rows of silver's four tables out, each landed row in exactly one.

It remembers from batch to batch which ids came, and how far each partition had come. Silver's tables hold all of that too: a new
sorter goes on where another one was killed, also when the checkpoint was lost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS, QUARANTINE
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.domain import Domain
from pipelines.sections import Silver
from pipelines.silver import stored
from pipelines.silver.arrival import Arrivals, Source, arrivals
from pipelines.silver.known import KnownIds, identities
from pipelines.silver.reasons import reason_class
from pipelines.silver.repeats import repeats
from pipelines.silver.rules import moment
from pipelines.silver.sheets import Clerk, Sheet
from pipelines.silver.stored import ID, Read

GOOD = (EVENTS, DECISIONS, ITEMS)
ROWS_AT_ONCE = 20_000  # rows that are judged together: what was learnt from some helps with the next
KEEP_ALL = 2_000_000  # ids of a table up to which none is forgotten
_MINUTE_MS = 60_000
_WHERE_FROM = ["topic", "partition", "offset", "arrived_at"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sorted:
    """A batch of landed rows, sorted: each table's rows, in the order in which they are written, and what was counted."""

    rows: tuple[tuple[Table, pa.Table], ...]
    counts: dict[str, int]


class Sorter:
    """Sorts the micro-batches of one stream, in their order. `read` gives the rows of a table of silver.

    Whoever cannot write what it got makes a new sorter: this one counts on its rows being in silver.
    """

    def __init__(self, domain: Domain, silver: Silver, read: Read) -> None:
        self._clerk = Clerk(domain, silver)
        self._read = read
        self._within_ms = silver.watermark_minutes * _MINUTE_MS
        self._known: dict[str, KnownIds] = {}
        self._newest: dict[Source, int] = {}
        self._refined: dict[Source, int] = {}

    def sort(self, landed: pa.Table, batch_id: int) -> Sorted:
        """The batch, sorted. Rows that silver holds already, of a repeated batch or a lost checkpoint, are left out."""
        is_first = not self._known
        if is_first:
            self._recall(landed, batch_id)
        arrived = arrivals(landed, self._newest)
        done = self._already_there(arrived, may_be_repeated=is_first and batch_id > 0)
        sheets = self._sheets(landed, ~done)
        refused = [(sheet.positions, sheet.columns["reasons"]) for sheet in sheets if sheet.table is QUARANTINE]
        rows: list[tuple[Table, pa.Table]] = []
        for table in GOOD:
            good = _together(table, sheets)
            if good is not None:
                again = pa.array(self._repeats(good, arrived))
                refused.append((good.positions[np.asarray(again)], _duplicates(good.columns.filter(again), table)))
                rows.append((table, self._finished(good, pc.invert(again), landed, arrived)))
        rows.append((QUARANTINE, _quarantined(landed, refused)))
        self._newest |= arrived.reached()
        return Sorted(tuple(rows), counts(landed.num_rows, int(done.sum()), rows))

    def _recall(self, landed: pa.Table, batch_id: int) -> None:
        """Learn from silver what an earlier sorter knew.

        Batch 0 has nothing before it, but silver may hold its rows and the next ones: then the checkpoint was lost.
        """
        for table in GOOD:
            self._known[table.name] = stored.known_ids(self._read, table, None if table is ITEMS else self._within_ms)
        if batch_id == 0:
            self._refined = stored.last_offsets(self._read)
        else:
            self._newest = stored.newest_of_sources(self._read, arrivals(landed, {}).first_offsets())

    def _already_there(self, arrived: Arrivals, may_be_repeated: bool) -> Mask:
        done = np.zeros(len(arrived.offsets), dtype=bool)
        asked = np.arange(len(done)) if may_be_repeated else arrived.up_to(self._refined)
        if len(asked):
            times = arrived.arrived_ms[asked]
            places = stored.places(self._read, int(times.min()), int(times.max()))
            done[asked] = [arrived.place(at) in places for at in asked]
        return done

    def _sheets(self, landed: pa.Table, wanted: Mask) -> list[Sheet]:
        if wanted.all():
            chosen, positions = landed, np.arange(landed.num_rows)
        else:
            chosen, positions = landed.filter(pa.array(wanted)), np.flatnonzero(wanted)
        found = []
        for start in range(0, chosen.num_rows, ROWS_AT_ONCE):
            for sheet in self._clerk.sheets(chosen.slice(start, ROWS_AT_ONCE)):
                found.append(Sheet(sheet.table, positions[start + sheet.positions], sheet.columns))
        return found

    def _repeats(self, good: Sheet, arrived: Arrivals) -> Mask:
        """Which good rows are repeats; the others are known from now on."""
        table, known = good.table, self._known[good.table.name]
        within = 0 if table is ITEMS else self._within_ms
        ids = good.columns[ID[table.name]]
        numbers, times = identities(ids), _milliseconds(good.columns[table.event_time])
        again = repeats(
            ids,
            numbers,
            times,
            order=lambda row: arrived.key(int(good.positions[row])),
            known=known,
            stored=partial(stored.event_times, self._read, table),
            within_ms=within,
        )
        known.add(numbers[~again], times[~again])
        if within and len(known) > KEEP_ALL:
            known.forget_before(int(times.max()) - 2 * within)
        return again

    def _finished(self, good: Sheet, new: pa.Array, landed: pa.Table, arrived: Arrivals) -> pa.Table:
        """The rows of a table as its contract has them."""
        positions, columns = good.positions[np.asarray(new)], good.columns.filter(new)
        found = dict(zip(columns.column_names, columns.columns, strict=True))
        found |= _taken(landed, positions, _WHERE_FROM)
        if "is_late" in good.table.schema.names:
            late = _milliseconds(columns["event_time"]) < arrived.newest_ms[positions] - self._within_ms
            found |= {"event_date": columns["event_time"].cast(pa.date32()), "is_late": pa.array(late)}
        return _conform(found, good.table)


def _together(table: Table, sheets: list[Sheet]) -> Sheet | None:
    ours = [sheet for sheet in sheets if sheet.table is table and len(sheet.positions)]
    if not ours:
        return None
    return Sheet(
        table, np.concatenate([s.positions for s in ours]), pa.concat_tables([s.columns for s in ours]).combine_chunks()
    )


def _milliseconds(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = times.cast(pa.int64()).to_numpy() // 1000
    return found


def _duplicates(rows: pa.Table, table: Table) -> pa.ChunkedArray:
    """The reasons of repeats."""
    name = ID[table.name]
    sentences = [[f"duplicate of {name} {found}"] for found in rows[name].to_pylist()]
    if table is ITEMS:
        times = [moment(int(ms)) for ms in _milliseconds(rows["valid_from"])]
        remedy = "a change of an item needs a later valid_from"
        sentences = [[f"{s}, valid from {time}: {remedy}"] for (s,), time in zip(sentences, times, strict=True)]
    return pa.chunked_array([pa.array(sentences, pa.list_(pa.string()))])


def _quarantined(landed: pa.Table, refused: list[tuple[npt.NDArray[np.int64], pa.ChunkedArray]]) -> pa.Table:
    """Raw rows with their reasons, in the order of the batch."""
    positions = np.concatenate([np.zeros(0, dtype=np.int64), *(at for at, _ in refused)])
    reasons = pa.chunked_array([chunk for _, given in refused for chunk in given.chunks], pa.list_(pa.string()))
    order = np.argsort(positions)
    found = _taken(landed, positions[order], ["value", "key", "headers", *_WHERE_FROM])
    found |= {"reasons": reasons.take(pa.array(order)), "quarantined_date": found["arrived_at"].cast(pa.date32())}
    return _conform(found, QUARANTINE)


def _taken(landed: pa.Table, positions: npt.NDArray[np.int64], names: list[str]) -> dict[str, pa.ChunkedArray]:
    rows = landed.select(names)
    is_all = len(positions) == landed.num_rows and bool((np.diff(positions) == 1).all())
    rows = rows if is_all else rows.take(pa.array(positions))
    return {name: rows[name] for name in names}


def _conform(columns: dict[str, pa.ChunkedArray], table: Table) -> pa.Table:
    schema = arrow_schema(table.schema)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def counts(consumed: int, already: int, rows: list[tuple[Table, pa.Table]]) -> dict[str, int]:
    """What a batch had: rows consumed, in each table, late, and quarantined by the class of their first reason."""
    found = Counter({"consumed": consumed, "refined before": already})
    for table, frame in rows:
        found[table.name] = frame.num_rows
        if "is_late" in frame.column_names:
            found["late"] += pc.sum(frame["is_late"]).as_py() or 0
    quarantined = next(frame for table, frame in rows if table is QUARANTINE)
    found.update(f"quarantined: {reason_class(first)}" for first in pc.list_element(quarantined["reasons"], 0).to_pylist())
    return dict(found)
