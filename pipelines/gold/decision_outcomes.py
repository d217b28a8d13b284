"""Outcomes of decisions: what became of each item that was shown."""

from __future__ import annotations

import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import DECISION_OUTCOMES
from pipelines.domain import Domain


def attribution_window(domain: Domain) -> datetime.timedelta:
    """How long after a decision an event is its outcome."""
    return datetime.timedelta(minutes=domain.outcomes.window_minutes)


def decision_outcomes(decisions: DataFrame, events: DataFrame, domain: Domain, revision: int) -> DataFrame:
    """One row of gold.decision_outcomes for each item of each decision, at its first position in the list,
    counted from 1.

    An outcome is an event of a type that the domain gives a gain, that names the decision and the item, and
    happened from the time of the decision until the end of the attribution window, both included. `label` is
    the gain of the best one, 0 without any.
    """
    place = F.posexplode("items").alias("_place", "item_id")
    listed = decisions.select(
        "decision_id",
        "user_id",
        F.col("event_time").alias("decided_at"),
        F.col("event_date").alias("day"),
        "items",
        place,
    )
    is_first = F.array_position("items", F.col("item_id")) == F.col("_place") + 1
    shown = listed.where(is_first).withColumn("position", F.col("_place") + 1).drop("items", "_place")
    gains = domain.outcomes.gains
    happened = events.where(F.col("event_type").isin(*gains)).select(
        "decision_id", "item_id", "event_time", F.col("event_type").alias("kind"), _gain(gains).alias("gain")
    )
    until = F.col("decided_at") + F.lit(attribution_window(domain))
    counted = F.col("event_time").between(F.col("decided_at"), until)
    in_time = counted & F.col("gain").isNotNull()
    pairs = shown.join(happened, on=["decision_id", "item_id"], how="left")
    found = pairs.groupBy(*shown.columns).agg(
        F.coalesce(F.max(F.when(in_time, F.col("gain"))), F.lit(0.0)).alias("label"),
        _counts(list(gains), in_time).alias("outcomes"),
        F.min(F.when(in_time, F.col("event_time"))).alias("first_outcome_at"),
    )
    return DECISION_OUTCOMES.conform(found.withColumn("revision", F.lit(revision)))


def _gain(gains: dict[str, float]) -> Column:
    pairs = [F.lit(part) for name, gain in gains.items() for part in (name, float(gain))]
    return F.try_element_at(F.create_map(*pairs), F.col("event_type"))


def _counts(kinds: list[str], in_time: Column) -> Column:
    pairs = [
        p
        for kind in sorted(kinds)
        for p in (F.lit(kind), F.count(F.when(in_time & (F.col("kind") == kind), True)))
    ]
    return F.map_filter(F.create_map(*pairs), lambda _, count: count > 0)
