"""When a window's vectors are published, and when they are corrected.

A window is published once it has closed: when something happened after its end. What arrives later corrects
it: once, when the watermark has passed over its end and no act can come any more that is not late; or at
once, where that has happened already. A late row changes what came after it, too, as a part of its entities'
history. So each window ends as one run over all of silver would give it, whatever was killed in between:
what a window lacks is known from the rows themselves, and after a start each window that is not final is
published again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.anomalies.acts import Acts, Changes, Ints, Recent, arrivals, parted
from pipelines.anomalies.behaviour import HOUR_MS, Kind, reach, vectors
from pipelines.contracts import gold, silver
from pipelines.contracts.table import Table
from pipelines.contracts.types import arrow_schema
from pipelines.domain import Domain
from pipelines.features.columns import as_ms, lists
from pipelines.features.hashing import hash_texts
from pipelines.gold.stretches import Stretches
from pipelines.settings import Settings

NOT_YET = -(2**62)
SLACK_MS = 6 * HOUR_MS
"""How much further back than the watermark acts may lie, as when partitions are replayed one after the other,
before their windows are read from the lake again."""


@dataclass(frozen=True)
class Pace:
    """Which vectors are made, how much history (ms) they are compared with, and how long after its time (ms)
    an act may arrive."""

    kinds: tuple[Kind, ...]
    history_ms: int
    watermark_ms: int

    @property
    def kept_ms(self) -> int:
        """How long before the newest act others are kept."""
        longest = max(kind.length for kind in self.kinds)
        return reach(self.history_ms) + longest + self.watermark_ms + SLACK_MS


@dataclass(frozen=True)
class Past:
    """What the lake knows: acts from one time (epoch ms) to another with all items' categories, as a table of
    `arrivals`; and the latest start (epoch ms) of published windows by kind."""

    acts: Callable[[int, int], pa.Table]
    published: Callable[[], Mapping[Kind, int]]


@dataclass
class _Progress:
    """Of one kind: the first window that was not published yet, those that have changed since, and hashes of
    the rows of those that are not final."""

    unpublished: int = NOT_YET
    changed: set[int] = field(default_factory=set)
    told: dict[int, Ints] = field(default_factory=dict)


class Watch:
    """Takes silver's rows as they come and tells which vectors are new or corrected."""

    def __init__(self, pace: Pace, past: Past) -> None:
        """Nothing is read before the first rows come."""
        self.pace, self._past = pace, past
        self._recent: Recent | None = None
        self._newest = NOT_YET
        self._since = NOT_YET  # from when on memory is whole
        self._kinds = {kind: _Progress() for kind in pace.kinds}

    def take(self, rows: pa.Table, revision: int) -> tuple[pa.Table, Callable[[], None]]:
        """(rows of gold.behaviour_vectors, what to call once they are written) for a batch of `arrivals`.

        Where they were written by an earlier run, do not call it: then they are told again with the next
        batch.
        """
        acts, changes, names = parted(rows)
        recent = self._begun(acts)
        old = acts[acts["at"] < self._newest - self.pace.watermark_ms - SLACK_MS]
        new = acts[acts["at"] >= self._since]
        recent.add(new, changes, names)
        self._newest = max(self._newest, int(new["at"].max(initial=NOT_YET)))
        due = {kind: self._due(kind, recent, new, changes) for kind in self.pace.kinds}
        made = {kind: vectors(recent, kind, due[kind], self.pace.history_ms, revision) for kind in due}
        found = [self._changed(kind, rows) for kind, rows in made.items()] + self._of_old(old, due, revision)
        empty = arrow_schema(gold.BEHAVIOUR_VECTORS.schema).empty_table()
        return pa.concat_tables([empty, *found]), lambda: self._written(due, made)

    def _changed(self, kind: Kind, rows: pa.Table) -> pa.Table:
        """Those that were not told just so before."""
        told = self._kinds[kind].told
        known = [told[n] for n in np.unique(_windows(kind, rows)).tolist() if n in told]
        return rows.filter(~np.isin(_digests(rows), np.concatenate(known))) if known else rows

    def _begun(self, acts: Acts) -> Recent:
        """Memory, filled from the lake before the first acts are taken."""
        if self._recent is not None or not len(acts):
            return self._recent or Recent()
        recent, first, last = Recent(), int(acts["at"].min()), int(acts["at"].max())
        published = self._past.published()
        told = max((start + kind.length for kind, start in published.items()), default=last)
        self._since = min(first, told) - self.pace.kept_ms
        recent.add(*parted(self._past.acts(self._since, last + 1)))
        self._recent, self._newest = recent, recent.newest() or last
        for kind, state in self._kinds.items():
            if kind in published:
                state.unpublished = published[kind] // kind.length + 1
            # What earlier runs knew to have changed is not known now: all that was not final for them.
            since = min(told, self._newest) - self.pace.watermark_ms - kind.length
            later = recent.between(since, self._newest + 1)["at"] // kind.length
            state.changed = {n for n in np.unique(later).tolist() if n < state.unpublished}
        return recent

    def _due(self, kind: Kind, recent: Recent, acts: Acts, changes: Changes) -> Ints:
        """The windows of a kind that are to be published now."""
        state, closed = self._kinds[kind], self._newest // kind.length
        whole = -((-self._since - reach(self.pace.history_ms)) // kind.length)
        for number in self._touched(kind, recent, acts, changes).tolist():
            if whole <= number < state.unpublished:
                state.changed.add(number)
        first = whole if state.unpublished == NOT_YET else state.unpublished
        opened = recent.between(min(first, closed) * kind.length, closed * kind.length)["at"]
        fresh = np.unique(opened // kind.length)
        is_final = (self._newest - self.pace.watermark_ms) // kind.length
        corrected = [n for n in state.changed if n < is_final]
        return np.union1d(fresh, np.array(corrected, np.int64)).astype(np.int64)

    def _touched(self, kind: Kind, recent: Recent, acts: Acts, changes: Changes) -> Ints:
        """Windows that acts fall into, or have become history of, and those with acts on changed items."""
        found = [acts["at"] // kind.length]
        state = self._kinds[kind]
        late = acts[acts["at"] // kind.length < state.unpublished]
        if len(late):
            since = int(late["at"].min())
            after = recent.between(since, since + reach(self.pace.history_ms) + kind.length)
            theirs = np.isin(after[kind.entity], late[kind.entity][late[kind.entity] != 0])
            found.append(after["at"][theirs] // kind.length)
        if len(changes):
            since = int(changes["since"].min())
            after = recent.between(since, self._newest + 1)
            found.append(after["at"][np.isin(after["item"], changes["item"])] // kind.length)
        return np.unique(np.concatenate(found))

    def _of_old(self, acts: Acts, due: Mapping[Kind, Ints], revision: int) -> list[pa.Table]:
        """The windows of acts that came long after their time, and those of which they are history, but for
        those that are due: memory may not tell them wholly."""
        if not len(acts):
            return []
        first, last = int(acts["at"].min()), int(acts["at"].max())
        recent = Recent()
        recent.add(*parted(self._past.acts(first - self.pace.kept_ms, last + self.pace.kept_ms)))
        found = []
        for kind in self.pace.kinds:
            after = recent.between(first, last + reach(self.pace.history_ms) + kind.length)
            theirs = np.isin(after[kind.entity], acts[kind.entity][acts[kind.entity] != 0])
            windows = np.unique(np.append(after["at"][theirs], acts["at"]) // kind.length)
            windows = np.setdiff1d(windows[windows < self._newest // kind.length], due[kind])
            found.append(vectors(recent, kind, windows, self.pace.history_ms, revision))
        return found

    def _written(self, due: Mapping[Kind, Ints], made: Mapping[Kind, pa.Table]) -> None:
        for kind, windows in due.items():
            state = self._kinds[kind]
            state.unpublished = max(state.unpublished, self._newest // kind.length)
            state.changed -= set(windows.tolist())
            final = (self._newest - self.pace.watermark_ms) // kind.length
            of, digests = _windows(kind, made[kind]), _digests(made[kind])
            state.told |= {n: digests[of == n] for n in np.unique(of).tolist()}
            state.told = {n: known for n, known in state.told.items() if n >= final}
        if self._recent is not None:
            self._since = max(self._since, self._newest - self.pace.kept_ms)
            self._recent.forget(self._since)


def _windows(kind: Kind, rows: pa.Table) -> Ints:
    return as_ms(rows["window_start"]) // kind.length


def _digests(rows: pa.Table) -> Ints:
    """A number for each row of vectors that differs where its key or its vector does."""
    if not rows.num_rows:
        return np.zeros(0, np.int64)
    bits = lists(rows["vector"])[1].to_numpy(zero_copy_only=False).view(np.int64).reshape(rows.num_rows, -1)
    odd = np.arange(1, 2 * bits.shape[1], 2) * np.int64(0x9E3779B97F4A7C1)
    mixed = (bits ^ (bits >> 31)) * odd
    starts = as_ms(rows["window_start"]) * np.int64(0x27D4EB2F165667C5)
    return np.asarray(mixed.sum(axis=1) ^ hash_texts(rows["entity_id"]) ^ starts, np.int64)


def pace_of(settings: Settings) -> Pace:
    """As the settings say. Raises SettingsError for an unknown entity."""
    kinds = tuple(Kind.of(text) for text in settings.outliers.watched)
    return Pace(kinds, settings.outliers.history_hours * HOUR_MS, settings.silver.watermark_minutes * 60_000)


def past_of(read: Callable[[Table], DataFrame], domain: Domain, watermark: timedelta) -> Past:
    """What a lake knows, read by Spark."""

    def acts(since_ms: int, until_ms: int) -> pa.Table:
        when = Stretches.of_ticks(range(since_ms // 3_600_000, until_ms // 3_600_000 + 1), 3600)
        inside = when.contain(F.col("event_time"), F.col("event_date"))
        events, decisions = (read(table).where(inside) for table in (silver.EVENTS, silver.DECISIONS))
        items, category = read(silver.ITEMS), category_of(domain)
        return arrivals(events, decisions, items, category=category, watermark=watermark).toArrow()

    def published() -> dict[Kind, int]:
        rows = read(gold.BEHAVIOUR_VECTORS).groupBy("entity", "window_minutes")
        latest = rows.agg(F.unix_millis(F.max("window_start"))).collect()
        return {Kind(entity, minutes): start for entity, minutes, start in latest}

    return Past(acts, published)


def category_of(domain: Domain) -> str | None:
    """The attribute by which the domain's items are told apart in vectors: its first category."""
    return next((name for name, one in domain.attributes.items() if one.kind == "category"), None)
