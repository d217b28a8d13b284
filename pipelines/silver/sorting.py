"""The sorter of a stream: landed rows in, the rows of silver's four tables out, each landed row in exactly
one.

It remembers from batch to batch which ids came. Silver's tables hold all of that too: a new sorter goes on
where another one was killed, also when the checkpoint was lost.
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
from pipelines.silver.known import KnownIds
from pipelines.silver.reasons import reason_class
from pipelines.silver.repeats import Arrival, repeats
from pipelines.silver.rules import moment
from pipelines.silver.sheets import Clerk, Sheet
from pipelines.silver.stored import (
    ID,
    Place,
    Stored,
    event_times,
    highest_offset,
    known_ids,
    milliseconds,
    places,
    time_of,
)

GOOD = (EVENTS, DECISIONS, ITEMS)
ROWS_AT_ONCE = 20_000  # rows that are judged together: what was learnt from some helps with the next
KEEP_ALL = 2_000_000  # ids of a table up to which none is forgotten
_MINUTE_MS = 60_000
_WHERE_FROM = ["topic", "partition", "offset", "arrived_at"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sorted:
    """A batch of landed rows, sorted: each table's rows, in the order in which they are written, and what was
    counted."""

    rows: tuple[tuple[Table, pa.Table], ...]
    counts: dict[str, int]


class Sorter:
    """Sorts the micro-batches of one stream, in their order; `stored` answers for what silver holds.

    Whoever cannot write what it got makes a new sorter: this one counts on its rows being in silver.
    """

    def __init__(self, domain: Domain, silver: Silver, stored: Stored) -> None:
        self._clerk = Clerk(domain, silver)
        self._stored = stored
        self._within_ms = silver.watermark_minutes * _MINUTE_MS
        self._known: dict[str, KnownIds] = {}
        self._first_batch = self._refined_up_to = -1

    def sort(self, landed: pa.Table, batch_id: int) -> Sorted:
        """Rows of a batch, sorted; a batch may come in several pieces.

        Rows that silver holds already are left out: those of a repeated batch, or behind a lost checkpoint.
        """
        if not self._known:
            self._recall(batch_id)
        new = ~self._already_there(landed, may_be_repeated=0 < batch_id == self._first_batch)
        sheets = self._sheets(landed, new)
        refused = [(s.positions, s.columns["reasons"]) for s in sheets if s.table is QUARANTINE]
        rows: list[tuple[Table, pa.Table]] = []
        for table in GOOD:
            good = _together(table, sheets)
            if good is not None:
                again = self._repeats(good, landed)
                refused.append(
                    (good.positions[again], _duplicates(good.columns.filter(pa.array(again)), table))
                )
                rows.append((table, self._finished(good, ~again, landed)))
        rows.append((QUARANTINE, _quarantined(landed, refused)))
        return Sorted(tuple(rows), _counts(landed.num_rows, int(np.count_nonzero(~new)), rows))

    def _recall(self, batch_id: int) -> None:
        """Learn from silver what an earlier sorter knew.

        Before batch 0 nothing was sorted, but silver may hold its rows and later ones: then a checkpoint was
        lost.
        """
        for table in GOOD:
            self._known[table.name] = known_ids(self._stored, table, self._watermark_of(table))
        self._first_batch = batch_id
        if batch_id == 0:
            self._refined_up_to = highest_offset(self._stored)

    def _watermark_of(self, table: Table) -> int | None:
        """How far apart the event times of a row and its repeat may be; None: an item never changes at a
        time."""
        return None if table is ITEMS else self._within_ms

    def _already_there(self, landed: pa.Table, may_be_repeated: bool) -> Mask:
        done = np.zeros(landed.num_rows, dtype=bool)
        offsets = landed["offset"].to_numpy()
        asked = np.arange(len(done)) if may_be_repeated else np.flatnonzero(offsets <= self._refined_up_to)
        if len(asked):
            times = milliseconds(landed["arrived_at"])[asked]
            there = places(self._stored, int(times.min()), int(times.max()) + 1)
            done[asked] = [place in there for place in _places(landed.take(pa.array(asked)))]
        return done

    def _sheets(self, landed: pa.Table, wanted: Mask) -> list[Sheet]:
        positions = np.flatnonzero(wanted)
        chosen = landed if wanted.all() else landed.take(pa.array(positions))
        return [
            Sheet(sheet.table, positions[start + sheet.positions], sheet.columns)
            for start in range(0, chosen.num_rows, ROWS_AT_ONCE)
            for sheet in self._clerk.sheets(chosen.slice(start, ROWS_AT_ONCE))
        ]

    def _repeats(self, good: Sheet, landed: pa.Table) -> Mask:
        """Which good rows are repeats; the others are known from now on."""
        table, known = good.table, self._known[good.table.name]
        within = self._watermark_of(table)
        times = milliseconds(good.columns[time_of(table)])

        def arrivals(rows: list[int]) -> list[Arrival]:
            asked = landed.select(_WHERE_FROM).take(pa.array(good.positions[rows]))
            return list(zip(milliseconds(asked["arrived_at"]).tolist(), _places(asked), strict=True))

        again = repeats(
            good.columns[ID[table.name]],
            times,
            arrivals,
            known,
            ask=partial(event_times, self._stored, table),
            within_ms=within or 0,
        )
        if within is not None and len(known) > KEEP_ALL:
            known.forget_before(int(times.max()) - 2 * within)
        return again

    def _finished(self, good: Sheet, new: Mask, landed: pa.Table) -> pa.Table:
        """The rows of a table as its contract has them."""
        positions = good.positions[new]
        columns = good.columns if new.all() else good.columns.filter(pa.array(new))
        found = dict(zip(columns.column_names, columns.columns, strict=True))
        found |= _taken(landed, positions, _WHERE_FROM)
        if "is_late" in good.table.schema.names:
            behind = milliseconds(found["arrived_at"]) - milliseconds(found["event_time"])
            late = pa.array(behind > self._within_ms)
            found |= {"event_date": found["event_time"].cast(pa.date32()), "is_late": late}
        return _conform(found, good.table)


def _places(rows: pa.Table) -> list[Place]:
    return list(zip(*(rows[name].to_pylist() for name in ("topic", "partition", "offset")), strict=True))


def _together(table: Table, sheets: list[Sheet]) -> Sheet | None:
    ours = [sheet for sheet in sheets if sheet.table is table and len(sheet.positions)]
    if not ours:
        return None
    return Sheet(
        table,
        np.concatenate([s.positions for s in ours]),
        pa.concat_tables([s.columns for s in ours]).combine_chunks(),
    )


def _duplicates(rows: pa.Table, table: Table) -> pa.ChunkedArray:
    """The reasons of repeats."""
    name = ID[table.name]
    sentences = [[f"duplicate of {name} {found}"] for found in rows[name].to_pylist()]
    if table is ITEMS:
        times = [moment(int(ms)) for ms in milliseconds(rows["valid_from"])]
        remedy = "a change of an item needs a later valid_from"
        sentences = [
            [f"{s}, valid from {time}: {remedy}"] for (s,), time in zip(sentences, times, strict=True)
        ]
    return pa.chunked_array([pa.array(sentences, pa.list_(pa.string()))])


def _quarantined(landed: pa.Table, refused: list[tuple[npt.NDArray[np.int64], pa.ChunkedArray]]) -> pa.Table:
    """Raw rows with their reasons, in the order of the batch."""
    positions = np.concatenate([np.zeros(0, dtype=np.int64), *(at for at, _ in refused)])
    reasons = pa.chunked_array(
        [chunk for _, given in refused for chunk in given.chunks], pa.list_(pa.string())
    )
    order = np.argsort(positions)
    found = _taken(landed, positions[order], ["value", "key", "headers", *_WHERE_FROM])
    found |= {
        "reasons": reasons.take(pa.array(order)),
        "quarantined_date": found["arrived_at"].cast(pa.date32()),
    }
    return _conform(found, QUARANTINE)


def _taken(
    landed: pa.Table, positions: npt.NDArray[np.int64], names: list[str]
) -> dict[str, pa.ChunkedArray]:
    rows = landed.select(names)
    is_all = len(positions) == landed.num_rows and bool((np.diff(positions) == 1).all())
    rows = rows if is_all else rows.take(pa.array(positions))
    return {name: rows[name] for name in names}


def _conform(columns: dict[str, pa.ChunkedArray], table: Table) -> pa.Table:
    schema = arrow_schema(table.schema)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _counts(consumed: int, already: int, rows: list[tuple[Table, pa.Table]]) -> dict[str, int]:
    """What a batch had: rows consumed, in each table, late, and quarantined by the class of their first
    reason."""
    found = Counter({"consumed": consumed, "refined before": already})
    for table, frame in rows:
        found[table.name] = frame.num_rows
        if "is_late" in frame.column_names:
            found["late"] += pc.sum(frame["is_late"]).as_py() or 0
    quarantined = next(frame for table, frame in rows if table is QUARANTINE)
    found.update(
        f"quarantined: {reason_class(first)}"
        for first in pc.list_element(quarantined["reasons"], 0).to_pylist()
    )
    return dict(found)
