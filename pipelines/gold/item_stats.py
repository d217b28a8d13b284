"""Item statistics: how often an item was shown, touched and bought, per day and over the last days."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import ITEM_STATS
from pipelines.gold.acts import by_name, interactions, mark, names, sum_of, tally


def item_stats(events: DataFrame, decisions: DataFrame, revision: int) -> DataFrame:
    """What happened to each item on each day (UTC) of silver's events and decisions, as rows of
    gold.item_stats.

    `shown` counts the decisions that listed the item, `users` the distinct users who interacted with it.
    """
    touched = interactions(events).where(F.col("item_id").isNotNull())
    touches = touched.select(
        "item_id",
        "day",
        F.array(
            mark("kind", F.col("kind")),
            mark("user", F.col("user_id")),
            mark("revenue", F.col("currency"), F.col("revenue")),
        ).alias("marks"),
    )
    shown = decisions.select(
        F.explode(F.array_distinct("items")).alias("item_id"),
        F.col("event_date").alias("day"),
        F.array(mark("shown", F.lit("shown"))).alias("marks"),
    )
    parts = tally(touches.unionAll(shown), ["item_id", "day"], F.col("marks"))
    found = parts.groupBy("item_id", "day").agg(
        sum_of("shown").alias("shown"),
        by_name("kind").alias("counts"),
        names("user").alias("users"),
        by_name("revenue").alias("revenue_minor"),
    )
    return ITEM_STATS.conform(found.withColumn("revision", F.lit(revision)))


def without_gaps(rows: DataFrame, revision: int) -> DataFrame:
    """Rows of gold.item_stats, zeros where a key came without any figures."""
    nothing = F.create_map().cast("map<string,bigint>")
    zeros = {"shown": F.lit(0), "counts": nothing, "users": F.lit(0), "revenue_minor": nothing}
    filled = {name: F.coalesce(F.col(name), zero) for name, zero in zeros.items()}
    return ITEM_STATS.conform(rows.withColumns({**filled, "revision": F.lit(revision)}))


def rolling_item_stats(daily: DataFrame, days: Sequence[int], as_of: datetime.date) -> DataFrame:
    """Totals of the last `days` days up to and including `as_of`, for each item and each length in `days`.

    `daily` are valid rows of gold.item_stats. Columns: item_id, as_of, days, shown, counts, revenue_minor,
    and `user_days`: the sum of the days' distinct users, who are counted once for each day they came. Items
    without a row in a window have none in the result.
    """
    windows = F.explode(F.array(*(F.lit(length) for length in days)))
    in_window = F.col("day").between(F.date_sub(F.lit(as_of), F.col("days") - 1), F.lit(as_of))
    marks = F.concat(
        F.array(mark("shown", F.lit("shown"), F.col("shown")), mark("user", F.lit("day"), F.col("users"))),
        F.transform(F.map_entries("counts"), lambda entry: mark("kind", entry["key"], entry["value"])),
        F.transform(
            F.map_entries("revenue_minor"), lambda entry: mark("revenue", entry["key"], entry["value"])
        ),
    )
    rows = daily.withColumn("days", windows).where(in_window)
    return (
        tally(rows, ["item_id", "days"], marks)
        .groupBy("item_id", F.lit(as_of).alias("as_of"), "days")
        .agg(
            sum_of("shown").alias("shown"),
            by_name("kind").alias("counts"),
            by_name("revenue").alias("revenue_minor"),
            sum_of("user").alias("user_days"),
        )
    )
