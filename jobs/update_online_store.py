"""Keep the online store seconds fresh: fold interactions and the catalog from Kafka into its records, each
message once in effect."""

import argparse

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines.features.definitions import compile_definitions
from pipelines.features.online import Updater
from pipelines.io import checkpoints, delta, kafka
from pipelines.io.folding import TOPICS, catch_up, fold_messages
from pipelines.io.online_store import open_store
from pipelines.launch import stream_job
from pipelines.settings import Settings

QUERY = "update_online_store"


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> list[StreamingQuery]:
    """Start the one query that reads both topics, from the store's fences on: these are its checkpoint."""
    definitions = compile_definitions(args.domain)
    store = open_store(settings, definitions, readonly=False)
    updater = Updater(args.domain, definitions, settings.silver, settings.store)
    catch_up(spark, settings, "catalog", updater, store)

    is_kept = not checkpoints.is_local(settings.checkpoints)  # what is local is deleted at the start

    def write(messages: DataFrame, batch: delta.Batch) -> int:
        return fold_messages(messages, updater, store, may_skip=batch.is_first and is_kept)

    messages = kafka.stream_all(spark, settings, TOPICS, store.fences())
    pace = {"trigger_ms": settings.streams.store_trigger_ms, "once": args.once}
    checkpoints.begin_afresh(settings, QUERY)
    return [delta.start(messages, write, settings, QUERY, **pace)]


if __name__ == "__main__":
    raise SystemExit(stream_job("update_online_store", __doc__, run))
