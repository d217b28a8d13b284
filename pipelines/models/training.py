"""From rows of the lake to a ranker that the registry can keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.domain import Domain
from pipelines.errors import TrainingError
from pipelines.features.definitions import Definitions
from pipelines.features.vectors import Vectors
from pipelines.models import calibration, package, plots, ranker, registered, spark_ranker
from pipelines.models.calibration import Calibrator, Reliability
from pipelines.models.evaluation import Evaluation, evaluate
from pipelines.models.explanation import contributions
from pipelines.models.gate import GAIN
from pipelines.models.ranker import Trained
from pipelines.models.split import NO_OUTCOME, before_test, before_validation, by_time, is_later
from pipelines.models.training_set import Rankings, rankings
from pipelines.models.trees import from_booster
from pipelines.sections import Training

EXPLAINED = 1000
"""Rows of the test part, spread over it, that show what features add."""
EXAMPLE = 5
"""Rows that the registry shows as an example of what a model takes."""


@dataclass(frozen=True)
class Origin:
    """What a training came from: versions of the Delta tables it read, the git revision, and when it
    ended."""

    versions_read: Mapping[str, int]
    revision: str
    finished_at_ms: int


@dataclass(frozen=True)
class TrainedRanker:
    """A ranker, the later decisions with an outcome that judged it, its figures on them, the chances that its
    scores stand for, and how those were met by all later decisions."""

    trained: Trained
    test: Rankings
    evaluation: Evaluation
    trained_by: str
    calibrator: Calibrator
    reliability: Reliability


def train_ranker(rows: DataFrame | pa.Table, definitions: Definitions, training: Training) -> TrainedRanker:
    """A ranker of one domain's gold.training_rows, cut in time: learnt, stopped and judged by ever later
    decisions.

    One process trains on rows that are in this one already, and on up to `training.in_process_rows` rows of
    Spark's, see `learn`; on more Spark trains, once. Raises TrainingError for rows that cannot train or judge
    a ranker.
    """
    if isinstance(rows, pa.Table) or rows.count() <= training.in_process_rows:
        known = rankings(rows if isinstance(rows, pa.Table) else rows.toArrow(), definitions)
        past, test = before_test(known.judged(), training.test_share)
        trained = learn(past, definitions, training)
        chances, later = _chances(trained, known, definitions, training), known.between(test.decided_at[0])
        return _judged(trained, chances, later, definitions, training, "one process")
    validation_at, test_at = cuts(rows, training)
    time = F.unix_millis("decided_at")
    later = rankings(rows.where(time >= test_at).toArrow(), definitions)
    marked = rows.where(time < test_at).withColumn("is_validation", time >= validation_at)
    with_outcome = rows.where("label > 0").select("decision_id").distinct()
    judged = marked.join(with_outcome, "decision_id", how="left_semi")
    held_out = rankings(marked.where("is_validation").drop("is_validation").toArrow(), definitions)
    held_out.examples().check_known(definitions.names, "the validation part")
    trained = spark_ranker.train(_served_in_validation(judged, definitions), definitions.names, training)
    chances, how = _calibrated(trained.booster, held_out, definitions), f"Spark, {training.num_workers} tasks"
    return _judged(trained, chances, later, definitions, training, how)


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
    return replace(again, curves=stopped.curves, earlier=stopped.booster)


def refit_ranker(known: Rankings, definitions: Definitions, training: Training, rounds: int) -> TrainedRanker:
    """A ranker of so many rounds that has learnt from all decisions before the test part, judged by that
    part."""
    past, test = before_test(known.judged(), training.test_share)
    trained = ranker.refit(past.examples(), definitions.names, training, rounds)
    chances, later = _chances(trained, known, definitions, training), known.between(test.decided_at[0])
    how = "one process, again on all decisions before the test part"
    return _judged(trained, chances, later, definitions, training, how)


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
) -> registered.Training:
    """Seal the ranker in `folder`, with the vectors that its rows were made with; what the registry keeps of
    it."""
    booster = found.trained.booster
    example = found.test.features
    package.save_ranker(
        folder, booster, definitions.to_json(), definitions.hash, example, vectors, found.calibrator
    )
    shares = ranker.importances(booster)
    some = np.ascontiguousarray(example[:: max(1, len(example) // EXPLAINED)])
    return registered.Training(
        name=f"{domain.name}-ranker",
        domain=domain.name,
        folder=folder,
        example=pd.DataFrame(found.test.features[:EXAMPLE], columns=definitions.names),
        parameters=asdict(training)
        | {"trained_by": found.trained_by, "definitions_hash": definitions.hash}
        | ({"vectors_version": vectors.version} if vectors else {}),
        figures=figures_of(found.evaluation)
        | {
            "rounds": float(found.trained.rounds),
            "calibration_error": found.reliability.error,
            "outcome_rate_of_items": found.reliability.rate,
        },
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
            "slices.png": plots.slices(found.evaluation),
            "reliability.png": plots.reliability(found.reliability),
            "what_features_add.png": plots.what_features_add(
                definitions.names, some, contributions(booster, some)
            ),
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


def _judged(
    trained: Trained,
    calibrator: Calibrator,
    later: Rankings,
    definitions: Definitions,
    training: Training,
    how: str,
) -> TrainedRanker:
    served = as_served(later, definitions)
    scores = from_booster(trained.booster).sums(served.features)
    met = calibration.reliability(calibrator.chance(scores), served.labels > 0)
    has_outcome = served.has_outcome()
    test, of_test = served.where(has_outcome), np.repeat(has_outcome, served.sizes)
    evaluation = evaluate(test, scores[of_test], training.seed)
    return TrainedRanker(trained, test, evaluation, how, calibrator, met)


def _chances(trained: Trained, known: Rankings, definitions: Definitions, training: Training) -> Calibrator:
    """The chances that the ranker's scores stand for, from all decisions of the validation part's time, those
    without an outcome too.

    A ranker that has learnt from them takes the chances of one of the same settings that has not.
    """
    split = by_time(known.judged(), training.test_share, training.validation_share)
    booster = trained.earlier
    if booster is None:
        booster = ranker.refit(split.train.examples(), known.names, training, trained.rounds).booster
    held_out = known.between(split.validation.decided_at[0], split.test.decided_at[0])
    return _calibrated(booster, held_out, definitions)


def _calibrated(booster: xgboost.Booster, held_out: Rankings, definitions: Definitions) -> Calibrator:
    scores = from_booster(booster).sums(as_served(held_out, definitions).features)
    return calibration.fit(scores, held_out.labels > 0)


def cuts(rows: DataFrame, training: Training) -> tuple[int, int]:
    """Times (ms) at which validation and test begin, as `split.by_time` cuts decisions with an outcome."""
    times = rows.where("label > 0").select("decision_id", F.unix_millis("decided_at").alias("at")).distinct()
    decided = times.select("at").toArrow()["at"].to_numpy().astype(np.int64)
    if not decided.size:
        raise TrainingError(NO_OUTCOME)
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
