"""Spark's ranker: every decision in one task, enough tasks, and the same order as one process finds."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xgboost
from pyspark.sql import functions as F

from pipelines.errors import TrainingError
from pipelines.models import ranker, spark_ranker
from tests.models.builders import some_examples, some_training

NAMES = [f"f{i}" for i in range(12)]


def frame(spark, train, validation):
    parts = []
    for name, part in (("t", train), ("v", validation)):
        ids = np.repeat(np.arange(len(part.sizes)), part.sizes)
        parts.append(
            pd.DataFrame(
                {
                    "decision_id": [f"{name}{i}" for i in ids],
                    "decided_at": pd.to_datetime(ids + (10**6 if name == "v" else 0), unit="s"),
                    "position": np.concatenate([np.arange(1, size + 1) for size in part.sizes]),
                    "features": list(part.features),
                    "label": part.labels,
                    "is_validation": name == "v",
                }
            )
        )
    rows = spark.createDataFrame(pd.concat(parts))
    return rows.withColumn("features", F.col("features").cast("array<float>"))


@pytest.fixture(scope="module")
def rows(spark):
    train, validation = some_examples(40, 5, width=12), some_examples(20, 5, seed=5, width=12)
    placed = frame(spark, train, validation).repartition(7).persist()
    yield placed
    placed.unpersist()


def ndcg(trained, examples):
    decisions = np.repeat(np.arange(len(examples.sizes)), examples.sizes)
    judged = xgboost.DMatrix(examples.features, label=examples.labels, qid=decisions)
    judged.feature_names = NAMES
    return float(trained.booster.eval(judged).rpartition(":")[2])


def in_quarters(examples):
    """Features with few levels: every way of training puts them into the same histogram bins."""
    return dataclasses.replace(examples, features=np.round(examples.features * 4) / 4)


def test_spark_finds_the_order_that_one_process_finds(spark):
    train, validation, test = (in_quarters(some_examples(n, 20, seed=n, width=12)) for n in (900, 150, 1500))
    training = some_training(num_workers=2, row_share=1.0, rounds=25)
    spread = spark_ranker.train(frame(spark, train, validation), NAMES, training)
    alone = ranker.train(train, validation, NAMES, training)
    one_tree = ranker.train(train, validation, NAMES, some_training(rounds=1))
    assert ndcg(spread, test) == pytest.approx(ndcg(alone, test), abs=0.001)
    assert ndcg(spread, test) > ndcg(one_tree, test) + 0.01, "both learnt more than the first tree"
    assert spread.curves["validation"] == pytest.approx(alone.curves["validation"], abs=0.001)
    assert spread.rounds == int(np.argmax(spread.curves["validation"])) + 1


def test_more_workers_than_task_slots_are_refused_before_the_fit(rows):
    with pytest.raises(TrainingError, match="num_workers is 3, but Spark can run 2 tasks"):
        spark_ranker.train(rows, NAMES, some_training(num_workers=3))


def test_every_decision_stays_whole_and_the_tasks_share_them(rows):
    placed = spark_ranker.placed_in_tasks(rows, 2)
    spark_ranker.check_placement(placed, 2)
    assert placed.rdd.getNumPartitions() == 2
    tasks = placed.groupBy(F.spark_partition_id(), "is_validation").agg(F.count_distinct("decision"))
    assert sorted(map(tuple, tasks.collect())) == [
        (0, False, 20),
        (0, True, 10),
        (1, False, 20),
        (1, True, 10),
    ]


def test_a_torn_decision_is_refused(rows):
    torn = spark_ranker.placed_in_tasks(rows, 2).repartition(2, F.rand(1))
    with pytest.raises(TrainingError, match="lies in 2 tasks"):
        spark_ranker.check_placement(torn, 2)


def test_a_decision_on_both_sides_of_the_validation_mark_is_refused(rows):
    in_half = (F.col("decision_id") == "t3") & (F.col("position") > 2)
    half = rows.withColumn("is_validation", F.col("is_validation") | in_half)
    with pytest.raises(TrainingError, match=r"'t3' lies .* on 2 sides"):
        spark_ranker.train(half, NAMES, some_training())


def test_a_task_without_an_outcome_is_refused(rows):
    with pytest.raises(TrainingError, match="no validation decision with an outcome"):
        spark_ranker.train(rows.where("not is_validation"), NAMES, some_training())
