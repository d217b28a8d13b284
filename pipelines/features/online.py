"""Keeps an online store up to date: folds landed messages into its records, each message once in effect, by
the parser and rules of silver and the kernels of the replay.

The store's fences say what is folded. Whoever hands over a message that lies below them, a batch a second
time, or a batch that another process has folded meanwhile, changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.domain import Domain
from pipelines.errors import FenceError
from pipelines.features.carriers import USER, Carrier
from pipelines.features.catalog import Catalog
from pipelines.features.columns import as_ints, as_ms, whole
from pipelines.features.definitions import Definitions
from pipelines.features.hashing import hash_text
from pipelines.features.history import DECISION_COLUMNS, EVENT_COLUMNS, History, in_arrival_order
from pipelines.features.stored_catalog import StoredCatalog, without_old
from pipelines.sections import Silver, Store
from pipelines.silver.sheets import Clerk, Sheet

DAY, ARRIVAL = b"d", b"a"
"""First byte of the keys of what is kept beside states: the day of a user's latest arrival, and a partition's
latest arrival."""

ROWS_AT_ONCE = 50_000  # messages that are folded in one transaction at most
SWEPT_AT_ONCE = 2_000  # users that are looked at, for being idle, with each transaction
_DAY_MS = 86_400_000
_NEVER = np.iinfo(np.int64).min

Place = tuple[str, int]
Offsets = npt.NDArray[np.int64]


class Snapshot(Protocol):
    """Records and fences of one moment."""

    @property
    def records(self) -> dict[bytes, bytes]:
        """The records that there are, by key."""

    @property
    def fences(self) -> dict[Place, int]:
        """The next offset to fold, by topic and partition."""


class OnlineStore(Protocol):
    """What is asked of an online store here, see `io.online_store`."""

    def read(self, keys: Sequence[bytes]) -> Snapshot:
        """Records and fences of one moment."""

    def fences(self) -> dict[Place, int]:
        """The fences alone."""

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and records of a kind, in order."""

    def write(
        self,
        records: Mapping[bytes, bytes | None],
        fences: Mapping[Place, int],
        expected: Mapping[Place, int],
    ) -> None:
        """Change records and fences if these are still as expected; otherwise FenceError."""


@dataclass(frozen=True)
class _Batch:
    """Messages that are not folded yet: how far they go, and what silver makes of them."""

    fences: dict[Place, int]
    arrivals: dict[bytes, bytes]
    history: History
    items: pa.Table | None
    counts: Counter[str]


class Updater:
    """Folds into one store. One thread uses it."""

    def __init__(
        self,
        domain: Domain,
        definitions: Definitions,
        silver: Silver,
        kept: Store,
        taught_by: Callable[[pa.Table], pa.Table] | None = None,
    ) -> None:
        """`kept` says for how long users and versions of items are kept; `taught_by` leaves rows of
        silver.events and silver.decisions out of what is folded (None: none)."""
        self._taught_by = taught_by
        self._clerk, self._codes = Clerk(domain, silver), definitions.events
        self._catalog = StoredCatalog(Catalog(definitions))
        self._carrier = Carrier(definitions, self._catalog.catalog)
        self._idle, self._catalog_ms = kept.idle_days, kept.catalog_days * _DAY_MS
        self._newest = _NEVER  # day of the latest arrival that was folded here
        self._sweep: Iterator[tuple[bytes, bytes]] = iter(())
        self._swept = self._tidied = _NEVER  # days at which the last sweep and the last tidying began

    def fold(self, landed: pa.Table, store: OnlineStore) -> dict[str, int]:
        """Fold messages (topic, partition, offset, value, headers, arrived_at) that follow on the store's
        fences or lie below them. Returns what they came to, by table of silver, and how many were old."""
        total: Counter[str] = Counter()
        for start in range(0, landed.num_rows, ROWS_AT_ONCE):
            total.update(self._fold(landed.slice(start, ROWS_AT_ONCE), store))
        return dict(total)

    def _fold(self, landed: pa.Table, store: OnlineStore) -> Counter[str]:
        while True:
            fences = store.fences()
            new = _above(landed, fences)
            old = len(new) - int(np.count_nonzero(new))
            if old == len(new):
                return Counter(old=old)
            self._catalog.catch_up(store)
            batch = self._judged(landed.filter(pa.array(new)), store)
            try:
                self._write(batch, store, fences)
            except FenceError:  # another process folds too: what it has done is left out the next time
                continue
            self._tidy(store)
            return batch.counts + Counter(old=old)

    def _judged(self, landed: pa.Table, store: OnlineStore) -> _Batch:
        places = list(zip(landed["topic"].to_pylist(), landed["partition"].to_pylist(), strict=True))
        offsets = as_ints(landed["offset"])
        fences: dict[Place, int] = {}
        for place, offset in zip(places, offsets.tolist(), strict=True):
            fences[place] = max(fences.get(place, 0), offset + 1)
        sheets = self._clerk.sheets(landed)
        arrived, arrivals = _running(landed, places, offsets, store)
        ordered = landed.set_column(landed.schema.get_field_index("arrived_at"), "arrived_at", arrived)
        events, decisions, items = (_rows(sheets, table, ordered) for table in (EVENTS, DECISIONS, ITEMS))
        if self._taught_by is not None:
            events, decisions = (rows and self._taught_by(rows) for rows in (events, decisions))
        history = in_arrival_order(
            _table(events, EVENTS, EVENT_COLUMNS), _table(decisions, DECISIONS, DECISION_COLUMNS), self._codes
        )
        counts = Counter({sheet.table.name: len(sheet.positions) for sheet in sheets if len(sheet.positions)})
        return _Batch(fences, arrivals, history, items, counts)

    def _write(self, batch: _Batch, store: OnlineStore, fences: Mapping[Place, int]) -> None:
        """One transaction: states after the batch, the days of its users, new versions of items; and users
        that were idle for too long leave."""
        history = batch.history
        if batch.items is not None:
            self._catalog.add(batch.items)
        changes: dict[bytes, bytes | None] = {**batch.arrivals, **self._catalog.unsaved()}
        needed = self._carrier.needed(history)
        leaving = self._perhaps_idle(store)
        days = [DAY + key[1:] for key in needed if key[:1] == USER]
        records = store.read([*needed, *days, *leaving]).records
        for first, last in pairwise(_days(history)):
            is_whole = last - first == len(history)
            piece = history if is_whole else history.part(first, last)
            keys = needed if is_whole else self._carrier.needed(piece)
            day = int(history.arrived[first]) // _DAY_MS
            self._newest = max(self._newest, day)
            stored = {key: records[key] for key in keys if key in records}
            for key in keys:
                if key[:1] == USER and self._met_again(DAY + key[1:], day, records, changes):
                    stored.pop(key, None)
            changed, _ = self._carrier.update(piece, stored)
            records |= changed
            changes |= changed
        for key in leaving:
            if key not in changes and key in records and self._is_idle(records[key], self._newest - 1):
                changes |= {key: None, USER + key[1:]: None}
        store.write(changes, batch.fences, fences)
        self._catalog.saved()

    def _met_again(
        self, key: bytes, day: int, records: dict[bytes, bytes], changes: dict[bytes, bytes | None]
    ) -> bool:
        """Note that the user arrived on this day; whether it had been idle for too long before."""
        known = records.get(key)
        if known is None or int.from_bytes(known, "big") < day:
            records[key] = day.to_bytes(4, "big")
            changes[key] = records[key]
        return known is not None and self._is_idle(known, day)

    def _is_idle(self, known: bytes, day: int) -> bool:
        return 0 < self._idle < day - int.from_bytes(known, "big")

    def _perhaps_idle(self, store: OnlineStore) -> list[bytes]:
        """Keys of the next days to look at. All users are looked at once a day, a few with each transaction;
        a day late, since partitions do not get as far at the same time."""
        if self._idle == 0 or self._newest == _NEVER:
            return []
        looked_at = list(islice(self._sweep, SWEPT_AT_ONCE))
        if len(looked_at) < SWEPT_AT_ONCE and self._swept < self._newest:
            self._sweep, self._swept = store.scan(DAY), self._newest
        return [key for key, known in looked_at if self._is_idle(known, self._newest - 1)]

    def _tidy(self, store: OnlineStore) -> None:
        """Once a day, let go of versions of items that were replaced long ago."""
        if self._catalog_ms == 0 or self._newest <= self._tidied:
            return
        fences = store.fences()
        changes = without_old(store, self._newest * _DAY_MS - self._catalog_ms)
        try:
            if changes:
                store.write(changes, {}, fences)
            self._tidied = self._newest
        except FenceError:  # another process folds too; after the next batch then
            return


