"""Publishing: what a micro-batch of silver touches in gold is computed again from silver, by the functions
that a rebuild uses.

Why the valid rows always end as one run over all of silver would give them, whatever was killed in between:

- A row of gold is a function of the silver rows that belong to its key. A batch finds the keys its rows
  belong to, reads all that silver holds for them by then (perhaps more than the batch: those rows come again
  in a later one) and appends the results.
- One publisher runs at a time, and the revision it takes is higher than every one in the table. So a higher
  revision was computed later, from at least the same rows: an older result never wins.
- The last batch that touches a key has read every row of it. Repeated after a kill, its append is there
  already or is made again.
- Item statistics depend on `Holds` too. These belong to a batch, a repeated one has the same, and each batch
  computes again what differs from the one before.
- A session's key is its start, which a late row can move. So a batch reads its users from the first to the
  last row of all sessions its rows are in or next to, and removes those of them that are no longer found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts import gold, silver
from pipelines.contracts.table import Table
from pipelines.domain import Domain
from pipelines.gold.decision_outcomes import decision_outcomes
from pipelines.gold.engagement import by_item, engagement
from pipelines.gold.item_stats import item_stats, without_gaps
from pipelines.gold.sessions import sessions
from pipelines.gold.stretches import DAY, Stretches
from pipelines.gold.touched import Lake, Touched, ticks, touched, with_removals
from pipelines.gold.user_profiles import user_profiles

Correct = Callable[[Lake, Touched, int], DataFrame]
"""A table's rows for what a batch touched, with the given revision, computed from silver as it is now."""


def corrections(domain: Domain, gap: timedelta) -> dict[Table, Correct]:
    """How each table of this room is corrected, in the order of publishing: profiles read published
    sessions."""
    return {
        gold.SESSIONS: lambda lake, batch, revision: _sessions(batch, gap, revision),
        gold.ITEM_STATS: _item_stats,
        gold.ENGAGEMENT: lambda lake, batch, revision: _engagement(lake, batch, domain, revision),
        gold.DECISION_OUTCOMES: lambda lake, batch, revision: _outcomes(batch, domain, revision),
        gold.USER_PROFILES: lambda lake, batch, revision: _profiles(lake, batch, domain, revision),
    }


def publish(
    batch: DataFrame, lake: Lake, tables: Mapping[Table, Correct], gap: timedelta, reach: timedelta
) -> int:
    """Correct `tables` for a micro-batch of `arrivals`, in their order. Returns the batch's number of rows.

    `gap` ends a session; `reach` is the longest time from a row to anything but its session that depends on
    it.
    """
    with touched(batch, lake, gap, reach) as found:
        for table, correct in tables.items():
            if found.rows:
                is_small = found.is_small and not lake.holds.changed
                lake.append(correct(lake, found, lake.next_revision(table)), table, is_small)
        return found.rows


def _sessions(batch: Touched, gap: timedelta, revision: int) -> DataFrame:
    in_span = F.col("event_time").between(F.col("first"), F.col("last"))
    events = batch.events.join(batch.spans, "user_id").where(in_span)
    decisions = batch.decisions.join(batch.spans, "user_id").where(in_span)
    found = sessions(events, decisions, gap, revision)
    return with_removals(found, batch.sessions, gold.SESSIONS, revision)


def _item_stats(lake: Lake, batch: Touched, revision: int) -> DataFrame:
    """Whole days of the batch's items, and of those on which entities acted whose hold has changed; zeros
    where all who acted are held."""
    days, item, holds = batch.when.whole_days(), F.explode("items").alias("item_id"), lake.holds
    keys = batch.acts.select(item, F.to_date("at").alias("day"))
    if holds.changed:
        later = holds.since()
        done, shown = holds.moved(lake.events(later)), holds.moved(lake.decisions(later))
        day = F.col("event_date").alias("day")
        moved = done.where(F.col("item_id").isNotNull()).select("item_id", day)
        moved = batch.keep(moved.unionAll(shown.select(item, day)).distinct())
        number = F.unix_date("day").alias("number")
        days = days.and_also(Stretches.of_ticks((r.number for r in moved.select(number).collect()), DAY))
        keys = keys.unionAll(moved)
    events, decisions = holds.taught(lake.events(days)), holds.taught(lake.decisions(days))
    found, keys = item_stats(events, decisions, revision), keys.distinct()
    if not holds.are_there:
        return found.join(keys, ["item_id", "day"], how="left_semi")
    return without_gaps(keys.join(found, ["item_id", "day"], how="left"), revision)


def _engagement(lake: Lake, batch: Touched, domain: Domain, revision: int) -> DataFrame:
    """The minutes of the batch's rows, and those whose items now are known to have had other attributes."""
    items, is_moved = lake.read(silver.ITEMS), batch.changed_since is not None and bool(by_item(domain))
    when = batch.when
    if is_moved:
        moved = _acts_on_changed_items(lake, batch)
        when = when.and_also(ticks(moved, "at", "at"))
        events, decisions = lake.events(when), lake.decisions(when)
    else:
        in_those = when.contain(F.col("event_time"), F.col("event_date"))
        events, decisions = batch.events.where(in_those), batch.decisions.where(in_those)
    found = engagement(events, decisions, items, domain, revision)
    if not is_moved:
        return found
    published = lake.published(gold.ENGAGEMENT, when.contain(F.col("minute"), F.col("day")))
    return with_removals(found, published, gold.ENGAGEMENT, revision)


def _acts_on_changed_items(lake: Lake, batch: Touched) -> DataFrame:
    """When something happened to an item since the first of its versions in the batch: column at."""
    later = Stretches.since(batch.changed_since or 0)
    done = lake.events(later).select("item_id", F.col("event_time").alias("at"))
    shown = lake.decisions(later).select(F.explode("items").alias("item_id"), F.col("event_time").alias("at"))
    both = done.unionAll(shown).join(batch.changes, "item_id")
    return both.where(F.col("at") >= F.col("since")).select("at")


def _outcomes(batch: Touched, domain: Domain, revision: int) -> DataFrame:
    """The batch's decisions, and those that its interactions name."""
    named = batch.acts.select("decision_id").where(F.col("decision_id").isNotNull()).distinct()
    decisions = batch.decisions.join(named, "decision_id", how="left_semi")
    events = batch.events.join(named, "decision_id", how="left_semi")
    return decision_outcomes(decisions, events, domain, revision)


def _profiles(lake: Lake, batch: Touched, domain: Domain, revision: int) -> DataFrame:
    """The batch's users, and those who touched items that now are known to have had other attributes."""
    users = batch.spans.select("user_id")
    if batch.changed_since is not None:
        later = Stretches.since(batch.changed_since).contain(F.col("session_start"), F.col("session_date"))
        item = F.explode(F.map_keys("items_touched")).alias("item_id")
        theirs = lake.published(gold.SESSIONS, later).select("user_id", "session_start", item)
        concerned = theirs.join(batch.changes, "item_id").where(F.col("session_start") >= F.col("since"))
        users = users.unionAll(concerned.select("user_id")).distinct()
    published = lake.published(gold.SESSIONS, F.lit(True)).join(users, "user_id", how="left_semi")
    return user_profiles(batch.keep(published), lake.read(silver.ITEMS), domain, revision)
