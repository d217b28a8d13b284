"""The ranker over Spark: each decision's scores and ranks."""

import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pipelines.contracts.gold import SCORES
from pipelines.errors import ModelError
from pipelines.models import package, ranker, scoring
from pipelines.models.batches import _shaped
from pipelines.models.packed_features import packed
from pipelines.models.scoring import Champion
from tests.models.builders import NAMES, some_examples, some_training

EXAMPLES = some_examples(40)
AT = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    cache = tmp_path_factory.mktemp("models")
    trained = ranker.train(EXAMPLES, some_examples(30, seed=2), NAMES, some_training(rounds=3))
    package.save_ranker(cache / "shop-ranker" / "7", trained.booster, "{}", "abc", EXAMPLES.features)
    return Champion("shop-ranker", "7", "unused", str(cache))


def decisions(spark, sizes, features):
    """Decisions d0, d1, … of so many items each."""
    starts = np.append(0, np.cumsum(sizes))
    lists = [list(range(a, b)) for a, b in pairwise(starts)]
    table = pa.table(
        {
            "decision_id": [f"d{i}" for i in range(len(sizes))],
            "user_id": ["ann"] * len(sizes),
            "decided_at": pa.array([AT] * len(sizes)),
            "items": [[f"i{row}" for row in rows] for rows in lists],
            "positions": pa.array([range(1, len(rows) + 1) for rows in lists], pa.list_(pa.int32())),
            "features": packed(features[: starts[-1]], starts),
        }
    )
    return _shaped(spark.createDataFrame(table))


def types(schema):
    return [(field.name, field.dataType) for field in schema.fields]


def test_decisions_are_scored_in_one_pass(spark, champion):
    sizes = [3, 1, 10, 5]
    features = EXAMPLES.features[: sum(sizes)].copy()
    features[1] = features[0]  # equal scores: the one shown first ranks first
    judged = scoring.scored(decisions(spark, sizes, features).repartition(3), champion).persist()
    found = scoring.score_rows(judged, champion)
    assert types(found.schema) == types(SCORES.schema)
    rows = {row["item_id"]: row for row in found.collect()}
    expected = package.load_ranker(champion.folder()).score(features)
    assert [rows[f"i{i}"]["score"] for i in range(sum(sizes))] == expected.tolist()
    for i, (start, size) in enumerate(zip(np.cumsum([0, *sizes]), sizes, strict=False)):
        own = [rows[f"i{row}"] for row in range(start, start + size)]
        assert [r["decision_id"] for r in own] == [f"d{i}"] * size
        assert sorted(r["rank"] for r in own) == list(range(1, size + 1))
        assert sorted(own, key=lambda r: r["rank"]) == sorted(own, key=lambda r: (-r["score"], r["position"]))
    assert {(r["model_name"], r["model_version"]) for r in rows.values()} == {("shop-ranker", "7")}
    judged.unpersist()


def test_rows_of_features_get_a_score_column(spark, champion):
    rows = spark.createDataFrame(pa.table({"key": range(100), "features": list(EXAMPLES.features[:100])}))
    found = scoring.with_scores(rows, champion).orderBy("key").toArrow()
    assert found.column_names == ["key", "score"]
    expected = package.load_ranker(champion.folder()).score(EXAMPLES.features[:100])
    np.testing.assert_array_equal(found["score"].to_numpy(), expected)


def test_a_slice_of_a_column_is_scored_as_itself(champion):
    model = package.load_ranker(champion.folder())
    expected = model.score(EXAMPLES.features[7:27])
    for column in (pa.array(list(EXAMPLES.features[:50])), packed(EXAMPLES.features[:50], np.arange(51))):
        np.testing.assert_array_equal(scoring.score_column(column.slice(7, 20), model), expected)


def test_a_null_cell_has_no_rows(champion):
    model = package.load_ranker(champion.folder())
    cells = packed(EXAMPLES.features[:6], np.array([0, 2, 4, 6])).to_pylist()
    column = pa.array([cells[0], None, cells[2]], pa.binary())
    expected = model.score(EXAMPLES.features[[0, 1, 4, 5]])
    np.testing.assert_array_equal(scoring.score_column(column, model), expected)
    assert scoring.score_column(pa.array([None], pa.binary()), model).size == 0


def test_more_features_than_a_column_holds_are_an_error():
    one = np.zeros((1, 1 << 20), np.float32)
    with pytest.raises(OverflowError, match="pack fewer rows at a time"):
        packed(one, np.array([0, 1 << 10]))


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([[1.0] * 5, [1.0] * 7], pa.list_(pa.float32())),
        pa.array([[1.0, None, 1.0, 1.0, 1.0, 1.0]], pa.list_(pa.float32())),
        pa.array([b"\0" * 20, b"\0" * 28]),
        pa.array([b"\0" * 25]),
    ],
    ids=["a feature too few, one too many", "a null", "the same in bytes", "a byte too many"],
)
def test_features_that_make_no_rows_are_refused(champion, cells):
    model = package.load_ranker(champion.folder())
    with pytest.raises(ModelError, match="do not make rows of 6"):
        scoring.score_column(cells, model)


def test_items_and_features_must_fit(spark, champion):
    three = F.array(F.lit("x"), F.lit("y"), F.lit("z"))
    few = decisions(spark, [2], EXAMPLES.features).withColumn("items", three)
    with pytest.raises(Exception, match="3 items came with the features of 2"):
        scoring.scored(few, champion).collect()
