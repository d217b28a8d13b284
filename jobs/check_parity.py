"""Compare the features that decisions were made by, as the service logged them, with those that training has
replayed: the share of equal values of each becomes a row of ops.parity; exit code 1 when one is a fault.

By default these are the decisions that gold.training_rows has got since the last check. Read are files of
their days and hours only, and of them only their rows; no history is replayed, for training has done so."""

import argparse
import datetime

import pyarrow as pa

from pipelines.contracts import ops
from pipelines.contracts.types import arrow_schema
from pipelines.features.definitions import compile_definitions
from pipelines.io import compared, parts
from pipelines.launch import light_job
from pipelines.monitoring.parity import parity, told
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print what differs; the exit code says whether that is a fault."""
    definitions, domain = compile_definitions(args.domain), args.domain.name
    stretch = compared.stretch(settings, spark, domain, definitions.hash, args)
    if stretch is None:
        print("nothing was replayed since the last check: build_training_set does that")
        return 0
    logged = compared.logged(settings, spark, stretch)
    replayed = compared.replayed(settings, spark, stretch, domain, logged)
    about = {"compared_at": datetime.datetime.now(datetime.UTC), "domain": domain, **stretch.row()}
    rows = parity(logged, replayed, definitions, settings.parity, about)
    parts.append(pa.Table.from_pylist(rows, arrow_schema(ops.PARITY.schema)), settings, ops.PARITY, spark)
    print("\n".join(told(rows)))
    return 1 if any(row["is_fault"] for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(light_job("check_parity", __doc__, run, compared.arguments))
