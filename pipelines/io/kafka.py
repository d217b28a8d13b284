"""Kafka, as Spark reads and writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

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
    return stream_all(spark, settings, [topic], {(topic, p): offset for p, offset in landed.items()})


def stream_all(
    spark: SparkSession, settings: Settings, topics: Sequence[str], done: Mapping[tuple[str, int], int]
) -> DataFrame:
    """As `stream`, of several topics in one query; `done` says how far each partition is."""
    reader = spark.readStream.format("kafka").options(**_source(settings, topics, done))
    return reader.option("maxOffsetsPerTrigger", settings.streams.max_offsets_per_trigger).load()


def present(
    spark: SparkSession,
    settings: Settings,
    topics: Sequence[str],
    done: Mapping[tuple[str, int], int],
    until: Mapping[tuple[str, int], int],
) -> DataFrame:
    """The messages of these topics from `done` up to `until` (excluded), in every partition that it names."""
    ends: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in until.items():
        ends.setdefault(topic, {})[str(partition)] = offset
    reader = spark.read.format("kafka").options(**_source(settings, topics, done))
    return reader.option("endingOffsets", json.dumps(ends)).load()


def _source(settings: Settings, topics: Sequence[str], done: Mapping[tuple[str, int], int]) -> dict[str, str]:
    starts = {
        topic: {str(p): done.get((topic, p), EARLIEST) for p in partitions(settings, topic)}
        for topic in topics
    }
    return {
        **connection(settings),
        **FETCH,
        "subscribe": ",".join(topics),
        "includeHeaders": "true",
        "failOnDataLoss": "true",
        "startingOffsets": json.dumps(starts),
    }
