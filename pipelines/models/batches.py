"""One micro-batch of scoring: new decisions and new behaviour vectors in, rows of gold.scores and
gold.outliers out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contracts.gold import BEHAVIOUR_VECTORS, OUTLIERS, SCORES
from pipelines.contracts.scoring import TO_SCORE
from pipelines.contracts.silver import DECISIONS
from pipelines.contracts.table import Table
from pipelines.domain import Domain
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import DECISION_COLUMNS
from pipelines.models.carried import Carried, Silver
from pipelines.models.champions import Champions
from pipelines.models.promotion import model_cache
from pipelines.models.registry import Registry, fail_fast
from pipelines.models.scoring import loaded_ranker, outlier_rows, score_rows, scored
from pipelines.settings import Settings

SOURCES = (DECISIONS, BEHAVIOUR_VECTORS)
"""Tables whose new rows are scored."""
VECTOR_COLUMNS = ("entity", "entity_id", "window_start", "vector", "revision")


@dataclass(frozen=True)
class Results:
    """Rows by the table that they go to, and how many they are."""

    tables: list[tuple[Table, DataFrame]]
    rows: int


def arrivals(decisions: DataFrame, vectors: DataFrame) -> DataFrame:
    """What scoring must know of new rows of silver.decisions and gold.behaviour_vectors, in one frame."""
    new = decisions.select(*DECISION_COLUMNS)
    return new.unionByName(vectors.select(*VECTOR_COLUMNS), allowMissingColumns=True)


class Scorer:
    """The champions of a domain, and the state of its shop carried along silver."""

    def __init__(self, domain: Domain, settings: Settings, silver: Silver) -> None:
        fail_fast()
        definitions = compile_definitions(domain)
        registry = Registry(settings.tracking_uri)
        self.champions = Champions(registry, model_cache(settings), domain.name, definitions.hash)
        self._carried = Carried(definitions, silver)

    @contextmanager
    def results(self, new: DataFrame) -> Iterator[Results]:
        """Results of a micro-batch of `arrivals` by the champions of now, in one pass of both models.

        They last as long as the context. Raises ModelError when there never were champions.
        """
        ranker, outliers = self.champions.now()
        new = new.persist()
        decisions = new.where("items IS NOT NULL").select(*DECISION_COLUMNS).toArrow()
        frame = _shaped(new.where("vector IS NOT NULL").select(*VECTOR_COLUMNS))
        if decisions.num_rows:
            rows = self._carried.rows(decisions, loaded_ranker(ranker).vectors)
            frame = frame.union(_shaped(new.sparkSession.createDataFrame(rows)))
        judged = scored(frame, ranker, outliers).persist()
        try:
            each = F.coalesce(F.size("items"), F.lit(1))
            counted = judged.agg(F.coalesce(F.sum(each), F.lit(0))).collect()[0][0]
            tables = [(SCORES, score_rows(judged, ranker)), (OUTLIERS, outlier_rows(judged, outliers))]
            yield Results(tables, int(counted))
        finally:
            judged.unpersist()
            new.unpersist()


def _shaped(rows: DataFrame) -> DataFrame:
    """The columns of TO_SCORE; those that this kind of row lacks are null."""
    return rows.select(
        *(
            (F.col(f.name) if f.name in rows.columns else F.lit(None)).cast(f.dataType).alias(f.name)
            for f in TO_SCORE.fields
        )
    )
