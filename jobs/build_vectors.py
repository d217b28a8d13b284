"""Build vectors of the domain's items from what was known before the decisions that judge a model."""

import argparse
import datetime

from pyspark.sql import SparkSession

from pipelines.contracts import gold, silver
from pipelines.domain import Domain
from pipelines.features.vectors import Vectors
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.models.training import cuts
from pipelines.models.vector_store import stored_row, usable
from pipelines.models.vectors import build_vectors, material
from pipelines.settings import Settings


def current(settings: Settings, spark: SparkSession, domain: Domain, fresh: bool = False) -> Vectors:
    """The stored vectors if they still serve, otherwise (or if they must be `fresh`) new ones, now stored."""
    _, until = cuts(delta.latest(spark, settings, gold.DECISION_OUTCOMES), settings.training)
    stored = delta.read(spark, settings, gold.VECTORS)
    found = None if fresh else usable(stored, domain, until, settings.vectors.refresh_days)
    if found is None:
        tables = (delta.read(spark, settings, t) for t in (silver.ITEMS, silver.EVENTS, silver.DECISIONS))
        found = build_vectors(material(domain, until, *tables), domain, settings.vectors)
        row = spark.createDataFrame([stored_row(found, datetime.datetime.now(datetime.UTC))], stored.schema)
        delta.replace(row, gold.VECTORS, settings, f"version = '{found.version}'")
    return found


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Print the version of the new vectors and how many items have them."""
    found = current(settings, spark, args.domain, fresh=True)
    print(f"{found.version}: {found.item_keys.size:,} items, {', '.join(found.facts()['spaces'])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(batch_job("build_vectors", __doc__, run))
