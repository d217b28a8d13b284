"""The ranker over a micro-batch: each decision's items get scores and ranks."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from pipelines.contracts.gold import SCORES
from pipelines.contracts.scoring import SCORED
from pipelines.errors import ModelError
from pipelines.models import package, sealed
from pipelines.models.package import Ranker
from pipelines.models.packed_features import cell_sizes, unpacked


@dataclass(frozen=True)
class Champion:
    """A version that is in charge, and the folder of its package: `<cache>/<name>/<version>`, the same on
    every machine."""

    name: str
    version: str
    tracking_uri: str
    cache: str

    def folder(self) -> Path:
        """The package's folder; a machine that has not got it downloads it first."""
        folder = Path(self.cache) / self.name / self.version
        if not (folder / sealed.MANIFEST).is_file():
            from pipelines.models.registry import (
                Registry,
            )  # heavy, and only a machine without the package needs it

            folder = Registry(self.tracking_uri).fetch(self.name, self.version, Path(self.cache))
        return folder


@functools.lru_cache(maxsize=4)
def loaded_ranker(champion: Champion) -> Ranker:
    """The champion's ranker, loaded and verified once in each process."""
    return package.load_ranker(champion.folder())


def scored(rows: DataFrame, ranker: Champion) -> DataFrame:
    """Rows of contracts.scoring.TO_SCORE as rows of SCORED. Every process loads and verifies a version
    once."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(SCORED, timezone="UTC")
        for batch in batches:
            columns = {name: batch[name] for name in schema.names if name in batch.schema.names}
            columns |= _decisions_scored(batch, loaded_ranker(ranker))
            arrays = [columns[field.name].cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return rows.mapInArrow(run, SCORED)


def with_scores(rows: DataFrame, ranker: Champion) -> DataFrame:
    """`rows` with a column `score` in place of `features`, one row's features as a list or packed into bytes:
    for backfills and comparisons."""
    kept = [name for name in rows.columns if name != "features"]
    schema = rows.select(*kept, F.lit(0.0).cast("float").alias("score")).schema

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            scores = pa.array(score_column(batch["features"], loaded_ranker(ranker)))
            yield pa.RecordBatch.from_arrays([*(batch[name] for name in kept), scores], [*kept, "score"])

    return rows.mapInArrow(run, schema)


def score_column(features: pa.Array, ranker: Ranker) -> NDArray[np.float32]:
    """Scores of a column of features, without a copy: each cell holds the features of one row or of several,
    as a list or packed into bytes.

    Raises ModelError when a cell is no multiple of the ranker's width or holds a null.
    """
    values, width = unpacked(features), len(ranker.names)
    if values is None or (cell_sizes(features) % width).any():
        raise ModelError(
            f"the features of {len(features)} cells do not make rows of {width}, or hold a null: give every "
            "feature of every row, NaN where it is unknown"
        )
    return ranker.score(values.reshape(-1, width))


def _decisions_scored(rows: pa.RecordBatch, ranker: Ranker) -> dict[str, pa.Array]:
    items, positions = rows["items"], rows["positions"]
    sizes = items.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    scores = score_column(rows["features"], ranker)
    if len(scores) != sizes.sum():
        raise ModelError(f"{sizes.sum()} items came with the features of {len(scores)}")
    decisions = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((positions.flatten().to_numpy(zero_copy_only=False), -scores, decisions))
    starts = np.append(0, np.cumsum(sizes)).astype(np.int32)
    ranks = np.empty(len(scores), np.int32)
    ranks[order] = np.arange(len(scores)) - np.repeat(starts[:-1], sizes) + 1
    offsets = pa.array(starts)
    lists = (
        pa.ListArray.from_arrays(offsets, pa.array(values), mask=items.is_null())
        for values in (scores, ranks)
    )
    return dict(zip(("scores", "ranks"), lists, strict=True))


def score_rows(rows: DataFrame, ranker: Champion) -> DataFrame:
    """Rows of SCORED as rows of gold.scores: one for each item of each decision."""
    zipped = F.explode(F.arrays_zip("items", "positions", "scores", "ranks")).alias("of")
    each = rows.select("decision_id", "user_id", "decided_at", zipped)
    named = each.select(
        "decision_id",
        F.col("of.items").alias("item_id"),
        "user_id",
        "decided_at",
        F.to_date("decided_at").alias("day"),
        F.col("of.positions").alias("position"),
        F.col("of.scores").alias("score"),
        F.col("of.ranks").alias("rank"),
        F.lit(ranker.name).alias("model_name"),
        F.lit(ranker.version).alias("model_version"),
    )
    return SCORES.conform(named)
