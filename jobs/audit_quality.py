"""Audit silver and gold against their contracts; failures are rows of ops.audits, pages to read, and exit
code 1."""

import argparse
import datetime

import pyarrow as pa

from pipelines.contracts import TABLES, ops
from pipelines.contracts.types import arrow_schema
from pipelines.io import audited, parts
from pipelines.launch import light_job
from pipelines.monitoring import audits
from pipelines.session import Lender
from pipelines.settings import Settings

AUDITED = [name for name in TABLES if name.startswith(("silver.", "gold."))]


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--tables` picks some of the tables."""
    parser.add_argument("--tables", nargs="+", choices=AUDITED, default=AUDITED, metavar="TABLE")


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print what does not hold, and where the pages are."""
    tables = [TABLES[name] for name in args.tables]
    frames = {t.name: audited.valid_rows(settings, t, spark) for t in tables}
    frames[audits.COLUMNS] = audited.columns(settings, tables, spark)
    frames[audits.ACCOUNTS] = audited.accounts(settings, spark)
    rows = audits.audit(frames, settings.state / "audits", datetime.datetime.now(datetime.UTC))
    parts.append(pa.Table.from_pylist(rows, arrow_schema(ops.AUDITS.schema)), settings, ops.AUDITS, spark)
    print("\n".join(audits.told(rows, settings.state / "audits")))
    return 0 if all(row["success"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(light_job("audit_quality", __doc__, run, arguments))
