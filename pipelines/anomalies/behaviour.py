"""Behaviour vectors: how a user behaved in a short window, as numbers that outlier models compare."""

from __future__ import annotations

import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.gold.acts import DECISION, PURCHASE, revenue, total
from pipelines.gold.touched import Lake, Touched

USER = "user"

NAMES = (
    "events",  # interactions of the user in the window
    "decisions",  # lists shown to the user
    "searches",
    "clicks",
    "carts",
    "purchases",
    "failures",  # events whose type ends with _failed: logins, payments, …
    "failure_share",  # of the events
    "clicks_per_decision",
    "carts_per_click",
    "purchases_per_click",
    "kinds",  # distinct event types, a decision being one
    "kind_entropy",  # bits: 0 when all rows are of one kind
    "gap_mean_s",  # seconds between two rows of the user; the window's length with fewer than two rows
    "gap_variation",  # standard deviation of the gaps over their mean: 0 for a metronome, about 1 for chance
    "gap_entropy",  # bits, over gaps sorted by order of magnitude (powers of two of a millisecond)
    "gap_shortest_s",  # seconds; the window's length with fewer than two rows
    "distinct_items",
    "repeated_item_share",  # of the interactions with an item, those with one already touched in the window
    "distinct_sessions",
    "distinct_devices",
    "distinct_addresses",
    "distinct_sources",
    "distinct_queries",
    "spent_minor",  # minor units of purchases, all currencies together
    "dearest_minor",  # minor units of the dearest purchase
)
"""What each place of a vector holds. Every value is finite: a share of nothing is 0, never null or NaN."""

_DISTINCT = {
    "distinct_items": "item_id",
    "distinct_sessions": "session_id",
    "distinct_devices": "device_id",
    "distinct_addresses": "ip_hash",
    "distinct_sources": "source",
    "distinct_queries": "query",
}
_COUNTED = {
    "decisions": DECISION,
    "searches": "search",
    "clicks": "click",
    "carts": "cart",
    "purchases": PURCHASE,
}
_FAILED = "_failed"
_SIZES = 48  # powers of two of a millisecond: the last is longer than any window


def behaviour_vectors(
    events: DataFrame, decisions: DataFrame, window: datetime.timedelta, revision: int
) -> DataFrame:
    """One row of gold.behaviour_vectors for each user and window in which silver has an interaction or a decision of that user.

    Windows start at multiples of their length since the epoch. `vector` follows NAMES. Event types that a shop does not have are 0.
    """
    rows = _rows(events, decisions, window)
    by_kind = rows.groupBy("user_id", "window_start", "kind").agg(
        F.count("*").alias("rows"),
        F.count("item_id").alias("with_item"),
        F.sum("gap").alias("gap_sum"),
        F.sum(F.col("gap") * F.col("gap")).alias("gap_squares"),  # at most the square of the window's length
        F.min("gap").alias("gap_least"),
        F.collect_list(_order_of_magnitude(F.col("gap"))).alias("gap_sizes"),
        total(F.col("revenue")).alias("spent"),
        F.max("revenue").alias("dearest"),
        *(F.collect_set(column).alias(column) for column in _DISTINCT.values()),
    )
    found = by_kind.groupBy("user_id", "window_start").agg(*_totals())
    vector = F.array(*(figure.cast("double") for figure in _figures(window).values()))
    return BEHAVIOUR_VECTORS.conform(
        found.select(
            F.lit(USER).alias("entity"),
            F.col("user_id").alias("entity_id"),
            "window_start",
            F.to_date("window_start").alias("day"),
            F.transform(vector, lambda value: F.coalesce(value, F.lit(0.0))).alias("vector"),
            F.lit(revision).alias("revision"),
        )
    )


def window_start(at: Column, window: datetime.timedelta) -> Column:
    """The start of the window that a time falls into."""
    return F.window(at, f"{round(window.total_seconds() * 1000)} milliseconds")["start"]


def _rows(events: DataFrame, decisions: DataFrame, window: datetime.timedelta) -> DataFrame:
    columns = ["user_id", "event_time", "source", "session_id", "device_id", "ip_hash", "query"]
    done = events.select(*columns, "item_id", F.col("event_type").alias("kind"), revenue().alias("revenue"))
    shown = decisions.select(*columns, F.lit(DECISION).alias("kind"))
    rows = done.unionByName(shown, allowMissingColumns=True)
    rows = rows.withColumn("window_start", window_start(F.col("event_time"), window))
    in_order = Window.partitionBy("user_id", "window_start").orderBy("event_time")
    at = F.unix_millis("event_time")
    return rows.withColumn("gap", at - F.lag(at).over(in_order))


