"""Messages of Kafka and of bronze, handed over to the updater of the online store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.contracts import bronze
from pipelines.errors import StoreError
from pipelines.features.online import Updater
from pipelines.io import delta, kafka
from pipelines.io.kafka_admin import end_offsets, first_offsets
from pipelines.io.online_store import OnlineStore, Place
from pipelines.settings import Settings
from pipelines.silver.events import arriving, pieces

log = logging.getLogger("lakepulse")
TOPICS = ("catalog", "interactions")
"""What is folded, in the order in which a backlog is: items are known before what happens to them."""

_TABLES = {"catalog": bronze.CATALOG, "interactions": bronze.INTERACTIONS}
_OFFSETS_AT_ONCE = 100_000


def fold_messages(messages: DataFrame, updater: Updater, store: OnlineStore, may_skip: bool = False) -> int:
    """Fold messages with Kafka's own columns; how many there were. With `may_skip` they come from a
    checkpoint that may be ahead of the store: then StoreError."""
    count = 0
    for piece in pieces(arriving(messages.withColumn("ingested_at", F.col("timestamp")))):
        if may_skip:
            _refuse_gap(piece, store)
        updater.fold(piece, store)
        count += piece.num_rows
    return count


def _refuse_gap(piece: pa.Table, store: OnlineStore) -> None:
    begins = piece.group_by(["topic", "partition"]).aggregate([("offset", "min")]).to_pylist()
    for row in begins:
        fence, first = store.fence(row["topic"], row["partition"]), row["offset_min"]
        if fence < first and row["topic"] == "interactions":
            raise StoreError(
                f"the checkpoint is ahead of the online store: it goes on at offset {first} of partition "
                f"{row['partition']}, the store lacks {fence} to {first - 1}: set another `paths.checkpoints`"
            )


def catch_up(
    spark: SparkSession, settings: Settings, topic: str, updater: Updater, store: OnlineStore
) -> int:
    """Fold what Kafka holds of a topic now and the store lacks; how many messages that were."""
    ends = {(topic, p): offset for p, offset in end_offsets(settings, topic).items()}
    first = {(topic, p): offset for p, offset in first_offsets(settings, topic).items()}
    done = first | {place: offset for place, offset in store.fences().items() if place in ends}
    count = 0
    for until in _steps(done, ends):
        count += fold_messages(kafka.present(spark, settings, [topic], done, until), updater, store)
        done = until
    return count


def fold_bronze(
    spark: SparkSession, settings: Settings, topic: str, updater: Updater, store: OnlineStore
) -> int:
    """Fold what bronze holds of a topic and the store lacks; how many messages that were."""
    rows = delta.read(spark, settings, _TABLES[topic]).where(F.col("topic") == topic)
    highest = rows.agg(F.max("offset")).collect()[0][0]
    first = min((offset for (name, _), offset in store.fences().items() if name == topic), default=0)
    count = 0
    for start in range(first, -1 if highest is None else highest + 1, _OFFSETS_AT_ONCE):
        for piece in _bronze_pieces(rows, start):
            updater.fold(piece, store)
            count += piece.num_rows
    return count


def build_anew(spark: SparkSession, settings: Settings, updater: Updater, store: OnlineStore) -> None:
    """Fold bronze into the store, then what Kafka has beyond it, the last bit while the stream waits; then
    put the store in place of the one in use."""
    for topic in TOPICS:
        log.info("%s: %d messages of bronze", topic, fold_bronze(spark, settings, topic, updater, store))
    with store.hold():
        for topic in TOPICS:
            log.info("%s: %d more of Kafka", topic, catch_up(spark, settings, topic, updater, store))
        store.publish()
    log.info("the online store is new: %s", store.stats())


def _bronze_pieces(rows: DataFrame, start: int) -> Iterator[pa.Table]:
    offset = F.col("offset")
    return pieces(arriving(rows.where((offset >= start) & (offset < start + _OFFSETS_AT_ONCE))))


def _steps(done: Mapping[Place, int], ends: Mapping[Place, int]) -> Iterator[dict[Place, int]]:
    """Ends of what is read at once, until `ends`."""
    at = dict(done)
    while any(at[place] < end for place, end in ends.items()):
        at = {place: min(at[place] + _OFFSETS_AT_ONCE, end) for place, end in ends.items()}
        yield at
