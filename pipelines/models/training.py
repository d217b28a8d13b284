"""From rows of the lake to a model that the registry can keep: one way for rankers, one for outlier
models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.domain import Domain
from pipelines.errors import TrainingError
from pipelines.features.columns import as_ms, lists
from pipelines.features.definitions import Definitions
from pipelines.features.vectors import Vectors
from pipelines.models import package, plots, ranker, registry, spark_ranker
from pipelines.models.evaluation import Evaluation, evaluate
from pipelines.models.gate import GAIN, rare_share
from pipelines.models.outliers import OutlierModel
from pipelines.models.ranker import Trained
from pipelines.models.split import before_test, before_validation, is_later
from pipelines.models.training_set import Rankings, rankings
from pipelines.models.trees import from_booster
from pipelines.sections import Training

EXAMPLE = 5
"""Rows that the registry shows as an example of what a model takes."""
FEWEST_VECTORS = 50


@dataclass(frozen=True)
class Origin:
    """What a training came from: versions of the Delta tables it read, the git revision, and when it
    ended."""

    versions_read: Mapping[str, int]
    revision: str
    finished_at_ms: int


@dataclass(frozen=True)
class TrainedRanker:
    """A ranker, the later decisions that judged it, and its figures on them."""

    trained: Trained
    test: Rankings
    evaluation: Evaluation
    trained_by: str


def train_ranker(rows: DataFrame | pa.Table, definitions: Definitions, training: Training) -> TrainedRanker:
    """A ranker of one domain's gold.training_rows, cut in time: learnt, stopped and judged by ever later
    decisions.

    One process trains on rows that are in this one already, and on up to `training.in_process_rows` rows of
    Spark's, see `learn`; on more Spark trains, once. Raises TrainingError for rows that cannot train or judge
    a ranker.
    """
    if isinstance(rows, pa.Table) or rows.count() <= training.in_process_rows:
        decisions = rankings(rows if isinstance(rows, pa.Table) else rows.toArrow(), definitions).judged()
        past, test = before_test(decisions, training.test_share)
        return _judged(learn(past, definitions, training), test, definitions, training, "one process")
    validation_at, test_at = cuts(rows, training)
    time = F.unix_millis("decided_at")
    test = rankings(rows.where(time >= test_at).toArrow(), definitions).judged()
    marked = rows.where(time < test_at).withColumn("is_validation", time >= validation_at)
    with_outcome = rows.where("label > 0").select("decision_id").distinct()
    judged = marked.join(with_outcome, "decision_id", how="left_semi")
    trained = spark_ranker.train(_served_in_validation(judged, definitions), definitions.names, training)
    return _judged(trained, test, definitions, training, f"Spark, {training.num_workers} tasks")


def learn(past: Rankings, definitions: Definitions, training: Training) -> Trained:
    """A ranker that has learnt from all of these decisions.

    Its rounds are those that order the last `training.validation_share` of them best, once the rest is learnt
    from; with `training.early_stopping` 0 they are `training.rounds`, and nothing is kept back to find them.
    """
    if not training.early_stopping:
        return ranker.refit(past.examples(), past.names, training, training.rounds)
    earlier, validation = before_validation(past, training.validation_share)
    served = as_served(validation, definitions).examples()
    stopped = ranker.train(earlier.examples(), served, past.names, training)
    again = ranker.refit(past.examples(), past.names, training, stopped.rounds)
    return replace(again, curves=stopped.curves)


def refit_ranker(
    decisions: Rankings, definitions: Definitions, training: Training, rounds: int
) -> TrainedRanker:
    """A ranker of so many rounds that has learnt from all decisions before the test part, judged by that
    part."""
    past, test = before_test(decisions, training.test_share)
    trained = ranker.refit(past.examples(), definitions.names, training, rounds)
    how = "one process, again on all decisions before the test part"
    return _judged(trained, test, definitions, training, how)


def as_served(decisions: Rankings, definitions: Definitions) -> Rankings:
    """The decisions as a ranker meets them: with what is not known before ranking at its fixed value."""
    return replace(decisions, features=definitions.as_served(decisions.features, decisions.names))


def pack_ranker(
    found: TrainedRanker,
    domain: Domain,
    definitions: Definitions,
    training: Training,
    folder: Path,
    origin: Origin,
    vectors: Vectors | None = None,
) -> registry.Training:
    """Seal the ranker in `folder`, with the vectors that its rows were made with; what the registry keeps of
    it."""
    booster = found.trained.booster
    example = found.test.features
    package.save_ranker(folder, booster, definitions.to_json(), definitions.hash, example, vectors)
    shares = ranker.importances(booster)
    return registry.Training(
        name=f"{domain.name}-ranker",
        domain=domain.name,
        folder=folder,
        example=pd.DataFrame(found.test.features[:EXAMPLE], columns=definitions.names),
        parameters=asdict(training)
        | {"trained_by": found.trained_by, "definitions_hash": definitions.hash}
        | ({"vectors_version": vectors.version} if vectors else {}),
        figures=figures_of(found.evaluation) | {"rounds": float(found.trained.rounds)},
        versions_read=origin.versions_read,
        revision=origin.revision,
        finished_at_ms=origin.finished_at_ms,
        curves={f"curve/{part}": values for part, values in found.trained.curves.items()},
        tables={
            "importances.csv": pd.DataFrame({"feature": list(shares), "share_of_gain": list(shares.values())})
        },
        pictures={
            "learning_curve.png": plots.learning_curve(found.trained.curves, found.trained.rounds),
            "importances.png": plots.importances(shares),
            "beside_baselines.png": plots.beside_baselines(found.evaluation),
        },
    )


def figures_of(evaluation: Evaluation) -> dict[str, float]:
    """An evaluation as metrics of a run: the ranker's, `baseline/<name>/…` and `slice/<name>/…`."""
    figures = {
        "decisions": float(evaluation.decisions),
        "ndcg_at_10": evaluation.ndcg,
        "mrr": evaluation.mrr,
        GAIN: evaluation.gain.mean,
        f"{GAIN}_low": evaluation.gain.low,
        f"{GAIN}_high": evaluation.gain.high,
    }
    for name, (ndcg, mrr) in evaluation.baselines.items():
        figures |= {f"baseline/{name}/ndcg_at_10": ndcg, f"baseline/{name}/mrr": mrr}
    for part in evaluation.slices:
        if part.decisions:
            figures |= {
                f"slice/{part.name}/ndcg_at_10": part.ndcg,
                f"slice/{part.name}/decisions": part.decisions,
            }
    return figures


