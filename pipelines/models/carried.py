"""A shop's state carried along silver, and the features of the decisions on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.table import Table
from pipelines.features.catalog import Catalog, item_columns
from pipelines.features.columns import as_ms, lists
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_texts
from pipelines.features.history import ARRIVAL, DECISION_COLUMNS, EVENT_COLUMNS, in_arrival_order
from pipelines.features.replay import Probes, Replay
from pipelines.features.vectors import Vectors
from pipelines.models.packed_features import packed

OUT_OF_STEP_MS = 3_600_000
"""How much older than the newest version seen a new version of an item may be, for the stream to see it
before a restart."""

Place = tuple[str, int]


@dataclass(frozen=True)
class Silver:
    """How silver is read, and a table's newest version: Delta's functions, given by the job."""

    read: Callable[[Table], DataFrame]
    version: Callable[[Table], int]


class Carried:
    """The replay carrier, moved on by each micro-batch up to the arrival of its last decision.

    At a start it has seen nothing, and the first batch folds silver from the beginning: no state is stored
    that could be lost. Rows that reach silver behind what was folded in their partition (repaired ones) count
    from the next start on.
    """

    def __init__(self, definitions: Definitions, silver: Silver) -> None:
        self._definitions = definitions
        self._silver = silver
        self._replay = Replay(definitions, Catalog(definitions))
        self._next: dict[Place, int] = {}
        self._newest = 0
        self._items_next: dict[Place, int] = {}
        self._items_version = -1
        self._items_newest = 0

    def rows(self, decisions: pa.Table, vectors: Vectors | None = None) -> pa.Table:
        """The decisions' columns of contracts.scoring.TO_SCORE, from rows of silver.decisions
        (DECISION_COLUMNS), with the vectors of the ranker that will score them.

        Features are as of each decision; an item that a list shows twice is there once, at its first place.
        """
        events, listed = (
            self._unfolded(t, c) for t, c in ((EVENTS, EVENT_COLUMNS), (DECISIONS, DECISION_COLUMNS))
        )
        ends = self._ends(events, listed, decisions)
        events, listed = (
            rows.filter(pa.array(_offsets(rows) < _of(rows, ends))) for rows in (events, listed)
        )
        behind = decisions.filter(pa.array(_offsets(decisions) < _of(decisions, self._next)))
        together = pa.concat_tables([listed, behind.cast(listed.schema)])
        self._learn_items()
        self._replay.catalog.vectors = vectors
        history = in_arrival_order(events, together, self._definitions.events)
        # The others were scored before this start; they are folded like events, and nothing is read for them.
        is_wanted = np.append(_is_among(together, decisions), False)
        wanted = np.where(is_wanted[history.decision_rows], history.decision_rows, -1)
        probes = self._replay.advance(replace(history, decision_rows=wanted))
        self._next |= ends
        self._newest = max(self._newest, int(as_ms(decisions["arrived_at"]).max()))
        return _to_score(together, probes, self._definitions)

    def _unfolded(self, table: Table, columns: tuple[str, ...]) -> pa.Table:
        """Rows of the table that have not been folded."""
        rows = self._silver.read(table).select(*columns)
        if self._next:
            known = [(topic, partition, first) for (topic, partition), first in self._next.items()]
            names = ["topic", "partition", "first"]
            firsts = F.broadcast(rows.sparkSession.createDataFrame(known, names))
            since = F.timestamp_millis(F.lit(self._newest - OUT_OF_STEP_MS))
            recent = rows.where(F.col("arrived_at") >= since).join(firsts, names[:2], how="left")
            rows = recent.where(F.col("offset") >= F.coalesce("first", F.lit(0))).select(*columns)
        return rows.toArrow()

    def _ends(self, events: pa.Table, listed: pa.Table, decisions: pa.Table) -> dict[Place, int]:
        """Of each partition the offset up to which this batch folds it.

        That is everything up to a decision of the batch, and what arrived by the time of the last of them;
        but, from the second batch on, nothing behind a decision that is still to be scored.
        """
        last, until = _last_offsets(decisions), int(as_ms(decisions["arrived_at"]).max())
        by_place = _offsets_and_arrivals(events, listed)
        ends: dict[Place, int] = {}
        for place, (offsets, arrived) in by_place.items():
            inside = (np.maximum.accumulate(arrived) <= until) | (offsets <= last.get(place, -1))
            ends[place] = int(offsets[inside].max()) + 1 if inside.any() else self._next.get(place, 0)
        if self._next:
            waiting = listed.filter(pa.array(~_is_among(listed, decisions)))
            for place, (offsets, _) in _offsets_and_arrivals(waiting).items():
                later = offsets[offsets > last.get(place, -1)]
                if later.size:
                    ends[place] = min(ends[place], int(later.min()))
        return ends

    def _learn_items(self) -> None:
        version = self._silver.version(ITEMS)
        if version == self._items_version:
            return
        since = F.timestamp_millis(F.lit(self._items_newest - OUT_OF_STEP_MS))
        recent = self._silver.read(ITEMS).where(F.col("arrived_at") >= since)
        found = recent.select(*item_columns(self._definitions), *ARRIVAL).toArrow()
        new = found.filter(pa.array(_offsets(found) >= _of(found, self._items_next)))
        if new.num_rows:
            self._replay.catalog.learn(new)
            self._items_next |= {place: last + 1 for place, last in _last_offsets(new).items()}
            self._items_newest = max(self._items_newest, int(as_ms(new["arrived_at"]).max()))
        self._items_version = version


def _places(rows: pa.Table) -> list[Place]:
    return list(zip(rows["topic"].to_pylist(), rows["partition"].to_pylist(), strict=True))


def _offsets(rows: pa.Table) -> NDArray[np.int64]:
    return np.asarray(rows["offset"].to_numpy(), np.int64)


def _of(rows: pa.Table, by_place: dict[Place, int]) -> NDArray[np.int64]:
    """Of each row what its partition has in `by_place`, 0 for nothing."""
    return np.array([by_place.get(place, 0) for place in _places(rows)], np.int64)


def _last_offsets(rows: pa.Table) -> dict[Place, int]:
    found = rows.group_by(["topic", "partition"]).aggregate([("offset", "max")])
    return dict(zip(_places(found), found["offset_max"].to_pylist(), strict=True))


def _is_among(rows: pa.Table, decisions: pa.Table) -> NDArray[np.bool_]:
    known = pc.is_in(rows["decision_id"], value_set=decisions["decision_id"].combine_chunks())
    return np.asarray(known.to_numpy(), np.bool_)


def _offsets_and_arrivals(*tables: pa.Table) -> dict[Place, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each partition its rows' offsets, in order, and when they arrived (ms)."""
    both = pa.concat_tables([rows.select(list(ARRIVAL)) for rows in tables]).sort_by("offset")
    places, found = _places(both), {}
    numbers = {place: number for number, place in enumerate(dict.fromkeys(places))}
    of_place = np.array([numbers[place] for place in places], np.int64)
    offsets, arrived = _offsets(both), as_ms(both["arrived_at"])
    order = np.argsort(of_place, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(of_place[order])) + 1):
        if rows.size:
            found[places[rows[0]]] = (offsets[rows], arrived[rows])
    return found


def _to_score(decisions: pa.Table, probes: Probes, definitions: Definitions) -> pa.Table:
    probed = decisions.take(pa.array(probes.decision_rows))
    sizes, listed = lists(probed["items"])
    of_decision = np.repeat(np.arange(sizes.size), sizes)
    positions = np.arange(of_decision.size) - np.repeat(probes.starts[:-1], sizes) + 1
    hashes = hash_texts(listed)
    order = np.lexsort((positions, hashes, of_decision))
    repeats = np.append(False, (np.diff(hashes[order]) == 0) & (np.diff(of_decision[order]) == 0))[
        : order.size
    ]
    kept = np.sort(order[~repeats])
    starts = np.append(0, np.cumsum(np.bincount(of_decision[kept], minlength=sizes.size)))
    features = definitions.as_served(probes.features[kept])
    return pa.table(
        {
            "decision_id": probed["decision_id"],
            "user_id": probed["user_id"],
            "decided_at": probed["event_time"],
            "items": _in_lists(starts, listed.take(pa.array(kept))),
            "positions": _in_lists(starts, pa.array(positions[kept].astype(np.int32))),
            "features": packed(features, starts),
        }
    )


def _in_lists(starts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values)
