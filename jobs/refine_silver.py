"""Refine bronze into silver: parse once, judge, find repeats. A row is good, or quarantined with reasons."""

import argparse
from collections import Counter

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.clock import now_ms
from pipelines.contracts import bronze, ops
from pipelines.io import delta
from pipelines.io.stored import StoredRows
from pipelines.launch import stream_job
from pipelines.monitoring.progress import progress
from pipelines.settings import Settings
from pipelines.silver.events import arriving, pieces
from pipelines.silver.sorting import Sorter


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads interactions and catalog: each table of silver has one writer."""
    sorter = Sorter(args.domain, settings.silver, StoredRows(spark, settings))

    def write(landed: DataFrame, batch: delta.Batch) -> None:
        counts: Counter[str] = Counter()
        for done in (sorter.sort(piece, batch.id) for piece in pieces(landed)):
            counts.update(done.counts)
            for table, rows in done.rows:
                delta.append_rows(rows, table, settings, batch, spark)
        row = progress("refine_silver", batch.id, counts, now_ms())
        delta.append_rows_once(row, ops.STREAM_PROGRESS, settings, batch, spark)

    streams = [delta.stream(spark, settings, t, settings.streams.silver_batch_bytes) for t in bronze.REFINED]
    pace = {"trigger_ms": settings.streams.silver_trigger_ms, "once": args.once}
    return [delta.start(arriving(*streams), write, settings, "refine_silver", **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job("refine_silver", __doc__, run))
