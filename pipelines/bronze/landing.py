"""Rows of bronze: what Kafka delivered or a partner dropped, untouched, with its coordinates."""

from __future__ import annotations

import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.table import Table


def landed(messages: DataFrame, ingested_at: datetime.datetime, table: Table) -> DataFrame:
    """One bronze row for each Kafka message: bytes, key, headers and coordinates as they came, and when we
    took it in."""
    arrived = messages.withColumns(
        {"ingested_at": F.lit(ingested_at), "ingest_date": F.lit(ingested_at.date())}
    )
    return table.conform(arrived)
