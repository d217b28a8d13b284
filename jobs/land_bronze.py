"""Land every message of the topics in bronze, byte by byte, exactly once."""

import argparse
import datetime
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.bronze.landing import landed
from pipelines.contracts.bronze import BY_TOPIC
from pipelines.contracts.table import Table
from pipelines.io import checkpoints, delta, kafka
from pipelines.launch import stream_job
from pipelines.settings import Settings


def land(settings: Settings, table: Table, messages: DataFrame, batch: delta.Batch) -> int:
    """Append one micro-batch to its bronze table; returns its number of rows."""
    return delta.append_once(
        landed(messages, datetime.datetime.now(datetime.UTC), table), table, settings, batch
    )


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start one query per topic; a query that lost its checkpoint goes on behind what has landed."""
    queries = []
    for topic, table in BY_TOPIC.items():
        query = f"land_bronze/{topic}"
        known = (
            {} if checkpoints.exists(settings, query) else delta.landed_offsets(spark, settings, table, topic)
        )
        messages = kafka.stream(spark, settings, topic, known)
        pace = {"trigger_ms": settings.streams.bronze_trigger_ms, "once": args.once}
        queries.append(delta.start(messages, partial(land, settings, table), settings, query, **pace))
    return queries


if __name__ == "__main__":
    raise SystemExit(stream_job("land_bronze", __doc__, run))
