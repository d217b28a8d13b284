"""What users did, as every table of gold counts it: interactions and the lists they were shown, with their
money."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

UNKNOWN = "unknown"
"""Stands for a source, currency or attribute value that nobody told us."""

DECISION = "decision"
"""How a decision is counted beside the event types of a shop."""

PURCHASE = "purchase"
"""The event type whose price is revenue."""

LARGEST = 2**63 - 1  # a sum that no bigint holds is published as this instead of stopping the stream


def money() -> Column:
    """Minor units an event moves: its price times its quantity (1 when not given), null without a price."""
    amount = F.try_multiply("price_minor", F.coalesce("quantity", F.lit(1)).cast("long"))
    return F.when(F.col("price_minor").isNotNull(), F.coalesce(amount, F.lit(LARGEST)))


def revenue() -> Column:
    """Minor units of a purchase, null for any other event."""
    return F.when(F.col("event_type") == PURCHASE, money())


def total(amount: Column) -> Column:
    """The sum of a bigint column, 0 without rows; the largest bigint where the sum would not fit one."""
    return F.when(F.count(amount) == 0, F.lit(0)).otherwise(F.coalesce(F.try_sum(amount), F.lit(LARGEST)))


def interactions(events: DataFrame) -> DataFrame:
    """One row for each interaction: user_id, at, day, kind (its event type), item_id, source, revenue,
    currency."""
    return events.select(
        "user_id",
        F.col("event_time").alias("at"),
        F.col("event_date").alias("day"),
        F.col("event_type").alias("kind"),
        "item_id",
        "source",
        revenue().alias("revenue"),
        F.coalesce("currency", F.lit(UNKNOWN)).alias("currency"),
    )


def acts(events: DataFrame, decisions: DataFrame) -> DataFrame:
    """The interactions, and one row of the same columns for each decision, whose kind is `decision`."""
    lists = decisions.select(
        "user_id",
        F.col("event_time").alias("at"),
        F.col("event_date").alias("day"),
        F.lit(DECISION).alias("kind"),
        F.lit(None).cast("string").alias("item_id"),
        "source",
        F.lit(None).cast("long").alias("revenue"),
        F.lit(UNKNOWN).alias("currency"),
    )
    return interactions(events).unionAll(lists)


def mark(family: str, name: Column, amount: Column | int = 1) -> Column:
    """One tally mark: `amount` for `name` in a family of names; null, and not counted, where the name or the
    amount is null."""
    amount = F.lit(amount).cast("long") if isinstance(amount, int) else amount
    made = F.struct(F.lit(family).alias("family"), name.alias("name"), amount.alias("amount"))
    return F.when(name.isNotNull() & amount.isNotNull(), made)


def tally(rows: DataFrame, keys: Sequence[str], marks: Column, also: Sequence[Column] = ()) -> DataFrame:
    """Of each key the total per family and name, in one row: read it with `by_name`, `names` and `sum_of`.

    `marks` is an array column of `mark`s. `also` are aggregates that do not change when a row is repeated
    (min, max): they become the columns of their aliases. Totals stay exact and memory stays small however
    many names a key has. Numbers and times only: with a text among the aggregates Spark would sort the rows.
    """
    marked = rows.withColumn("_mark", F.explode(marks)).where(F.col("_mark").isNotNull())
    totals = marked.groupBy(*keys, F.col("_mark.family").alias("_family"), F.col("_mark.name").alias("_name"))
    return totals.agg(total(F.col("_mark.amount")).alias("_total"), *also)


def by_name(family: str) -> Column:
    """The totals of a family as a map in the order of its names; an aggregate of the rows of `tally`."""
    entry = F.when(F.col("_family") == family, F.struct("_name", F.coalesce("_total", F.lit(0))))
    return F.map_from_entries(F.sort_array(F.collect_list(entry)))


def names(family: str) -> Column:
    """How many names a family has."""
    return F.count(F.when(F.col("_family") == family, True))


def sum_of(family: str) -> Column:
    """The total over all names of a family, 0 when it has none."""
    return total(F.when(F.col("_family") == family, F.col("_total")))


def first_name(family: str, since: str) -> Column:
    """Of a family's names the one with the least `since`, the first in the alphabet among equals."""
    return F.min(F.when(F.col("_family") == family, F.struct(since, "_name")))["_name"]
