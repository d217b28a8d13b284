"""Compare the features that decisions were made by, as the service logged them, with those that training
replays: the share of equal values of each feature becomes a row of ops.parity."""

import argparse
import datetime
import logging

import pyarrow as pa

from pipelines.contracts import bronze, gold, ops
from pipelines.contracts.decision_features import unpack
from pipelines.contracts.types import arrow_schema
from pipelines.features.definitions import compile_definitions
from pipelines.io import parts
from pipelines.launch import light_job
from pipelines.monitoring.parity import REPLAYED, parity, told
from pipelines.session import Lender
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print what differs; that is told, and no failure: a stream that is behind shows in counts, too."""
    definitions, domain = compile_definitions(args.domain), args.domain.name
    landed = parts.valid_rows(settings, bronze.DECISION_FEATURES, ("value",), spark)
    replayed = parts.valid_rows(settings, gold.TRAINING_ROWS, REPLAYED, spark, where=("domain", domain))
    logged = (unpack(value) for value in landed["value"].to_pylist())
    rows = parity(logged, replayed, domain, definitions, datetime.datetime.now(datetime.UTC))
    parts.append(pa.Table.from_pylist(rows, arrow_schema(ops.PARITY.schema)), settings, ops.PARITY, spark)
    summary, *differing = told(rows)
    print(summary)
    for line in differing:
        log.warning("%s", line)
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("check_parity", __doc__, run))
