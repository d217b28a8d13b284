"""Whether silver accounts for bronze: good and quarantined rows together are all that landed."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts import bronze, silver
from pipelines.contracts.table import Table

LANDED = (bronze.INTERACTIONS, bronze.CATALOG)
SORTED = (silver.EVENTS, silver.DECISIONS, silver.ITEMS, silver.QUARANTINE)


def accounts(read: Callable[[Table], DataFrame]) -> DataFrame:
    """For each topic and partition how many rows `landed` and how many were `sorted`, of the offsets that
    silver has reached: what arrived after its last micro-batch is not missing."""

    def rows_of(tables: tuple[Table, ...]) -> DataFrame:
        return reduce(DataFrame.unionAll, (read(t).select("topic", "partition", "offset") for t in tables))

    place = ["topic", "partition"]
    kept = rows_of(SORTED).groupBy(*place).agg(F.count("*").alias("sorted"), F.max("offset").alias("reached"))
    landed = rows_of(LANDED).join(kept.select(*place, "reached"), place).where("offset <= reached")
    counted = landed.groupBy(*place).agg(F.count("*").alias("landed"))
    return kept.join(counted, place, how="left").select(
        *place, F.coalesce("landed", F.lit(0)).alias("landed"), "sorted"
    )
