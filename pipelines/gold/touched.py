"""What a micro-batch of silver touches, and how gold's tables are read and written while they are
corrected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipelines.contracts import gold, silver
from pipelines.contracts.table import Table
from pipelines.gold.holds import Holds
from pipelines.gold.stretches import MINUTE, Stretches, tick

INTERACTION, LIST, VERSION = "interaction", "list", "version"
FEW = 20_000
"""Rows of a micro-batch up to which what it touches is kept in memory and written without a Spark job."""


@dataclass(frozen=True)
class Lake:
    """How tables are read and written: Delta's functions, given by the job.

    `next_revision` of a table is higher than every revision that the table holds. `append` takes the rows,
    their table, and whether they surely are few. `holds` are those of the micro-batch.
    """

    read: Callable[[Table], DataFrame]
    next_revision: Callable[[Table], int]
    append: Callable[[DataFrame, Table, bool], object]
    holds: Holds = field(default_factory=Holds)

    def events(self, when: Stretches) -> DataFrame:
        """Silver's interactions of those times."""
        return self.read(silver.EVENTS).where(when.contain(F.col("event_time"), F.col("event_date")))

    def decisions(self, when: Stretches) -> DataFrame:
        """Silver's decisions of those times."""
        return self.read(silver.DECISIONS).where(when.contain(F.col("event_time"), F.col("event_date")))

    def published(self, table: Table, condition: Column) -> DataFrame:
        """Valid rows of a table of gold. `condition` holds for a key's newest revision if it holds for
        any."""
        return table.latest(self.read(table).where(condition))


@dataclass(frozen=True)
class Touched:
    """A micro-batch of silver, and what is around its rows.

    `acts`: its interactions and lists, with at, user_id, item_id, decision_id, items. `changes`: the items of
    which it has versions, with `since`, the time of the first. `when`: the minutes of the acts.

    `sessions`: those sessions, as published so far, that acts are in or next to. `spans`: `first` and `last`
    of each user, the time of the acts and those sessions. `events` and `decisions`: silver's rows of all
    users in the spans' times and so long before and after the acts as anything reaches.
    """

    acts: DataFrame
    changes: DataFrame
    when: Stretches
    changed_since: int | None  # epoch seconds; null without any version
    rows: int
    sessions: DataFrame
    spans: DataFrame
    events: DataFrame
    decisions: DataFrame
    keep: Callable[[DataFrame], DataFrame]  # computes a frame once for this batch

    @property
    def is_small(self) -> bool:
        """Whether what the batch touches surely fits one process: a version of an item may touch all
        history."""
        return self.rows <= FEW and self.changed_since is None


def arrivals(events: DataFrame, decisions: DataFrame, items: DataFrame) -> DataFrame:
    """What publishing must know of silver's new rows, in one frame. Batch and stream alike."""
    text, no_items = F.lit(None).cast("string"), F.array().cast("array<string>")
    done = events.select(
        F.lit(INTERACTION).alias("what"),
        F.col("event_time").alias("at"),
        "user_id",
        "item_id",
        "decision_id",
        F.array_compact(F.array("item_id")).alias("items"),
    )
    shown = decisions.select(F.lit(LIST), "event_time", "user_id", text, "decision_id", "items")
    changed = items.select(F.lit(VERSION), "valid_from", text, "item_id", text, no_items)
    return done.unionAll(shown).unionAll(changed)


@contextlib.contextmanager
def touched(batch: DataFrame, lake: Lake, gap: timedelta, reach: timedelta) -> Iterator[Touched]:
    """What a micro-batch of `arrivals` touches, for as long as the context lasts. `reach` is the longest time
    from an act to anything but its session that depends on it."""
    with contextlib.ExitStack() as memory:

        def keep(frame: DataFrame) -> DataFrame:
            memory.callback(frame.persist().unpersist)
            return frame

        is_version = F.col("what") == VERSION
        facts = _facts(keep(batch), is_version)
        when = Stretches.of_ticks(facts["minutes"], MINUTE)
        acts = batch.where(~is_version)
        sessions = keep(_adjacent(acts, when, lake, gap))
        spans = keep(_spans(acts, sessions))
        around = when.widened(reach, reach).and_also(ticks(spans, "first", "last"))
        is_small = facts["rows"] <= FEW  # what many rows touch is read where it is needed, in narrower parts
        events, decisions = lake.events(around), lake.decisions(around)
        yield Touched(
            acts=acts,
            changes=batch.where(is_version).groupBy("item_id").agg(F.min("at").alias("since")),
            when=when,
            changed_since=facts["changed_since"],
            rows=facts["rows"],
            sessions=sessions,
            spans=spans,
            events=keep(events) if is_small else events,
            decisions=keep(decisions) if is_small else decisions,
            keep=keep,
        )


def ticks(rows: DataFrame, first: str, last: str) -> Stretches:
    """The stretches that rows last over, given by two time columns; a little more than those."""
    length = 5 * MINUTE
    span = F.sequence(tick(F.col(first), length), tick(F.col(last), length))
    found = rows.select(F.explode(span)).distinct().collect()
    return Stretches.of_ticks((row[0] for row in found), length)


def with_removals(found: DataFrame, published: DataFrame, table: Table, revision: int) -> DataFrame:
    """`found`, and each of the `published` rows whose key is no longer found, marked as removed."""
    gone = published.withColumns({"is_removed": F.lit(True), "revision": F.lit(revision)})
    others = [name for name in table.schema.fieldNames() if name not in table.key]
    kept = F.max_by(F.struct(*others), ~F.col("is_removed")).alias("kept")
    both = found.unionByName(table.conform(gone)).groupBy(*table.key).agg(kept)
    return table.conform(both.select(*table.key, "kept.*"))


def _facts(batch: DataFrame, is_version: Column) -> Row:
    at = F.col("at")
    return batch.agg(
        F.count("*").alias("rows"),
        F.collect_set(F.when(~is_version, tick(at, MINUTE))).alias("minutes"),
        F.unix_seconds(F.min(F.when(is_version, at))).alias("changed_since"),
    ).collect()[0]


def _adjacent(acts: DataFrame, when: Stretches, lake: Lake, gap: timedelta) -> DataFrame:
    """The published sessions that begin or end less than a pause from an act of their user, or contain
    one."""
    own = acts.groupBy("user_id").agg(F.min("at").alias("first"), F.max("at").alias("last"))
    start, end = F.col("session_start"), F.col("session_end")
    near = lake.published(gold.SESSIONS, when.widened(gap, gap).overlap(start, end, F.col("session_date")))
    pause = F.lit(gap)
    is_adjacent = (end >= F.col("first") - pause) & (start <= F.col("last") + pause)
    return near.join(own, "user_id").where(is_adjacent).drop("first", "last")


def _spans(acts: DataFrame, sessions: DataFrame) -> DataFrame:
    own = acts.select("user_id", F.col("at").alias("first"), F.col("at").alias("last"))
    theirs = sessions.select(
        "user_id", F.col("session_start").alias("first"), F.col("session_end").alias("last")
    )
    both = own.unionAll(theirs).groupBy("user_id")
    return both.agg(F.min("first").alias("first"), F.max("last").alias("last"))
