"""What a micro-batch of silver touches, and how gold's tables are read and written while they are corrected."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts import silver
from pipelines.contracts.table import Table
from pipelines.gold.stretches import Stretches, hour_of

INTERACTION, LIST, VERSION = "interaction", "list", "version"


@dataclass(frozen=True)
class Lake:
    """How tables are read and written: Delta's functions, given by the job.

    `append` takes the rows, their table, and whether they surely are few. `next_revision` of a table is higher than every revision
    that the table holds.
    """

    read: Callable[[Table], DataFrame]
    append: Callable[[DataFrame, Table, bool], object]
    next_revision: Callable[[Table], int]

    def events(self, when: Stretches) -> DataFrame:
        """Silver's interactions of those times."""
        return self.read(silver.EVENTS).where(when.contain(F.col("event_time"), F.col("event_date")))

    def decisions(self, when: Stretches) -> DataFrame:
        """Silver's decisions of those times."""
        return self.read(silver.DECISIONS).where(when.contain(F.col("event_time"), F.col("event_date")))

    def published(self, table: Table, condition: Column) -> DataFrame:
        """Valid rows of a table of gold. `condition` holds for a key's newest revision if it holds for any."""
        return table.latest(self.read(table).where(condition))


@dataclass(frozen=True)
class Touched:
    """A micro-batch: its `acts` (interactions and lists: what, at, user_id, item_id, decision_id, items), the versions of items it
    brings (`changes`: item_id, since), the hours of the acts, the earliest change in epoch seconds, and its number of rows."""

    acts: DataFrame
    changes: DataFrame
    when: Stretches
    changed_since: int | None
    rows: int
    _kept: list[DataFrame] = field(default_factory=list)

    def keep(self, frame: DataFrame) -> DataFrame:
        """`frame`, computed once for this batch; `release` gives the memory back."""
        self._kept.append(frame.persist())
        return frame

    def release(self) -> None:
        """Forget what was kept."""
        while self._kept:
            self._kept.pop().unpersist()

    def items(self) -> DataFrame:
        """The items of the acts: item_id, at."""
        return self.acts.select(F.explode("items").alias("item_id"), "at").where(F.col("item_id").isNotNull())


def arrivals(events: DataFrame, decisions: DataFrame, items: DataFrame) -> DataFrame:
    """What publishing must know of silver's new rows, in one frame. Batch and stream alike."""
    text, no_items = F.lit(None).cast("string"), F.array().cast("array<string>")
    own_item = F.array("item_id").alias("items")
    done = events.select(
        F.lit(INTERACTION).alias("what"),
        F.col("event_time").alias("at"),
        "user_id",
        "item_id",
        "decision_id",
        own_item,
    )
    shown = decisions.select(F.lit(LIST), "event_time", "user_id", text, "decision_id", "items")
    changed = items.select(F.lit(VERSION), "valid_from", text, "item_id", text, no_items)
    return done.unionAll(shown).unionAll(changed)


def touched(batch: DataFrame) -> Touched:
    """What a micro-batch of `arrivals` touches; `batch` is persisted by the caller."""
    is_version = F.col("what") == VERSION
    facts = batch.agg(
        F.count("*").alias("rows"),
        F.collect_set(F.when(~is_version, hour_of(F.col("at")))).alias("hours"),
        F.unix_seconds(F.min(F.when(is_version, F.col("at")))).alias("changed_since"),
    ).collect()[0]
    return Touched(
        acts=batch.where(~is_version),
        changes=batch.where(is_version).groupBy("item_id").agg(F.min("at").alias("since")),
        when=Stretches.of_hours(facts["hours"]),
        changed_since=facts["changed_since"],
        rows=facts["rows"],
    )


def hours(rows: DataFrame, first: str, last: str) -> Stretches:
    """The hours that rows last from and to, given by two time columns."""
    span = F.sequence(hour_of(F.col(first)), hour_of(F.col(last)))
    return Stretches.of_hours(row[0] for row in rows.select(F.explode(span)).distinct().collect())


def with_removals(found: DataFrame, published: DataFrame, table: Table, revision: int) -> DataFrame:
    """`found`, and each of the `published` rows whose key is no longer found, marked as removed."""
    gone = published.withColumns({"is_removed": F.lit(True), "revision": F.lit(revision)})
    others = [name for name in table.schema.fieldNames() if name not in table.key]
    kept = F.max_by(F.struct(*others), ~F.col("is_removed")).alias("kept")
    both = found.unionByName(table.conform(gone)).groupBy(*table.key).agg(kept)
    return table.conform(both.select(*table.key, "kept.*"))
