"""Kafka, as Spark reads and writes it."""

from __future__ import annotations

import json
import os

from pyspark.sql import DataFrame, SparkSession

from pipelines.settings import Settings

# The defaults fetch 1 MiB and hand out 500 records at a time, which costs twice the CPU of reading.
FETCH = {"kafka.max.partition.fetch.bytes": "8388608", "kafka.max.poll.records": "20000"}


def connection(settings: Settings) -> dict[str, str]:
    """Options that every Kafka source and sink needs. The SASL login, if any, is taken from LAKEPULSE_KAFKA_JAAS."""
    options = {"kafka.bootstrap.servers": settings.bootstrap, "kafka.security.protocol": settings.kafka.security_protocol}
    if settings.kafka.security_protocol.startswith("SASL"):
        options["kafka.sasl.mechanism"] = os.environ.get("LAKEPULSE_KAFKA_SASL_MECHANISM", "PLAIN")
        options["kafka.sasl.jaas.config"] = os.environ["LAKEPULSE_KAFKA_JAAS"]
    return options


def stream(spark: SparkSession, settings: Settings, topic: str, first_offsets: dict[int, int]) -> DataFrame:
    """The messages of a topic as they arrive, with headers; Kafka's own columns.

    A query without a checkpoint starts at `first_offsets` (partition → offset), in partitions not named there at the earliest
    message. Messages that the broker deleted before they were read stop the stream: losing them in silence is not an option.
    """
    reader = spark.readStream.format("kafka").options(**connection(settings), **FETCH)
    reader = reader.option("subscribe", topic).option("includeHeaders", "true").option("failOnDataLoss", "true")
    reader = reader.option("maxOffsetsPerTrigger", settings.streams.max_offsets_per_trigger)
    return reader.option("startingOffsets", starting_offsets(topic, first_offsets)).load()


def starting_offsets(topic: str, first_offsets: dict[int, int]) -> str:
    """Spark's spelling of where to start; `earliest` when no partition is known."""
    if not first_offsets:
        return "earliest"
    return json.dumps({topic: {str(p): o for p, o in sorted(first_offsets.items())}})
