"""Publish sessions, statistics, engagement, outcomes, profiles, behaviour; correct them as rows come."""

import argparse
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.anomalies.behaviour import corrected_vectors
from pipelines.contracts import gold, silver
from pipelines.gold.decision_outcomes import attribution_window
from pipelines.gold.publish import corrections, publish
from pipelines.gold.touched import Lake, arrivals
from pipelines.io import delta
from pipelines.launch import stream_job
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads silver's three tables: a row of gold may depend on all of them."""
    gap = timedelta(minutes=settings.gold.session_gap_minutes)
    window = timedelta(minutes=settings.gold.behaviour_window_minutes)
    reach = max(attribution_window(args.domain), window)
    tables = corrections(args.domain, gap) | {gold.BEHAVIOUR_VECTORS: partial(corrected_vectors, window)}
    lake = partial(Lake, partial(delta.read, spark, settings), partial(delta.next_revision, spark, settings))

    def write(rows: DataFrame, batch: delta.Batch) -> int:
        append = partial(delta.append_part, settings, batch)
        return publish(rows, lake(append), tables, gap, reach)

    new = arrivals(
        *(delta.stream(spark, settings, t) for t in (silver.EVENTS, silver.DECISIONS, silver.ITEMS))
    )
    pace = {"trigger_ms": settings.streams.gold_trigger_ms, "once": args.once}
    return [delta.start(new, write, settings, "publish_gold", **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job("publish_gold", __doc__, run))
