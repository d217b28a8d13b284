"""From training rows to a trained ranker: cut in time, judged as served, the same way in one process and on
Spark."""

import dataclasses
import datetime

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.errors import TrainingError
from pipelines.features.definitions import compile_definitions
from pipelines.models import outlier_training, ranker, training
from pipelines.models.split import before_test, by_time
from pipelines.models.training_set import rankings
from tests.models.builders import some_training, training_rows

SETTINGS = settings_module.load(environ={})
DEFINITIONS = compile_definitions(load_domain("shop", SETTINGS))
QUICK = some_training(rounds=8, min_child_weight=1.0)


@pytest.fixture(scope="module")
def rows(spark):
    made = training_rows(spark, DEFINITIONS, "shop", decisions=200).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def alone(rows):
    return training.train_ranker(rows, DEFINITIONS, QUICK)


def test_later_decisions_judge_what_earlier_ones_taught(alone):
    assert alone.trained_by == "one process"
    assert len(alone.test) == 40
    assert alone.test.decided_at.min() == 160 * 60_000
    assert alone.evaluation.ndcg > alone.evaluation.baselines["random"][0] + 0.1


def test_a_ranker_learns_from_all_before_the_test_part(rows, alone):
    """Its rounds are what the validation part told; then that part is learnt from too."""
    known = rankings(rows.toArrow(), DEFINITIONS).judged()
    past, _ = before_test(known, QUICK.test_share)
    split = by_time(known, QUICK.test_share, QUICK.validation_share)
    served = training.as_served(split.validation, DEFINITIONS).examples()
    stopped = ranker.train(split.train.examples(), served, DEFINITIONS.names, QUICK)
    again = ranker.refit(past.examples(), DEFINITIONS.names, QUICK, stopped.rounds)
    assert len(past) == 160 == len(split.train) + len(split.validation)
    assert alone.trained.curves == stopped.curves
    assert alone.trained.booster.save_raw("ubj") == again.booster.save_raw("ubj")
    assert alone.trained.booster.save_raw("ubj") != stopped.booster.save_raw("ubj")


def test_with_a_number_of_rounds_nothing_is_kept_back(rows):
    fixed = dataclasses.replace(QUICK, early_stopping=0)
    found = training.train_ranker(rows, DEFINITIONS, fixed).trained
    assert found.rounds == QUICK.rounds
    assert list(found.curves) == ["train"]


def test_spark_trains_on_the_same_cuts(rows, alone):
    spread = training.train_ranker(rows, DEFINITIONS, dataclasses.replace(QUICK, in_process_rows=0))
    assert spread.trained_by == "Spark, 2 tasks"
    np.testing.assert_array_equal(spread.test.decided_at, alone.test.decided_at)
    np.testing.assert_array_equal(spread.test.features, alone.test.features)
    assert spread.evaluation.baselines == alone.evaluation.baselines
    assert spread.evaluation.ndcg > spread.evaluation.baselines["random"][0] + 0.1


def test_what_is_not_known_before_ranking_is_fixed_for_validation_and_test(rows, alone):
    assert DEFINITIONS.fixed, "the shop declares its position feature"
    for name, value in DEFINITIONS.fixed.items():
        place = DEFINITIONS.names.index(name)
        assert set(alone.test.features[:, place]) == {np.float32(value)}
        marked = rows.withColumn("is_validation", F.col("decision_id") == "d7")
        served = training._served_in_validation(marked, DEFINITIONS)
        assert served.schema["features"].dataType == rows.schema["features"].dataType
        changed = served.where("is_validation").select(F.col("features")[place]).distinct().collect()
        assert [row[0] for row in changed] == [value]
        others = served.where("not is_validation").exceptAll(marked.where("not is_validation"))
        assert others.isEmpty()


def test_figures_stand_beside_their_baselines(alone):
    figures = training.figures_of(alone.evaluation)
    assert figures["ndcg_at_10"] == alone.evaluation.ndcg
    assert figures["baseline/shown order/ndcg_at_10"] == alone.evaluation.baselines["shown order"][0]
    assert figures["gain_over_outcome_rate"] == pytest.approx(
        figures["ndcg_at_10"] - figures["baseline/outcome rate/ndcg_at_10"]
    )
    assert "slice/3 or more earlier events/ndcg_at_10" in figures
    assert all(np.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("in_process_rows", [10**6, 0], ids=["one process", "spark"])
def test_rows_without_an_outcome_are_refused(rows, in_process_rows):
    nothing = rows.withColumn("label", F.lit(0.0).cast("float"))
    with pytest.raises(TrainingError, match=r"no decision has an outcome.*look at outcomes.gains"):
        training.train_ranker(
            nothing, DEFINITIONS, dataclasses.replace(QUICK, in_process_rows=in_process_rows)
        )


def windows(n: int, seed: int = 0, entity: str = "user") -> pa.Table:
    """Rows of gold.behaviour_vectors, two entities a window of five minutes, in no order."""
    chance = np.random.default_rng(seed)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    order = chance.permutation(n)
    return pa.table(
        {
            "entity": pa.array([entity] * n, pa.string()),
            "entity_id": [f"u{i}" for i in order],
            "window_minutes": np.full(n, 5, np.int32),
            "window_start": pa.array([start + datetime.timedelta(minutes=5 * int(i // 2)) for i in order]),
            "vector": list(np.random.default_rng(1).gamma(2.0, 5.0, (n, 3))[order]),
        }
    )


def test_the_newest_windows_do_not_train_outlier_models_and_rare_kinds_have_none():
    three = pa.concat_tables([windows(200, entity="device"), windows(500), windows(100, entity="session")])
    found = outlier_training.train_outliers(three, ["a", "b", "c"], QUICK, fewest=150)
    assert list(found.models) == ["user/5", "device/5"], "the kind with the most vectors first"
    assert found.trained_on == {"user/5": 400, "device/5": 160}
    assert [len(newest) for newest in found.newest.values()] == [100, 40]
    again = outlier_training.train_outliers(windows(500, seed=9), ["a", "b", "c"], QUICK, fewest=150)
    newest = found.newest["user/5"]
    np.testing.assert_array_equal(again.newest["user/5"], newest)
    np.testing.assert_array_equal(again.models["user/5"].score(newest), found.models["user/5"].score(newest))


def test_too_few_windows_are_refused():
    with pytest.raises(
        TrainingError, match=r"has 50 to learn from and 12 to calibrate by, but user/5 40 and 10"
    ):
        outlier_training.train_outliers(windows(50), ["a", "b", "c"], QUICK, fewest=50)
    with pytest.raises(TrainingError, match="but none: let more events come in"):
        outlier_training.train_outliers(windows(50).slice(0, 0), ["a", "b", "c"], QUICK, fewest=50)


def test_importances_name_what_tells_most(alone):
    assert set(list(ranker.importances(alone.trained.booster))[:2]) == set(DEFINITIONS.names[:2])
