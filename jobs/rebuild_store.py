"""Build the online store anew from bronze, beside the one in use, and put it in that one's place; services
read on meanwhile."""

import argparse
import logging

from pyspark.sql import SparkSession

from pipelines.features.definitions import compile_definitions
from pipelines.features.online import Updater
from pipelines.io.folding import TOPICS, catch_up, fold_bronze
from pipelines.io.online_store import store_beside
from pipelines.launch import batch_job
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> None:
    """Fold bronze, then what Kafka has beyond it; the last bit while the stream waits."""
    definitions = compile_definitions(args.domain)
    updater = Updater(args.domain, definitions, settings.silver, settings.store)
    with store_beside(settings, definitions) as store:
        for topic in TOPICS:
            log.info("%s: %d messages of bronze", topic, fold_bronze(spark, settings, topic, updater, store))
        with store.hold():
            for topic in TOPICS:
                log.info("%s: %d more of Kafka", topic, catch_up(spark, settings, topic, updater, store))
            store.publish()
        log.info("the online store is new: %s", store.stats())


if __name__ == "__main__":
    raise SystemExit(batch_job("rebuild_store", __doc__, run))
