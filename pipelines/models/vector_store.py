"""Vectors in the lake: rows of gold.vectors, one for each version, its content as the model will carry it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.domain import Domain
from pipelines.errors import FeatureError, TrainingError
from pipelines.features.definitions import Definitions
from pipelines.features.vectors import Vectors

DAY_MS = 86_400_000
CONTENT = ("version", "content")
"""What is read of gold.vectors to have the vectors of a version."""


def stored_row(vectors: Vectors, built_at: datetime.datetime) -> tuple[Any, ...]:
    """The row of gold.vectors, in the order of its columns."""
    about = vectors.facts()
    until = datetime.datetime.fromtimestamp(about["until_ms"] / 1000, datetime.UTC)
    return about["domain"], vectors.version, built_at, until, vectors.item_keys.size, vectors.to_bytes()


def usable(stored: DataFrame, domain: Domain, until_ms: int, refresh_days: float) -> Vectors | None:
    """The domain's vectors that were built last, if they still serve: built of the same `vectors:` section,
    of what was known `refresh_days` before `until_ms` at least and at `until_ms` at most. Otherwise None."""
    latest = F.unix_millis("until").between(until_ms - int(refresh_days * DAY_MS), until_ms)
    row = stored.where((F.col("domain") == domain.name) & latest).orderBy(F.desc("built_at")).first()
    if row is None:
        return None
    vectors = _read(row)
    wanted = msgspec.json.decode(msgspec.json.encode(domain.vectors))
    return vectors if vectors.facts()["spaces"] == wanted else None


def of_rows(
    rows: pa.Table | DataFrame, stored: Callable[[str], pa.Table], definitions: Definitions
) -> Vectors | None:
    """The vectors that these rows of gold.training_rows were made with; None for features without vectors.
    `stored` gives the rows of gold.vectors that have a version.

    Raises TrainingError when the rows were made with different ones, or with some that are not stored.
    """
    if isinstance(rows, DataFrame):
        rows = rows.select("vectors_version").distinct().toArrow()
    version = vectors_version(rows, definitions)
    if version is None:
        return None
    found = stored(version).to_pylist()
    if not found:
        raise TrainingError(
            f"gold.training_rows was made with the vectors {version}, which gold.vectors does not hold: run "
            "build_training_set again"
        )
    return _read(found[0])


def vectors_version(rows: pa.Table, definitions: Definitions) -> str | None:
    """The version of vectors that rows of gold.training_rows were made with; None for features without.

    Raises TrainingError when there are several, or none where the features need some.
    """
    made_with = rows["vectors_version"].unique().to_pylist()
    if len(made_with) > 1 or (definitions.needs_vectors and made_with == [None]):
        told = ", ".join(str(version) for version in made_with)
        raise TrainingError(
            f"gold.training_rows was made with the vectors {told}, and a model carries one version: run "
            "build_training_set again"
        )
    return made_with[0] if made_with and definitions.needs_vectors else None


def _read(row: Any) -> Vectors:
    vectors = Vectors.from_bytes(bytes(row["content"]))
    if vectors.version != row["version"]:
        raise FeatureError(
            f"gold.vectors holds other content under {row['version']} than was written: run build_vectors "
            "again"
        )
    return vectors
