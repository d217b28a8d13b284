"""Watch the shop's metrics: drops beside what the past lets expect, per segment, and what they come from."""

import argparse

from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.clock import now_ms
from pipelines.io import delta
from pipelines.io.watching import Watcher, arrivals
from pipelines.launch import stream_job
from pipelines.settings import Settings

QUERY = "watch_metrics"


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query; its state lies beside its checkpoint."""
    watcher = Watcher(settings, args.domain, now_ms, QUERY)
    pace = {"trigger_ms": settings.streams.watch_trigger_ms, "once": args.once}
    return [delta.start(arrivals(spark, settings), watcher.take, settings, QUERY, **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job(QUERY, __doc__, run))
