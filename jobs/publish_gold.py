"""Publish sessions, item statistics, engagement, outcomes, profiles and behaviour vectors, and correct them as rows come late."""

import argparse
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.anomalies.behaviour import corrected_vectors
from pipelines.contracts import gold, silver
from pipelines.contracts.table import Table
from pipelines.gold.publish import corrections, publish
from pipelines.gold.touched import Lake, arrivals
from pipelines.io import delta
from pipelines.launch import stream_job
from pipelines.settings import Settings


def lake(settings: Settings, spark: SparkSession, batch: delta.Batch) -> Lake:
    """The lake as a micro-batch sees it. A row's revision is the number of the commit that would be the table's next."""

    def append(rows: DataFrame, table: Table, are_few: bool) -> int:
        return delta.append_once(rows, table, settings, replace(batch, is_small=are_few))

    return Lake(
        partial(delta.read, spark, settings), append, lambda table: delta.version(spark, settings, table) + 1
    )


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads silver's three tables together: a row of gold may depend on all of them."""
    tables = corrections(args.domain, timedelta(minutes=settings.gold.session_gap_minutes))
    tables[gold.BEHAVIOUR_VECTORS] = partial(
        corrected_vectors, timedelta(minutes=settings.gold.behaviour_window_minutes)
    )
    new = arrivals(
        *(delta.stream(spark, settings, t) for t in (silver.EVENTS, silver.DECISIONS, silver.ITEMS))
    )

    def write(rows: DataFrame, batch: delta.Batch) -> int:
        return publish(rows, lake(settings, spark, batch), tables)

    return [
        delta.start(
            new, write, settings, "publish_gold", trigger_ms=settings.streams.gold_trigger_ms, once=args.once
        )
    ]


if __name__ == "__main__":
    raise SystemExit(stream_job("publish_gold", __doc__, run))
