"""Audit silver and gold against their contracts; failures are rows of ops.audits, pages to read, and exit
code 1."""

import argparse
import datetime

from pyspark.sql import SparkSession

from pipelines.contracts import TABLES, ops
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.monitoring import audits
from pipelines.settings import Settings
from pipelines.silver.accounts import accounts

AUDITED = [name for name in TABLES if name.startswith(("silver.", "gold."))]


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--tables` picks some of the tables."""
    parser.add_argument("--tables", nargs="+", choices=AUDITED, default=AUDITED, metavar="TABLE")


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Print what does not hold, and where the pages are."""
    tables = [TABLES[name] for name in args.tables]
    frames = {t.name: audits.valid_rows(delta.read(spark, settings, t), t) for t in tables}
    frames[audits.ACCOUNTS] = accounts(lambda t: delta.read(spark, settings, t))
    rows = audits.audit(frames, settings.state / "audits", datetime.datetime.now(datetime.UTC))
    delta.append(spark.createDataFrame(rows, ops.AUDITS.schema), ops.AUDITS, settings)
    print("\n".join(audits.told(rows, settings.state / "audits")))
    return 0 if all(row["success"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(batch_job("audit_quality", __doc__, run, arguments))
