"""Training rows straight from a file of source records, without a lake: judged, replayed and labelled as the
jobs do it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from pipelines.contracts.bronze import INTERACTIONS
from pipelines.contracts.records import TOPIC
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.domain import Domain
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions
from pipelines.features.history import in_arrival_order
from pipelines.features.stale import Knowledge, read_with
from pipelines.features.vectors import Vectors
from pipelines.gold.decision_outcomes import decision_outcomes
from pipelines.io.replay import Addresses, ArrivalClock
from pipelines.models.training import cuts
from pipelines.models.training_set import OUTCOME_COLUMNS, rows_of, training_rows
from pipelines.models.vectors import build_vectors, material
from pipelines.settings import Settings
from pipelines.silver.sheets import Clerk

EVERYTHING_KNOWN = Knowledge()


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


@dataclass(frozen=True)
class Past:
    """Everything that training rows are made of: rows of silver, labels, and vectors that know nothing of the
    decisions that will judge a ranker."""

    silver: dict[str, pa.Table]
    labels: pa.Table
    vectors: Vectors | None

    def rows(
        self, domain: Domain, definitions: Definitions, knowledge: Knowledge = EVERYTHING_KNOWN
    ) -> pa.Table:
        """Rows of gold.training_rows, with features read by someone who knows this much."""
        events, decisions, items = (self.silver[table.name] for table in (EVENTS, DECISIONS, ITEMS))
        if knowledge == EVERYTHING_KNOWN:
            parts = (events, decisions, items, self.labels, self.vectors)
            return training_rows(domain.name, definitions, *parts)
        catalog = Catalog(definitions, self.vectors)
        catalog.learn(items)
        history = in_arrival_order(events, decisions, definitions.events)
        probes = read_with(knowledge, history, definitions, catalog)
        return rows_of(domain.name, definitions, probes, decisions, self.labels)


def past_of(
    spark: SparkSession,
    silver: dict[str, pa.Table],
    domain: Domain,
    definitions: Definitions,
    settings: Settings,
) -> Past:
    """What training rows of silver's tables are made of."""
    known, happened, made = (
        spark.createDataFrame(silver[table.name], table.schema) for table in (ITEMS, EVENTS, DECISIONS)
    )
    outcomes = decision_outcomes(made, happened, domain, revision=0).persist()
    vectors = None
    if definitions.needs_vectors:
        _, until = cuts(outcomes, settings.training)
        vectors = build_vectors(material(domain, until, known, happened, made), domain, settings.vectors)
    return Past(silver, outcomes.select(*OUTCOME_COLUMNS).toArrow(), vectors)
