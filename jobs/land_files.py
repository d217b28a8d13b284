"""Land the JSONL, CSV and Parquet files that partners drop into <drops>/<topic>/ in bronze, each line
once."""

import argparse
from functools import partial

from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery

from jobs.land_bronze import land
from pipelines.contracts.bronze import BY_TOPIC
from pipelines.io import delta, drops
from pipelines.launch import stream_job
from pipelines.settings import Settings

TOPICS = ("interactions", "catalog")


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start one query per topic's folder."""
    pace = {"trigger_ms": settings.streams.drops_trigger_ms, "once": args.once}
    return [
        delta.start(
            drops.stream(spark, settings, topic),
            partial(land, settings, BY_TOPIC[topic]),
            settings,
            f"land_files/{topic}",
            **pace,
        )
        for topic in TOPICS
    ]


if __name__ == "__main__":
    raise SystemExit(stream_job("land_files", __doc__, run))
