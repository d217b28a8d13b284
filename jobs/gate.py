"""Judge a model's newest version against its champion; exit code 99 when it is refused."""

import argparse
import datetime
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.contracts.gold import BEHAVIOUR_VECTORS, TRAINING_ROWS
from pipelines.features.definitions import compile_definitions
from pipelines.io import delta, verdicts
from pipelines.launch import batch_job
from pipelines.models import contest
from pipelines.models.registry import Registry
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Write the verdict to ops.gate_records, to the version's tags and as a page to its run."""
    registry, (domain, kind) = Registry(settings.tracking_uri), contest.subject(args.model, settings)
    if kind == "ranker":
        rows = delta.read(spark, settings, TRAINING_ROWS).where(F.col("domain") == domain.name).toArrow()
        known = compile_definitions(domain)
        met = contest.contest_rankers(registry, domain, known, rows, settings, time.perf_counter_ns)
    else:
        windows = delta.latest(spark, settings, BEHAVIOUR_VECTORS).toArrow()
        met = contest.contest_outliers(registry, domain, windows, settings)
    now = datetime.datetime.now(datetime.UTC)
    verdicts.keep(met.record(now), settings, lambda: spark)
    contest.leave(registry, met, now)
    print(met)
    return 0 if met.verdict.accepted else contest.REFUSED


if __name__ == "__main__":
    raise SystemExit(batch_job("gate", __doc__, run, contest.name_a_model))
