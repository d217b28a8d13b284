"""Publish behaviour vectors of users, sessions, devices and addresses as windows close; correct them."""

import argparse
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.anomalies.acts import arrivals
from pipelines.anomalies.watching import Watch, category_of, pace_of, past_of
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.io import delta
from pipelines.launch import stream_job
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads silver's three tables."""
    watermark = timedelta(minutes=settings.silver.watermark_minutes)
    watch = Watch(pace_of(settings), past_of(partial(delta.read, spark, settings), args.domain, watermark))

    def write(new: DataFrame, batch: delta.Batch) -> int:
        revision = delta.next_revision(spark, settings, BEHAVIOUR_VECTORS)
        rows, written = watch.take(new.toArrow(), revision)
        if delta.append_rows_once(rows, BEHAVIOUR_VECTORS, settings, batch, spark) or not rows.num_rows:
            written()
        return int(rows.num_rows)

    silver = (delta.stream(spark, settings, table) for table in (EVENTS, DECISIONS, ITEMS))
    new = arrivals(*silver, category=category_of(args.domain), watermark=watermark)
    pace = {"trigger_ms": settings.streams.behaviour_trigger_ms, "once": args.once}
    return [delta.start(new, write, settings, "watch_behaviour", **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job("watch_behaviour", __doc__, run))
