"""What a ranker learns from, read at one version of its table."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.contracts.gold import TRAINING_ROWS, VECTORS
from pipelines.features.definitions import Definitions
from pipelines.features.vectors import Vectors
from pipelines.io import delta
from pipelines.io.parts import read_part
from pipelines.models.training_set import RANKING_COLUMNS
from pipelines.models.vector_store import of_rows
from pipelines.settings import Settings


def known_rows(
    settings: Settings, spark: SparkSession, domain: str, definitions: Definitions, version: int
) -> tuple[pa.Table | DataFrame, Vectors | None]:
    """The domain's training rows at a version of their table, and the vectors that they were made with."""
    kept = {"most": settings.training.in_process_rows, "version": version}
    rows = read_part(spark, settings, TRAINING_ROWS, ("domain", domain), RANKING_COLUMNS, **kept)
    return rows, of_rows(rows, delta.read(spark, settings, VECTORS), definitions)