def _above(landed: pa.Table, fences: Mapping[Place, int]) -> npt.NDArray[np.bool_]:
    """Which messages are not folded yet."""
    topics = whole(landed["topic"]).dictionary_encode()
    topic, names = topics.indices.to_numpy(zero_copy_only=False), topics.dictionary.to_pylist()
    partition, offset = as_ints(landed["partition"]), as_ints(landed["offset"])
    above = np.ones(offset.size, bool)
    for (name, number), fence in fences.items():
        if name in names:
            above &= (topic != names.index(name)) | (partition != number) | (offset >= fence)
    return above


def _running(
    landed: pa.Table, places: list[Place], offsets: Offsets, store: OnlineStore
) -> tuple[pa.Array, dict[bytes, bytes]]:
    """When each message arrived, or anything before it in its partition did, ever; and the records that keep
    this."""
    keys = {
        place: ARRIVAL + hash_text(f"{place[0]}/{place[1]}").to_bytes(8, "big", signed=True)
        for place in dict.fromkeys(places)
    }
    known = store.read(list(keys.values())).records
    arrived, latest = as_ms(landed["arrived_at"]), {}
    rows: dict[Place, list[int]] = {place: [] for place in keys}
    for row, place in enumerate(places):
        rows[place].append(row)
    for place, key in keys.items():
        ours = np.array(rows[place])
        ours = ours[np.argsort(offsets[ours], kind="stable")]
        before = int.from_bytes(known[key], "big", signed=True) if key in known else _NEVER
        arrived[ours] = np.maximum.accumulate(np.maximum(arrived[ours], before))
        latest[key] = int(arrived[ours[-1]]).to_bytes(8, "big", signed=True)
    return pa.array(arrived).cast(pa.timestamp("ms", tz="UTC")).cast(landed["arrived_at"].type), latest


def _days(history: History) -> list[int]:
    """Where the days of arrival begin in the history, and its end."""
    days = history.arrived // _DAY_MS
    return [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(history)] if len(history) else [0]


def _rows(sheets: list[Sheet], table: Table, landed: pa.Table) -> pa.Table | None:
    """The rows of one table of silver with where they are from; None without any."""
    found = []
    for sheet in sheets:
        if sheet.table is table and len(sheet.positions):
            rows, at = sheet.columns, landed.take(pa.array(sheet.positions))
            for name in ("topic", "partition", "offset", "arrived_at"):
                rows = rows.append_column(name, at[name])
            found.append(rows)
    return pa.concat_tables(found) if found else None


def _table(rows: pa.Table | None, table: Table, names: Sequence[str]) -> pa.Table:
    empty = arrow_schema(table.schema).empty_table().select(list(names))
    return empty if rows is None else rows.select(list(names)).cast(empty.schema)
