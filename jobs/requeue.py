"""Land quarantined rows once more that are good now; refine_silver takes them from there."""

import argparse
import datetime

from pyspark.sql import SparkSession

from pipelines.contracts.bronze import COORDINATES, REFINED
from pipelines.contracts.silver import QUARANTINE
from pipelines.io import delta
from pipelines.io.files import read_values
from pipelines.io.stored import StoredRows
from pipelines.launch import batch_job
from pipelines.settings import Settings
from pipelines.silver import requeue
from pipelines.silver.sheets import Clerk


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which rows."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--reason", metavar="TEXT", help="rows with a reason that contains this")
    which.add_argument("--all", action="store_true", help="every row that the domain file finds good now")
    which.add_argument("--repaired", metavar="FILE", help="JSONL: topic, partition, offset and new value")


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> None:
    """Judge the rows anew and print what became of them; a row lands once, however often this runs."""
    stored, now = StoredRows(spark, settings), datetime.datetime.now(datetime.UTC)
    rows, file = stored.columns(QUARANTINE, QUARANTINE.schema.names), args.repaired
    rows = requeue.repaired(rows, read_values(file), file) if file else requeue.chosen(rows, args.reason)
    before = {place for t in REFINED for place in requeue.places_of(stored.columns(t, [*COORDINATES]))}
    found = requeue.requeue(rows, Clerk(args.domain, settings.silver), before, now)
    for table, landing in found.rows:
        delta.append(spark.createDataFrame(landing), table, settings)
    print(", ".join(f"{name}: {count}" for name, count in found.counts.items()))


if __name__ == "__main__":
    raise SystemExit(batch_job("requeue", __doc__, run, arguments))
