"""Sessions: what a user did without a longer pause."""

from __future__ import annotations

import datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.contracts.gold import SESSIONS
from pipelines.gold.acts import acts, by_name, first_name, mark, names, sum_of, tally


def sessions(events: DataFrame, decisions: DataFrame, gap: datetime.timedelta, revision: int) -> DataFrame:
    """The sessions of every user in silver's events and decisions, as rows of gold.sessions.

    A session ends when its user does nothing, and is shown nothing, for longer than `gap`; a pause of exactly
    `gap` is still inside. Its source is the one of its first row that has one; `items` counts distinct items
    of interactions, `revenue_minor` its purchases.
    """
    by_user = Window.partitionBy("user_id").orderBy("at")
    pause = F.col("at") - F.lag("at").over(by_user)
    opens = F.when(pause.isNull() | (pause > F.lit(gap)), F.col("at"))
    so_far = by_user.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    rows = acts(events, decisions).withColumn("session_start", F.last(opens, ignorenulls=True).over(so_far))
    marks = F.array(
        mark("kind", F.col("kind")),
        mark("item", F.col("item_id")),
        mark("revenue", F.col("currency"), F.col("revenue")),
        mark("source", F.col("source")),
    )
    times = [F.min("at").alias("_since"), F.max("at").alias("_end")]
    parts = tally(rows, ["user_id", "session_start"], marks, times)
    found = parts.groupBy("user_id", "session_start").agg(
        F.max("_end").alias("session_end"),
        first_name("source", "_since").alias("source"),
        sum_of("kind").alias("events"),
        by_name("kind").alias("counts"),
        names("item").alias("items"),
        by_name("item").alias("items_touched"),
        by_name("revenue").alias("revenue_minor"),
    )
    return SESSIONS.conform(
        found.withColumns(
            {
                "session_date": F.to_date("session_start"),
                "is_removed": F.lit(False),
                "revision": F.lit(revision),
            }
        )
    )
