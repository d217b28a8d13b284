"""Fold the small files that streams leave in the lake into larger ones; every row stays as it is."""

import argparse

from pyspark.sql import SparkSession

from pipelines.contracts import TABLES
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> None:
    """Print, for each table that is there, how many files became how many."""
    for name, table in TABLES.items():
        if delta.exists(settings, table, spark):
            done = delta.compact(spark, settings, table)
            print(f"{name:<28} {done['numFilesRemoved']:>6} files became {done['numFilesAdded']}")


if __name__ == "__main__":
    raise SystemExit(batch_job("compact_tables", __doc__, run))
