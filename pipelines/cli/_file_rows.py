"""Training rows straight from a file of source records, without a lake: judged, replayed and labelled as the
jobs do it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.contracts.bronze import INTERACTIONS
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.contracts.records import TOPIC
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.domain import Domain
from pipelines.features.definitions import Definitions
from pipelines.gold.decision_outcomes import decision_outcomes
from pipelines.io.replay import Addresses, ArrivalClock
from pipelines.models.training import cuts
from pipelines.models.training_set import OUTCOME_COLUMNS, training_rows
from pipelines.models.vectors import build_vectors, material
from pipelines.settings import Settings
from pipelines.silver.sheets import Clerk


def silver_of(values: Iterable[bytes], domain: Domain, settings: Settings) -> dict[str, pa.Table]:
    """Table name → rows as silver would have them, had the records come through one partition of each topic.

    Records that silver would quarantine are left out, and said to be on standard error.
    """
    addresses, clock = Addresses(domain), ArrivalClock(settings.silver.future_minutes * 60_000)
    kept = list(values)
    arrived = [clock.stamp(addresses.of(value).time_ms) for value in kept]
    return silver_of_arrivals(kept, arrived, domain, settings)


def silver_of_arrivals(
    kept: list[bytes], arrived: list[int], domain: Domain, settings: Settings
) -> dict[str, pa.Table]:
    """`silver_of` of records that arrived at these times (epoch ms)."""
    times = (
        pa.array(arrived, pa.int64()).cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("us", tz="UTC"))
    )
    headers = arrow_schema(INTERACTIONS.schema).field("headers").type
    landed = pa.table(
        {"value": pa.array(kept, pa.binary()), "arrived_at": times, "headers": pa.nulls(len(kept), headers)}
    )
    parts: dict[str, list[pa.Table]] = {table.name: [] for table in (EVENTS, DECISIONS, ITEMS)}
    good = 0
    for sheet in Clerk(domain, settings.silver).sheets(landed):
        if sheet.table.name in parts:
            good += len(sheet.positions)
            parts[sheet.table.name].append(_placed(sheet.columns, sheet.positions, times))
    if good < len(kept):
        print(
            f"{len(kept) - good} of {len(kept)} records are left out: silver would quarantine them",
            file=sys.stderr,
        )
    return {
        table.name: pa.concat_tables(
            [arrow_schema(table.schema).empty_table(), *parts[table.name]], promote_options="default"
        )
        for table in (EVENTS, DECISIONS, ITEMS)
    }


def _placed(columns: pa.Table, positions: np.ndarray, times: pa.Array) -> pa.Table:
    """The columns with the coordinates that a topic would have given; the place in the file is the offset."""
    topic = TOPIC["item"] if "valid_from" in columns.column_names else TOPIC["interaction"]
    zero = pa.repeat(pa.scalar(0, pa.int32()), len(positions))
    at = {"topic": pa.repeat(topic, len(positions)), "partition": zero, "offset": pa.array(positions)}
    for name, values in (at | {"arrived_at": times.take(pa.array(positions))}).items():
        columns = columns.append_column(name, values)
    return columns


def rows_of_file(
    spark: SparkSession, values: Iterable[bytes], domain: Domain, definitions: Definitions, settings: Settings
) -> DataFrame:
    """Rows of gold.training_rows of the decisions among the records."""
    return rows_of_silver(spark, silver_of(values, domain, settings), domain, definitions, settings)


def rows_of_silver(
    spark: SparkSession,
    silver: dict[str, pa.Table],
    domain: Domain,
    definitions: Definitions,
    settings: Settings,
) -> DataFrame:
    """Rows of gold.training_rows of silver's tables, with vectors that know nothing of the decisions that
    will judge a ranker."""
    events, decisions, items = (silver[table.name] for table in (EVENTS, DECISIONS, ITEMS))
    known, happened, made = (
        spark.createDataFrame(silver[table.name], table.schema) for table in (ITEMS, EVENTS, DECISIONS)
    )
    outcomes = decision_outcomes(made, happened, domain, revision=0).persist()
    vectors = None
    if definitions.needs_vectors:
        _, until = cuts(outcomes, settings.training)
        vectors = build_vectors(material(domain, until, known, happened, made), domain, settings.vectors)
    labels = outcomes.select(*OUTCOME_COLUMNS).toArrow()
    rows = training_rows(domain.name, definitions, events, decisions, items, labels, vectors)
    return spark.createDataFrame(rows, TRAINING_ROWS.schema)
