"""One contender of B10 in one process: training rows to a trained ranker. Prints its figures as JSON on the
last line."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow as pa
import xgboost
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBRanker

from benchmarks.harness import measured
from pipelines import settings as settings_module
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.domain import load_domain
from pipelines.features.definitions import Definitions, compile_definitions
from pipelines.io import delta
from pipelines.io.parts import read_part
from pipelines.models import ranker
from pipelines.models.evaluation import ndcg_at
from pipelines.models.split import Split, by_time
from pipelines.models.training import as_served
from pipelines.models.training_set import RANKING_COLUMNS, rankings
from pipelines.session import spark_session
from pipelines.settings import Settings

DOMAIN, LIST, FEATURES = "b10", 20, 30
MULTIPLIER = 2_654_435_761


def definitions(settings: Settings) -> Definitions:
    """Thirty features; what they would count plays no part here."""
    counted = {"kind": "count", "of": "click", "by": "item"}
    windows = ("1h", "1d")
    declared = tuple(
        {"name": f"f{i:02}", **counted, "window": windows[i % 2], "log": i >= 2} for i in range(FEATURES)
    )
    return compile_definitions(msgspec.structs.replace(load_domain("shop", settings), features=declared))


def rows(decisions: int, definitions_hash: str) -> pa.Table:
    """Rows of gold.training_rows, a decision a second, of which eight features and noise make the outcomes; a
    tenth is missing."""
    chance, n = np.random.default_rng(10), decisions * LIST
    features = chance.normal(size=(n, FEATURES)).astype(np.float32)
    features[:, 10:20] = np.round(features[:, 10:20] * 4) / 4
    liking = features[:, :8] @ np.linspace(0.5, 0.1, 8) + 0.3 * features[:, 0] * features[:, 1]
    liking = (liking + chance.gumbel(size=n)).reshape(decisions, LIST)
    order = np.argsort(np.argsort(-liking, axis=1), axis=1).ravel()
    features[chance.random(features.shape) < 0.1] = np.nan
    decision, starts = np.repeat(np.arange(decisions), LIST), np.arange(n + 1, dtype=np.int32) * FEATURES
    at = pa.array(decision * 1_000_000, pa.timestamp("us", "UTC"))
    columns = {
        "domain": pa.repeat(DOMAIN, n),
        "decision_id": pa.array([f"{number:012}" for number in decision]),
        "item_id": pa.array([f"item-{number}" for number in chance.integers(0, 50_000, n)]),
        "user_id": pa.array([f"user-{number % 9_999}" for number in decision]),
        "position": np.tile(np.arange(1, LIST + 1, dtype=np.int32), decisions),
        "decided_at": at,
        "as_of": at,
        "label": np.select([order == 0, order < 3], [3.0, 1.0], 0.0).astype(np.float32),
        "features": pa.ListArray.from_arrays(pa.array(starts), pa.array(features.ravel())),
        "popularity": np.nan_to_num(features[:, 1]),
        "outcome_rate": np.nan_to_num(features[:, 2]),
        "earlier_events": (decision % 5).astype(np.int32),
        "propensity": pa.nulls(len(decision), pa.float32()),
        "definitions_hash": pa.repeat(definitions_hash, n),
        "vectors_version": pa.nulls(n, pa.string()),
    }
    return pa.table(columns)


def prepare(settings: Settings, spark: SparkSession, decisions: int) -> dict[str, float]:
    """Fill the table as build_training_set does."""
    made = rows(decisions, definitions(settings).hash)
    delta.replace(spark.createDataFrame(made), TRAINING_ROWS, settings, f"domain = '{DOMAIN}'")
    return {"rows": made.num_rows}


def parts(settings: Settings, spark: SparkSession, known: Definitions) -> Split:
    """The table in this process, cut in time, as train_ranker has it."""
    training = settings.training
    where, most = ("domain", DOMAIN), sys.maxsize
    stored = read_part(settings, TRAINING_ROWS, where, RANKING_COLUMNS, lambda: spark, most=most)
    split = by_time(rankings(stored, known).judged(), training.test_share, training.validation_share)
    return Split(split.train, as_served(split.validation, known), split.test)


def ours(settings: Settings, spark: SparkSession) -> tuple[dict[str, float], xgboost.Booster, Split]:
    """The in-process path of train_ranker, from the Delta table on."""
    known = definitions(settings)
    with figures_of(spark) as figures:
        split = parts(settings, spark, known)
        examples, validation = split.train.examples(), split.validation.examples()
        trained = ranker.train(examples, validation, known.names, settings.training)
    return figures, trained.booster, split


def bare(
    settings: Settings, spark: SparkSession, stops: bool
) -> tuple[dict[str, float], xgboost.Booster, Split]:
    """XGBoost alone, on arrays that are in memory; `stops`: with a validation part that could stop it."""
    split, training = parts(settings, spark, definitions(settings)), settings.training
    chosen = ranker.parameters(training) | {"nthread": training.threads}

    def binned(part: Any, **reference: Any) -> xgboost.QuantileDMatrix:
        given = {"label": part.labels, "qid": np.repeat(np.arange(len(part)), part.sizes)}
        shared = {"max_bin": training.bins, "nthread": training.threads}
        return xgboost.QuantileDMatrix(part.features, **given, **shared, **reference)

    with figures_of(spark) as figures:
        learnt = binned(split.train)
        watched = {}
        if stops:
            judged = binned(split.validation, ref=learnt)
            watched = {"evals": [(judged, "v")], "early_stopping_rounds": training.early_stopping}
        booster = xgboost.train(chosen, learnt, training.rounds, verbose_eval=False, **watched)
    return figures, booster[: booster.best_iteration + 1] if stops else booster, split


def spark_ranker(settings: Settings, spark: SparkSession) -> tuple[dict[str, float], xgboost.Booster, Split]:
    """SparkXGBRanker as its manual has it, on the same table and the same cuts."""
    training = settings.training
    split = parts(settings, spark, definitions(settings))
    validation_at, test_at = (int(part.decided_at.min()) for part in (split.validation, split.test))
    chosen = {("random_state" if k == "seed" else k): v for k, v in ranker.parameters(training).items()}
    estimator = SparkXGBRanker(
        **chosen,
        n_estimators=training.rounds,
        early_stopping_rounds=training.early_stopping,
        features_col="features",
        label_col="label",
        qid_col="decision",
        validation_indicator_col="is_validation",
        num_workers=training.num_workers,
        launch_tracker_on_driver=True,
        force_repartition=True,
    )
    with figures_of(spark) as figures:
        time = F.unix_millis("decided_at")
        stored = delta.read(spark, settings, TRAINING_ROWS).where(time < test_at)
        # Ids in order of time would give all validation decisions to one worker: numbers without any order.
        mixed = F.pmod(F.col("decision_id").cast("long") * MULTIPLIER, F.lit(1 << 31))
        marked = stored.select(
            "features", "label", mixed.alias("decision"), (time >= validation_at).alias("is_validation")
        )
        booster = estimator.fit(marked).get_booster()
    return figures, booster[: booster.best_iteration + 1], split


@contextlib.contextmanager
def figures_of(spark: SparkSession) -> Iterator[dict[str, float]]:
    """CPU and wall seconds of the block, and the most memory that the process tree held in it."""
    ended, most = threading.Event(), [0]

    def watch() -> None:
        own = psutil.Process()
        while not ended.wait(0.05):
            held = 0
            for process in [own, *own.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    held += process.memory_info().rss
            most[0] = max(most[0], held)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with measured(spark) as figures:
            yield figures
    finally:
        ended.set()
        watcher.join()
    figures["peak_mb"] = most[0] / 1e6


def main() -> None:
    """Run what the first argument names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=("prepare", "ours", "bare", "bare_blind", "spark"))
    parser.add_argument("--decisions", type=int, default=0)
    args = parser.parse_args()
    settings = settings_module.load(overrides={"spark": {"log_level": "ERROR"}})
    spark = spark_session(settings, "b10")
    if args.contender == "prepare":
        print(json.dumps(prepare(settings, spark, args.decisions)))
        return
    run = {
        "ours": ours,
        "bare": lambda *given: bare(*given, stops=True),
        "bare_blind": lambda *given: bare(*given, stops=False),
        "spark": spark_ranker,
    }[args.contender]
    figures, booster, split = run(settings, spark)
    booster.feature_names = None
    figures["ndcg"] = float(ndcg_at(split.test, booster.inplace_predict(split.test.features)).mean())
    figures["trees"] = booster.num_boosted_rounds()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
