"""Make a model's version its champion if the gate has accepted it; exit code 99 when it has not."""

import argparse

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.contracts.ops import GATE_RECORDS
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.models.contest import name_a_model, promotion, subject
from pipelines.models.registry import Registry
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Move the alias `champion`; every process that scores takes the version at its next batch."""
    registry, (domain, kind) = Registry(settings.tracking_uri), subject(args.model, settings)
    name = f"{domain.name}-{kind}"
    version = registry.version(name, args.version) if args.version else registry.latest(name)
    is_about = (F.col("model_name") == name) & (F.col("challenger") == version.version)
    verdict = delta.read(spark, settings, GATE_RECORDS).where(is_about).orderBy(F.desc("decided_at")).first()
    code, told = promotion(registry, version, verdict.asDict() if verdict else None, args.force)
    print(told)
    return code


def arguments(parser: argparse.ArgumentParser) -> None:
    """The model is required; the version is the newest one unless given."""
    name_a_model(parser)
    parser.add_argument("--version", help="a version (default: the newest)")
    parser.add_argument("--force", action="store_true", help="promote without the gate's consent")


if __name__ == "__main__":
    raise SystemExit(batch_job("promote", __doc__, run, arguments))
