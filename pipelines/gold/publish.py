"""Publishing: what a micro-batch of silver touches in gold is computed again from silver, by the functions that a rebuild uses.

Why the valid rows always end as one run over all of silver would give them, whatever was killed in between:

- A row of gold is a function of the silver rows that belong to its key. A batch finds the keys its rows belong to, reads all that
  silver holds for them by then (perhaps more than the batch: those rows come again in a later one) and appends the results.
- One publisher runs at a time, and the revision it takes is higher than every one in the table. So a higher revision was computed
  later, from at least the same rows: an older result never wins.
- The last batch that touches a key has read every row of it. Repeated after a kill, its append is there already or is made again.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts import gold, silver
from pipelines.contracts.table import Table
from pipelines.domain import Domain
from pipelines.gold.decision_outcomes import attribution_window, decision_outcomes
from pipelines.gold.engagement import by_item, engagement
from pipelines.gold.item_stats import item_stats
from pipelines.gold.sessions import sessions
from pipelines.gold.stretches import Stretches
from pipelines.gold.touched import Lake, Touched, hours, touched, with_removals
from pipelines.gold.user_profiles import user_profiles

FEW = 20_000  # rows of a micro-batch whose corrections one process writes faster than a Spark job

Correct = Callable[[Lake, Touched, int], DataFrame]
"""A table's rows for what a batch touched, with the given revision, computed from silver as it is now."""


def corrections(domain: Domain, gap: datetime.timedelta) -> dict[Table, Correct]:
    """How each table of this room is corrected, in the order in which they are published: profiles come from published sessions."""
    return {
        gold.SESSIONS: lambda lake, batch, revision: _sessions(lake, batch, gap, revision),
        gold.ITEM_STATS: _item_stats,
        gold.ENGAGEMENT: lambda lake, batch, revision: _engagement(lake, batch, domain, revision),
        gold.DECISION_OUTCOMES: lambda lake, batch, revision: _outcomes(lake, batch, domain, revision),
        gold.USER_PROFILES: lambda lake, batch, revision: _profiles(lake, batch, domain, revision),
    }


def publish(batch: DataFrame, lake: Lake, tables: Mapping[Table, Correct]) -> int:
    """Correct `tables` for a micro-batch of `arrivals`, in their order. Returns the batch's number of rows."""
    found = touched(batch.persist())
    try:
        few = (
            found.rows <= FEW and found.changed_since is None
        )  # one changed item may touch the whole history
        for table, correct in tables.items():
            if found.rows:
                lake.append(correct(lake, found, lake.next_revision(table)), table, few)
        return found.rows
    finally:
        found.release()
        batch.unpersist()


def _sessions(lake: Lake, batch: Touched, gap: datetime.timedelta, revision: int) -> DataFrame:
    """Sessions of the batch's users that a row of the batch is in or next to, read from their first to their last row."""
    margin = F.lit(gap)
    spans = batch.acts.groupBy("user_id").agg(F.min("at").alias("first"), F.max("at").alias("last"))
    near = batch.when.widened(gap, gap).overlap(
        F.col("session_start"), F.col("session_end"), F.col("session_date")
    )
    adjacent = (
        F.col("session_end") >= F.col("first") - margin,
        F.col("session_start") <= F.col("last") + margin,
    )
    published = lake.published(gold.SESSIONS, near).join(spans, "user_id").where(adjacent[0] & adjacent[1])
    published = batch.keep(published.drop("first", "last"))
    known = published.select(
        "user_id", F.col("session_start").alias("first"), F.col("session_end").alias("last")
    )
    wide = (
        spans.unionByName(known)
        .groupBy("user_id")
        .agg(F.min("first").alias("first"), F.max("last").alias("last"))
    )
    wide = batch.keep(wide)
    when, inside = hours(wide, "first", "last"), F.col("event_time").between(F.col("first"), F.col("last"))
    events = lake.events(when).join(wide, "user_id").where(inside)
    decisions = lake.decisions(when).join(wide, "user_id").where(inside)
    return with_removals(sessions(events, decisions, gap, revision), published, gold.SESSIONS, revision)


def _item_stats(lake: Lake, batch: Touched, revision: int) -> DataFrame:
    """Whole days of the batch's items."""
    days = batch.when.whole_days()
    keys = batch.items().select("item_id", F.to_date("at").alias("day")).distinct()
    found = item_stats(lake.events(days), lake.decisions(days), revision)
    return found.join(keys, ["item_id", "day"], how="left_semi")


def _engagement(lake: Lake, batch: Touched, domain: Domain, revision: int) -> DataFrame:
    """The minutes of the batch's rows, and those whose items now are known to have had other attributes."""
    minutes, when = batch.acts.select(_minute("at")), batch.when
    moves = batch.changed_since is not None and bool(by_item(domain))
    if moves:
        moved = batch.keep(_acts_on_changed_items(lake, batch))
        minutes, when = minutes.unionAll(moved.select(_minute("at"))), when.and_also(hours(moved, "at", "at"))
    minutes = minutes.distinct()
    items = lake.read(silver.ITEMS)
    found = engagement(lake.events(when), lake.decisions(when), items, domain, revision)
    found = found.join(minutes, "minute", how="left_semi")
    if not moves:
        return found
    in_those = when.contain(F.col("minute"), F.col("day"))
    published = lake.published(gold.ENGAGEMENT, in_those).join(minutes, "minute", how="left_semi")
    return with_removals(found, published, gold.ENGAGEMENT, revision)


def _minute(column: str) -> Column:
    return F.date_trunc("minute", column).alias("minute")


def _acts_on_changed_items(lake: Lake, batch: Touched) -> DataFrame:
    """When something happened to an item since the first of its versions in the batch: column at."""
    later = Stretches.since(batch.changed_since or 0)
    touched_then = lake.events(later).select("item_id", F.col("event_time").alias("at"))
    shown_then = lake.decisions(later).select(
        F.explode("items").alias("item_id"), F.col("event_time").alias("at")
    )
    both = touched_then.unionAll(shown_then).join(batch.changes, "item_id")
    return both.where(F.col("at") >= F.col("since")).select("at")


def _outcomes(lake: Lake, batch: Touched, domain: Domain, revision: int) -> DataFrame:
    """The batch's decisions, and those that its interactions name."""
    window = attribution_window(domain)
    named = batch.acts.select("decision_id").where(F.col("decision_id").isNotNull()).distinct()
    when = batch.when.widened(window, window)
    decisions = lake.decisions(when).join(named, "decision_id", how="left_semi")
    events = lake.events(when).join(named, "decision_id", how="left_semi")
    return decision_outcomes(decisions, events, domain, revision)


def _profiles(lake: Lake, batch: Touched, domain: Domain, revision: int) -> DataFrame:
    """The batch's users, and those who touched items that now are known to have had other attributes."""
    users = batch.acts.select("user_id")
    if batch.changed_since is not None:
        later = Stretches.since(batch.changed_since).contain(F.col("session_start"), F.col("session_date"))
        item = F.explode(F.map_keys("items_touched")).alias("item_id")
        touching = (
            lake.published(gold.SESSIONS, later)
            .select("user_id", "session_start", item)
            .join(batch.changes, "item_id")
        )
        users = users.unionAll(touching.where(F.col("session_start") >= F.col("since")).select("user_id"))
    theirs = lake.published(gold.SESSIONS, F.lit(True)).join(users.distinct(), "user_id", how="left_semi")
    return user_profiles(theirs, lake.read(silver.ITEMS), domain, revision)
