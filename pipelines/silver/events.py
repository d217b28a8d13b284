"""Silver as functions from rows of bronze to rows of silver, for batches of any size and for streams."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def arriving(bronze: DataFrame) -> DataFrame:
    """What silver reads of a landed row: bytes, headers, coordinates and when it arrived (its Kafka
    timestamp)."""
    arrived_at = F.coalesce("timestamp", "ingested_at").alias("arrived_at")
    return bronze.select("topic", "partition", "offset", "key", "value", "headers", arrived_at)
