"""Judge a model's newest version against its champion; exit code 99 when it is refused."""

import argparse
import datetime
import time

from pipelines.contracts.gold import BEHAVIOUR_VECTORS, TRAINING_ROWS
from pipelines.features.definitions import compile_definitions
from pipelines.io import parts, verdicts
from pipelines.launch import light_job
from pipelines.models import contest
from pipelines.models.outlier_training import WINDOW_COLUMNS
from pipelines.models.promotion import REFUSED, name_a_model, subject
from pipelines.models.registry import Registry
from pipelines.models.training_set import RANKING_COLUMNS
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Write the verdict to ops.gate_records, to the version's tags and as a page to its run."""
    registry, (domain, kind) = Registry(settings.tracking_uri), subject(args.model, settings)
    if kind == "ranker":
        own = ("domain", domain.name)
        rows = parts.valid_rows(settings, TRAINING_ROWS, RANKING_COLUMNS, spark, where=own)
        known = compile_definitions(domain)
        met = contest.contest_rankers(registry, domain, known, rows, settings, time.perf_counter_ns)
    else:
        windows = parts.valid_rows(settings, BEHAVIOUR_VECTORS, WINDOW_COLUMNS, spark)
        met = contest.contest_outliers(registry, domain, windows, settings)
    now = datetime.datetime.now(datetime.UTC)
    verdicts.keep(met.record(now), settings, spark)
    contest.leave(registry, met, now)
    print(met)
    return 0 if met.verdict.accepted else REFUSED


if __name__ == "__main__":
    raise SystemExit(light_job("gate", __doc__, run, name_a_model))
