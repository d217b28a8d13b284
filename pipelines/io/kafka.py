"""Kafka, as Spark reads and writes it."""

from __future__ import annotations

import json
import os

from pyspark.sql import DataFrame, SparkSession

from pipelines.io.kafka_admin import partitions
from pipelines.settings import Settings

# The defaults fetch 1 MiB and hand out 500 records at a time, which costs twice the CPU of reading.
FETCH = {"kafka.max.partition.fetch.bytes": "8388608", "kafka.max.poll.records": "20000"}
EARLIEST = -2  # Spark's word for a partition's first message


def connection(settings: Settings) -> dict[str, str]:
    """Options that every Kafka source and sink needs. The SASL login, if any, is taken from
    LAKEPULSE_KAFKA_JAAS."""
    options = {
        "kafka.bootstrap.servers": settings.bootstrap,
        "kafka.security.protocol": settings.kafka.security_protocol,
    }
    if settings.kafka.security_protocol.startswith("SASL"):
        options["kafka.sasl.mechanism"] = os.environ.get("LAKEPULSE_KAFKA_SASL_MECHANISM", "PLAIN")
        options["kafka.sasl.jaas.config"] = os.environ["LAKEPULSE_KAFKA_JAAS"]
    return options


def stream(spark: SparkSession, settings: Settings, topic: str, landed: dict[int, int]) -> DataFrame:
    """The messages of a topic as they arrive, with headers; Kafka's own columns.

    A query without a checkpoint starts behind what has landed (partition → next offset), in other partitions
    at the earliest message. Messages that the broker deleted before they were read stop the stream: losing
    them in silence is not an option.
    """
    starts = {str(p): landed.get(p, EARLIEST) for p in partitions(settings, topic)}
    reader = spark.readStream.format("kafka").options(**connection(settings), **FETCH)
    reader = (
        reader.option("subscribe", topic).option("includeHeaders", "true").option("failOnDataLoss", "true")
    )
    reader = reader.option("maxOffsetsPerTrigger", settings.streams.max_offsets_per_trigger)
    return reader.option("startingOffsets", json.dumps({topic: starts})).load()
