"""Judge a model's newest version against its champion; exit code 99 when it is refused."""

import argparse
import datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.contracts.gold import BEHAVIOUR_VECTORS, TRAINING_ROWS
from pipelines.contracts.ops import GATE_RECORDS
from pipelines.features.definitions import compile_definitions
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.models.contest import REFUSED, contest_outliers, contest_rankers, name_a_model, subject
from pipelines.models.registry import Registry
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Write the verdict to ops.gate_records and to the version's tags."""
    registry, (domain, kind) = Registry(settings.tracking_uri), subject(args.model, settings)
    if kind == "ranker":
        rows = delta.read(spark, settings, TRAINING_ROWS).where(F.col("domain") == domain.name).toArrow()
        contest = contest_rankers(registry, domain, compile_definitions(domain), rows, settings)
    else:
        windows = delta.latest(spark, settings, BEHAVIOUR_VECTORS).toArrow()
        contest = contest_outliers(registry, domain, windows, settings)
    record = contest.record(datetime.datetime.now(datetime.UTC))
    delta.append(spark.createDataFrame([record], GATE_RECORDS.schema), GATE_RECORDS, settings)
    registry.tag(contest.challenger.name, contest.challenger.version, contest.tags())
    print(contest)
    return 0 if contest.verdict.accepted else REFUSED


if __name__ == "__main__":
    raise SystemExit(batch_job("gate", __doc__, run, name_a_model))
