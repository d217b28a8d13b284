"""A shop's state carried along silver, and the features of the decisions on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.table import Table
from pipelines.features.catalog import Catalog
from pipelines.features.columns import as_ms, lists
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_texts
from pipelines.features.history import DECISION_COLUMNS, EVENT_COLUMNS, in_arrival_order
from pipelines.features.replay import Probes, Replay

ITEM_COLUMNS = (
    "item_id",
    "valid_from",
    "numbers",
    "categories",
    "tags",
    "topic",
    "partition",
    "offset",
    "arrived_at",
)
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
    """The replay carrier, moved on by each micro-batch of decisions as far as these lie in their partitions.

    At a start it has seen nothing, and the first batch folds silver from the beginning: no state is stored
    that could be lost. Rows that reach silver behind what was folded in their partition (repaired ones) count
    from the next start on.
    """

    def __init__(self, definitions: Definitions, silver: Silver) -> None:
        self._definitions = definitions
        self._silver = silver
        self._replay = Replay(definitions, Catalog(definitions))
        self._next: dict[Place, int] = {}
        self._items_next: dict[Place, int] = {}
        self._items_version = -1
        self._items_newest = 0

    def rows(self, decisions: pa.Table) -> pa.Table:
        """The decisions' columns of contracts.scoring.TO_SCORE, from rows of silver.decisions
        (DECISION_COLUMNS).

        Features are as of each decision; an item that a list shows twice is there once, at its first place.
        """
        ends = _ends(decisions)
        events = self._between(EVENTS, EVENT_COLUMNS, ends)
        passed = self._between(DECISIONS, DECISION_COLUMNS, ends)
        behind = decisions.filter(pa.array(self._is_behind(decisions)))
        together = pa.concat_tables([passed, behind.cast(passed.schema)])
        self._learn_items()
        history = in_arrival_order(events, together, self._definitions.events)
        # The others were scored before this start; they are folded like events, and nothing is read for them.
        wanted = pc.is_in(together["decision_id"], value_set=decisions["decision_id"].combine_chunks())
        is_wanted = np.append(wanted.to_numpy(zero_copy_only=False), False)
        rows = np.where(is_wanted[history.decision_rows], history.decision_rows, -1)
        probes = self._replay.advance(replace(history, decision_rows=rows))
        self._next |= {place: end + 1 for place, end in ends.items() if end >= self._next.get(place, 0)}
        return _to_score(together, probes, self._definitions)

    def _between(self, table: Table, columns: tuple[str, ...], ends: dict[Place, int]) -> pa.Table:
        """Rows of the table from what was folded last up to `ends`."""
        conditions = [
            _at(place) & (F.col("offset") >= self._next.get(place, 0)) & (F.col("offset") <= end)
            for place, end in ends.items()
        ]
        chosen = reduce(or_, conditions, F.lit(False))
        return self._silver.read(table).where(chosen).select(*columns).toArrow()

    def _is_behind(self, decisions: pa.Table) -> NDArray[np.bool_]:
        places = zip(decisions["topic"].to_pylist(), decisions["partition"].to_pylist(), strict=True)
        folded = np.array([self._next.get(place, 0) for place in places], np.int64)
        return np.asarray(decisions["offset"].to_numpy() < folded)

    def _learn_items(self) -> None:
        version = self._silver.version(ITEMS)
        if version == self._items_version:
            return
        since = F.timestamp_millis(F.lit(self._items_newest - OUT_OF_STEP_MS))
        found = self._silver.read(ITEMS).where(F.col("arrived_at") >= since).select(*ITEM_COLUMNS).toArrow()
        places = zip(found["topic"].to_pylist(), found["partition"].to_pylist(), strict=True)
        known = np.array([self._items_next.get(place, 0) for place in places], np.int64)
        new = found.filter(pa.array(found["offset"].to_numpy() >= known))
        if new.num_rows:
            self._replay.catalog.learn(new)
            self._items_next |= {place: end + 1 for place, end in _ends(new).items()}
            self._items_newest = max(self._items_newest, int(as_ms(new["arrived_at"]).max()))
        self._items_version = version


def _at(place: Place) -> Column:
    return (F.col("topic") == place[0]) & (F.col("partition") == place[1])


def _ends(rows: pa.Table) -> dict[Place, int]:
    """The highest offset in each partition."""
    found = rows.group_by(["topic", "partition"]).aggregate([("offset", "max")])
    columns = (found[name].to_pylist() for name in ("topic", "partition", "offset_max"))
    return {(topic, partition): end for topic, partition, end in zip(*columns, strict=True)}


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
    width = len(definitions.names)
    features = definitions.as_served(probes.features[kept])
    return pa.table(
        {
            "decision_id": probed["decision_id"],
            "user_id": probed["user_id"],
            "decided_at": probed["event_time"],
            "items": _in_lists(starts, listed.take(pa.array(kept))),
            "positions": _in_lists(starts, pa.array(positions[kept].astype(np.int32))),
            "features": _in_lists(starts * width, pa.array(np.ascontiguousarray(features).ravel())),
        }
    )


def _in_lists(starts: NDArray[np.int64], values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values)
