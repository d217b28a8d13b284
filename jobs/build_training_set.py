"""Build the domain's rows of gold.training_rows: features as of each decision, labels from its outcomes."""

import argparse

from jobs.build_vectors import current
from pipelines.contracts import gold, silver
from pipelines.errors import TrainingError
from pipelines.features.catalog import item_columns
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import DECISION_COLUMNS, EVENT_COLUMNS
from pipelines.io import parts
from pipelines.io.held import HeldOut
from pipelines.launch import light_job
from pipelines.models.training_set import OUTCOME_COLUMNS, training_rows
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Replace the domain's rows by those of all published decisions."""
    domain, definitions = args.domain, compile_definitions(args.domain)
    held = HeldOut(settings, spark)
    events = held.teaching_rows(silver.EVENTS, EVENT_COLUMNS)
    decisions = held.teaching_rows(silver.DECISIONS, (*DECISION_COLUMNS, "propensity"))
    items = parts.valid_rows(settings, silver.ITEMS, item_columns(definitions), spark)
    outcomes = parts.valid_rows(settings, gold.DECISION_OUTCOMES, OUTCOME_COLUMNS, spark)
    vectors = current(settings, spark(), domain) if definitions.needs_vectors else None
    rows = training_rows(domain.name, definitions, events, decisions, items, outcomes, vectors)
    if rows.num_rows == 0:
        missing = f"{gold.DECISION_OUTCOMES.name} has no decision of {domain.name} yet"
        raise TrainingError(f"{missing}: run publish_gold, then this again")
    parts.replace_part(rows, settings, gold.TRAINING_ROWS, ("domain", domain.name), spark)
    print(f"{len(held.spans)} spans of entities are held out")
    print(f"{rows.num_rows:,} rows of {decisions.num_rows:,} decisions, {len(definitions.names)} features")
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("build_training_set", __doc__, run))
