"""Build the domain's rows of gold.training_rows: features as of each decision, labels from its outcomes."""

import argparse

from pyspark.sql import SparkSession

from jobs.build_vectors import current
from pipelines.contracts import gold, silver
from pipelines.errors import TrainingError
from pipelines.features.catalog import ITEM_COLUMNS
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import DECISION_COLUMNS, EVENT_COLUMNS
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.models.training_set import OUTCOME_COLUMNS, training_rows
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Replace the domain's rows by those of all published decisions."""
    domain, definitions = args.domain, compile_definitions(args.domain)
    shown = (*DECISION_COLUMNS, "propensity")
    wanted = {silver.EVENTS: EVENT_COLUMNS, silver.DECISIONS: shown, silver.ITEMS: ITEM_COLUMNS}
    events, decisions, items = (
        delta.read(spark, settings, table).select(*columns).toArrow() for table, columns in wanted.items()
    )
    outcomes = delta.latest(spark, settings, gold.DECISION_OUTCOMES).select(*OUTCOME_COLUMNS).toArrow()
    vectors = current(settings, spark, domain) if definitions.needs_vectors else None
    rows = training_rows(domain.name, definitions, events, decisions, items, outcomes, vectors)
    if rows.num_rows == 0:
        missing = f"{gold.DECISION_OUTCOMES.name} has no decision of {domain.name} yet"
        raise TrainingError(f"{missing}: run publish_gold, then this again")
    own = "domain = '{}'".format(domain.name.replace("'", "''"))
    delta.replace(spark.createDataFrame(rows, gold.TRAINING_ROWS.schema), gold.TRAINING_ROWS, settings, own)
    print(f"{rows.num_rows:,} rows of {decisions.num_rows:,} decisions, {len(definitions.names)} features")
    return 0


if __name__ == "__main__":
    raise SystemExit(batch_job("build_training_set", __doc__, run))