def _order_of_magnitude(gap: Column) -> Column:
    return F.floor(F.log2(gap + 1)).cast("int")


def _totals() -> list[Column]:
    failed = F.col("kind").endswith(_FAILED)
    return [
        *(total(F.when(F.col("kind") == kind, F.col("rows"))).alias(name) for name, kind in _COUNTED.items()),
        total(F.when(F.col("kind") != DECISION, F.col("rows"))).alias("events"),
        total(F.when(failed, F.col("rows"))).alias("failures"),
        F.sum("rows").alias("rows"),
        F.array_sort(F.collect_list("rows")).alias("kind_sizes"),
        F.sum("with_item").alias("with_item"),
        F.sum("gap_sum").alias("gap_sum"),
        F.sum("gap_squares").alias("gap_squares"),
        F.min("gap_least").alias("gap_least"),
        F.flatten(F.collect_list("gap_sizes")).alias("gap_sizes"),
        total(F.col("spent")).alias("spent_minor"),
        F.max("dearest").alias("dearest_minor"),
        *(
            F.size(F.array_distinct(F.flatten(F.collect_list(column)))).alias(name)
            for name, column in _DISTINCT.items()
        ),
    ]


def _figures(window: datetime.timedelta) -> dict[str, Column]:
    """Each figure by its name, null where nothing can be said. Sums are of integers: the same rows give the same bits."""
    silence = F.lit(window.total_seconds())
    gaps = F.col("rows") - 1
    mean = _share(F.col("gap_sum"), gaps)
    variance = F.greatest(_share(F.col("gap_squares"), gaps) - mean * mean, F.lit(0.0))
    by_size = F.transform(
        F.sequence(F.lit(0), F.lit(_SIZES)), lambda size: F.size(F.filter("gap_sizes", lambda g: g == size))
    )
    plain = ("events", *_COUNTED, "failures", *_DISTINCT, "spent_minor", "dearest_minor")
    figures = {name: F.col(name) for name in plain} | {
        "failure_share": _share(F.col("failures"), F.col("events")),
        "clicks_per_decision": _share(F.col("clicks"), F.col("decisions")),
        "carts_per_click": _share(F.col("carts"), F.col("clicks")),
        "purchases_per_click": _share(F.col("purchases"), F.col("clicks")),
        "kinds": F.size("kind_sizes"),
        "kind_entropy": _entropy(F.col("kind_sizes"), F.col("rows")),
        "gap_mean_s": F.coalesce(mean / 1000, silence),
        "gap_variation": _share(F.sqrt(variance), mean),
        "gap_entropy": _entropy(by_size, gaps),
        "gap_shortest_s": F.coalesce(F.col("gap_least") / 1000, silence),
        "repeated_item_share": _share(F.col("with_item") - F.col("distinct_items"), F.col("with_item")),
    }
    return {name: figures[name] for name in NAMES}


def _share(part: Column, whole: Column) -> Column:
    return F.try_divide(part.cast("double"), whole.cast("double"))


def _entropy(sizes: Column, whole: Column) -> Column:
    """Shannon's entropy in bits of a list of counts that add up to `whole`."""

    def add(so_far: Column, size: Column) -> Column:
        share = _share(size, whole)
        return so_far - F.when(size > 0, share * F.log2(share)).otherwise(0.0)

    return F.aggregate(sizes, F.lit(0.0), add)


def corrected_vectors(window: datetime.timedelta, lake: Lake, batch: Touched, revision: int) -> DataFrame:
    """The vectors of the windows that a micro-batch of silver has rows in."""
    when = batch.when.widened(window, window)
    keys = batch.acts.select(
        F.col("user_id").alias("entity_id"), window_start(F.col("at"), window).alias("window_start")
    )
    users = batch.acts.select("user_id").distinct()
    events, decisions = (
        rows.join(users, "user_id", how="left_semi") for rows in (lake.events(when), lake.decisions(when))
    )
    found = behaviour_vectors(events, decisions, window, revision)
    return found.join(keys.distinct(), ["entity_id", "window_start"], how="left_semi")
