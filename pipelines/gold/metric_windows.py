"""Engagement per window: the minutes of gold.engagement put together."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def metric_windows(engagement: DataFrame, window_minutes: int) -> DataFrame:
    """Of valid rows of gold.engagement, per window, metric and segment: begin_ms, metric, segment, value,
    exposure.

    Counts, sums and distinct numbers of a minute are added up (so people of a window are people-minutes); a
    ratio is that of all its minutes, and `exposure` their denominators together, 0 for what is no ratio.
    """
    length = 60_000 * window_minutes
    minute = F.unix_millis("minute")
    exposure = F.coalesce("exposure", F.lit(0)).cast("double")
    is_ratio = F.col("exposure").isNotNull()
    part = F.when(is_ratio, F.col("value") * exposure).otherwise(F.col("value"))
    grouped = engagement.groupBy((minute - minute % length).alias("begin_ms"), "metric", "segment")
    summed = grouped.agg(F.sum(part).alias("part"), F.sum(exposure).alias("exposure"))
    share = F.when(F.col("exposure") > 0, F.try_divide("part", "exposure")).otherwise(F.col("part"))
    return summed.select("begin_ms", "metric", "segment", share.cast("double").alias("value"), "exposure")
