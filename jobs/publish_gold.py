"""Publish sessions, statistics, engagement, outcomes and profiles; correct them as rows come."""

import argparse
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.contracts import silver
from pipelines.gold.decision_outcomes import attribution_window
from pipelines.gold.publish import corrections, publish
from pipelines.gold.touched import Lake, arrivals
from pipelines.io import delta
from pipelines.io.holding import Holding
from pipelines.launch import stream_job
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads silver's three tables: a row of gold may depend on all of them."""
    gap = timedelta(minutes=settings.gold.session_gap_minutes)
    reach, tables = attribution_window(args.domain), corrections(args.domain, gap)
    holding = Holding(settings, "publish_gold", lambda: spark)
    lake = partial(Lake, partial(delta.read, spark, settings), partial(delta.next_revision, spark, settings))

    def write(rows: DataFrame, batch: delta.Batch) -> int:
        append = partial(delta.append_part, settings, batch)
        return publish(rows, lake(append, holding.of(batch)), tables, gap, reach)

    new = arrivals(
        *(delta.stream(spark, settings, t) for t in (silver.EVENTS, silver.DECISIONS, silver.ITEMS))
    )
    pace = {"trigger_ms": settings.streams.gold_trigger_ms, "once": args.once}
    return [delta.start(new, write, settings, "publish_gold", **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job("publish_gold", __doc__, run))
