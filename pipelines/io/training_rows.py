"""What a ranker learns from, read at one version of its table."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame

from pipelines.contracts.gold import TRAINING_ROWS, VECTORS
from pipelines.features.definitions import Definitions
from pipelines.features.vectors import Vectors
from pipelines.io import parts
from pipelines.models.training_set import RANKING_COLUMNS
from pipelines.models.vector_store import CONTENT, of_rows
from pipelines.session import Lender
from pipelines.settings import Settings


def known_rows(
    settings: Settings, spark: Lender, domain: str, definitions: Definitions, version: int
) -> tuple[pa.Table | DataFrame, Vectors | None]:
    """The domain's training rows at a version of their table, and the vectors that they were made with."""
    most = settings.training.in_process_rows
    part = ("domain", domain)
    rows = parts.read_part(settings, TRAINING_ROWS, part, RANKING_COLUMNS, spark, most=most, at=version)

    def stored(wanted: str) -> pa.Table:
        return parts.valid_rows(settings, VECTORS, CONTENT, spark, where=("version", wanted))

    return rows, of_rows(rows, stored, definitions)
