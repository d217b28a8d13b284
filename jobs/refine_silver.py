"""Refine bronze into silver: parse once, judge by rules, find repeats; each row is good or quarantined with
reasons."""

import argparse

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.clock import now_ms
from pipelines.contracts import bronze, ops
from pipelines.io import delta
from pipelines.io.stored import StoredRows
from pipelines.launch import stream_job
from pipelines.monitoring.progress import progress
from pipelines.settings import Settings
from pipelines.silver.events import arriving
from pipelines.silver.sorting import Sorter

QUERY = "refine_silver"


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads interactions and catalog: each table of silver has one writer."""
    sorter = Sorter(args.domain, settings.silver, StoredRows(spark, settings))

    def write(landed: DataFrame, batch: delta.Batch) -> int:
        done = sorter.sort(landed.toArrow(), batch.id)
        counted = progress(QUERY, batch.id, now_ms(), done.counts)
        for table, rows in (*done.rows, (ops.STREAM_PROGRESS, counted)):
            delta.append_rows_once(rows, table, settings, batch, spark)
        return done.counts["consumed"]

    most = settings.streams.silver_bytes_per_trigger
    landed = [arriving(delta.stream(spark, settings, t, most)) for t in (bronze.INTERACTIONS, bronze.CATALOG)]
    pace = {"trigger_ms": settings.streams.silver_trigger_ms, "once": args.once}
    return [delta.start(landed[0].unionByName(landed[1]), write, settings, QUERY, **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job(QUERY, __doc__, run))