@dataclass(frozen=True)
class TrainedOutliers:
    """An outlier model, how many vectors taught it, and the newer vectors that it was not trained on."""

    model: OutlierModel
    trained_on: int
    newest: NDArray[np.float64]


def train_outliers(windows: pa.Table, names: Sequence[str], training: Training) -> TrainedOutliers:
    """An outlier model of gold.behaviour_vectors, but for the last `training.test_share` of them by time.

    Raises TrainingError for too few vectors.
    """
    earlier, newest = outlier_split(windows, training.test_share)
    model = OutlierModel.fit(earlier, names=names, seed=training.seed)
    return TrainedOutliers(model, len(earlier), newest)


def outlier_split(windows: pa.Table, test_share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The vectors of rows of gold.behaviour_vectors before and after the cut in time, each in order of time
    and entity."""
    windows = windows.sort_by([(name, "ascending") for name in ("window_start", "entity", "entity_id")])
    starts = as_ms(windows["window_start"])
    _, flat = lists(windows["vector"])
    vectors = (
        flat.to_numpy(zero_copy_only=False).reshape(len(starts), -1) if len(starts) else np.zeros((0, 0))
    )
    late = is_later(starts, test_share) if len(starts) else np.zeros(0, bool)
    if (~late).sum() < FEWEST_VECTORS or not late.any():
        raise TrainingError(
            f"{len(starts)} behaviour vectors leave {(~late).sum()} to learn from ({FEWEST_VECTORS} needed) "
            f"and {late.sum()} to judge by: let more events come in first"
        )
    return vectors[~late], vectors[late]


def pack_outliers(
    found: TrainedOutliers, domain: Domain, training: Training, folder: Path, origin: Origin
) -> registry.Training:
    """Seal the outlier model in `folder`; what the registry keeps of it."""
    package.save_outliers(folder, found.model, found.newest)
    return registry.Training(
        name=f"{domain.name}-outliers",
        domain=domain.name,
        folder=folder,
        example=pd.DataFrame(found.newest[:EXAMPLE], columns=list(found.model.names)),
        parameters=asdict(found.model.config) | {"seed": training.seed, "detectors": "IForest, HBOS"},
        figures={
            "trained_on": float(found.trained_on),
            "newest": float(len(found.newest)),
            "newest_among_rarest_percent": rare_share(found.model, found.newest),
        },
        versions_read=origin.versions_read,
        revision=origin.revision,
        finished_at_ms=origin.finished_at_ms,
        pictures={"scores.png": plots.score_histogram(found.model.score(found.newest))},
    )


def _judged(
    trained: Trained, test: Rankings, definitions: Definitions, training: Training, how: str
) -> TrainedRanker:
    served = as_served(test, definitions)
    scores = from_booster(trained.booster).sums(served.features)
    return TrainedRanker(trained, served, evaluate(served, scores, training.seed), how)


def cuts(rows: DataFrame, training: Training) -> tuple[int, int]:
    """Times (ms) at which validation and test begin, as `split.by_time` cuts decisions with an outcome."""
    times = rows.where("label > 0").select("decision_id", F.unix_millis("decided_at").alias("at")).distinct()
    decided = times.select("at").toArrow()["at"].to_numpy().astype(np.int64)
    if not decided.size:
        raise TrainingError("no decision has an outcome: there is nothing to learn or to judge by")
    late = is_later(decided, training.test_share)
    past = decided[~late]
    if not past.size:
        raise TrainingError("all decisions were made at one time: there is no past to learn from")
    return int(past[is_later(past, training.validation_share)].min()), int(decided[late].min())


def _served_in_validation(rows: DataFrame, definitions: Definitions) -> DataFrame:
    features = F.col("features")
    for name, value in definitions.fixed.items():
        place = definitions.names.index(name)
        before, after = F.slice(features, 1, place), F.slice(features, place + 2, len(definitions.names))
        fixed = F.concat(before, F.array(F.lit(value).cast("float")), after)
        features = F.when(F.col("is_validation"), fixed).otherwise(features)
    return rows.withColumn("features", features)
