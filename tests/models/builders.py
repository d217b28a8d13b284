"""Decisions to learn from: made-up, seeded, with an order that can be learnt and noise that cannot."""

import dataclasses
import datetime
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines import sections
from pipelines import settings as settings_module
from pipelines.contracts.gold import TRAINING_ROWS, VECTORS
from pipelines.features.definitions import Definitions
from pipelines.features.vectors import Vectors, no_vectors
from pipelines.io import delta
from pipelines.models import package, ranker
from pipelines.models.ranker import Examples, Trained
from pipelines.models.registered import Training
from pipelines.models.training_set import Rankings
from pipelines.models.vector_store import stored_row
from pipelines.settings import Settings

NAMES = [f"f{i}" for i in range(6)]
NO_ITEMS = dataclasses.replace(no_vectors(), about='{"domain": "a shop", "until_ms": 0}')


def some_examples(decisions: int = 200, items: int = 10, seed: int = 0, width: int = len(NAMES)) -> Examples:
    """Decisions of `items` rows; three of each have an outcome, rather where features 0 and 1 are high; a
    tenth is missing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(decisions * items, width)).astype(np.float32)
    liking = features[:, 0] + 0.5 * features[:, 1] + rng.gumbel(size=len(features)) * 0.7
    features[rng.random(features.shape) < 0.1] = np.nan
    order = np.argsort(np.argsort(-liking.reshape(decisions, items), axis=1), axis=1)
    labels = np.select([order == 0, order < 3], [2.0, 1.0], 0.0).astype(np.float32).ravel()
    return Examples(features, labels, np.full(decisions, items))


def some_rankings(seed: int = 0, decisions: int = 200) -> Rankings:
    """The same examples as decisions, one a millisecond, of users without a past."""
    examples, rows = some_examples(decisions, 10, seed), decisions * 10
    return Rankings(
        names=NAMES,
        features=examples.features,
        labels=examples.labels,
        positions=np.tile(np.arange(1, 11), decisions),
        popularity=np.zeros(rows, np.float32),
        outcome_rate=np.zeros(rows, np.float32),
        starts=np.arange(0, rows + 1, 10),
        decided_at=np.arange(decisions),
        earlier_events=np.zeros(decisions, np.int64),
    )


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run in this process wait for MLflow as briefly as in their own, and only them."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "5")


@functools.cache
def a_small_ranker() -> Trained:
    """A ranker of three rounds."""
    return ranker.train(some_examples(60), some_examples(30, seed=2), NAMES, some_training(rounds=3))


def a_training(folder: Path, name: str, **changes: object) -> Training:
    """What the training of that ranker leaves behind; its package is written to `folder` unless one is
    there."""
    trained, examples = a_small_ranker(), some_examples(60)
    if not folder.exists():
        package.save_ranker(folder, trained.booster, '{"features":[]}', "0123abcd", examples.features)
    given = {
        "name": name,
        "domain": "shop",
        "folder": folder,
        "example": pd.DataFrame(examples.features[:4], columns=NAMES),
        "parameters": {"depth": 6},
        "figures": {"ndcg_at_10": 0.6, "click_rate.ndcg_at_10": 0.5},
        "versions_read": {"gold.training_rows": 3},
        "revision": "deadbeef",
        "finished_at_ms": 1_700_000_000_000,
        "curves": trained.curves,
        "tables": {"importances.csv": pd.DataFrame({"feature": NAMES, "share": 1 / 6})},
    }
    return Training(**given | changes)


def store(spark: SparkSession, settings: Settings, vectors: Vectors = NO_ITEMS) -> None:
    """Put vectors into gold.vectors."""
    row = stored_row(vectors, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    delta.append(spark.createDataFrame([row], VECTORS.schema), VECTORS, settings)


def some_training(**changes: object) -> sections.Training:
    """The settings of training, small: few rounds, leaves that need little."""
    small = {"rounds": 12, "early_stopping": 4, "min_child_weight": 1.0, "l2": 1.0, "learning_rate": 0.3}
    return dataclasses.replace(settings_module.load(environ={}).training, **(small | changes))


def training_rows(
    spark: SparkSession,
    definitions: Definitions,
    domain: str,
    decisions: int,
    seed: int = 0,
    vectors: Vectors = NO_ITEMS,
) -> DataFrame:
    """Rows of gold.training_rows, one decision a minute, of which features 0 and 1 say most of the label.

    Features of vectors are said to come from `vectors`."""
    examples = some_examples(decisions, 10, seed, width=len(definitions.names))
    at = np.repeat(np.arange(decisions), 10)
    rows = pd.DataFrame(
        {
            "domain": domain,
            "decision_id": [f"d{i}" for i in at],
            "item_id": [f"i{i}" for i in range(len(at))],
            "user_id": [f"u{i % 40}" for i in at],
            "position": np.tile(np.arange(1, 11), decisions),
            "decided_at": pd.to_datetime(at * 60_000, unit="ms", utc=True),
            "as_of": pd.to_datetime(at * 60_000, unit="ms", utc=True),
            "label": examples.labels,
            "features": list(examples.features),
            "popularity": np.nan_to_num(examples.features[:, 1]),
            "outcome_rate": np.nan_to_num(examples.features[:, 1]),
            "earlier_events": np.minimum(at // 40, 5),
            "propensity": None,
            "definitions_hash": definitions.hash,
            "vectors_version": vectors.version if definitions.needs_vectors else None,
        }
    )
    return TRAINING_ROWS.conform(spark.createDataFrame(rows))
