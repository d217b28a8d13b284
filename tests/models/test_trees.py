"""Flat trees give the booster's own sums, bit for bit, whatever shares the batch."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ModelError
from pipelines.models import ranker, trees
from tests.models.builders import NAMES, some_examples, some_training


def boosted(objective: str, depth: int = 4, rounds: int = 15) -> xgboost.Booster:
    examples = some_examples()
    decisions = np.repeat(np.arange(200), examples.sizes)
    data = xgboost.DMatrix(examples.features, label=examples.labels > 0, qid=decisions)
    return xgboost.train({"objective": objective, "max_depth": depth, "seed": 1, "nthread": 1}, data, rounds)


BOOSTERS = {objective: boosted(objective) for objective in ranker.OBJECTIVES}
odd = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 3.4e38])
rows = st.lists(st.lists(st.floats(width=32) | odd, min_size=6, max_size=6), min_size=1, max_size=150)


@settings(deadline=None)  # the first example compiles the kernel
@given(rows, st.sampled_from(ranker.OBJECTIVES))
def test_sums_are_the_boosters_own_margins(values, objective):
    features = np.array(values, np.float32)
    booster = BOOSTERS[objective]
    # The booster wants infinite values declared; as plain features it compares them like any number.
    finite = np.nan_to_num(features, nan=np.nan, posinf=3.4e38, neginf=-3.4e38)
    margins = booster.predict(xgboost.DMatrix(finite), output_margin=True)
    np.testing.assert_array_equal(trees.from_booster(booster).sums(features), margins)


def test_values_on_a_threshold_go_where_the_booster_sends_them():
    booster = BOOSTERS["rank:ndcg"]
    forest = trees.from_booster(booster)
    edges = np.unique(np.abs(forest.nodes["threshold"][np.isfinite(forest.nodes["threshold"])]))
    above = np.nextafter(np.concatenate([edges, -edges]), np.float32(9))
    features = np.random.default_rng(3).choice(np.concatenate([edges, -edges, above]), (2000, 6))
    np.testing.assert_array_equal(
        forest.sums(features), booster.inplace_predict(features, predict_type="margin")
    )


@pytest.mark.parametrize("depth", range(1, 9))
def test_many_rows_at_once_get_the_sums_of_each_alone(depth):
    forest = trees.from_booster(boosted("rank:ndcg", depth, rounds=5))
    features = some_examples().features[:300]
    thresholds = np.abs(forest.nodes["threshold"][np.isfinite(forest.nodes["threshold"])])
    strange = np.concatenate([thresholds, -thresholds, [np.nan, np.inf, -np.inf, 0.0, -0.0]])
    rng = np.random.default_rng(depth)
    is_strange = rng.random(features.shape) < 0.5
    features = np.where(is_strange, rng.choice(strange, features.shape), features).astype(np.float32)
    assert forest.in_bins is not None
    alone = np.concatenate([forest.sums(row[None]) for row in features])
    np.testing.assert_array_equal(forest.sums(features), alone)


def one_split_each(thresholds):
    """A forest of stumps on one feature."""
    for threshold in thresholds:
        yield trees.Tree(
            left=np.array([1, -1, -1]),
            right=np.array([2, -1, -1]),
            feature=np.zeros(3, int),
            threshold=np.array([threshold, 0, 0], np.float32),
            missing_left=np.array([True, False, False]),
            values=np.array([0, 1, 10], np.float32),
        )


@pytest.mark.parametrize("cuts", [1, 255, 256, 511, 600])
def test_thresholds_that_a_byte_cannot_count_have_several(cuts):
    forest = trees.plant(one_split_each(range(cuts)), 1, np.float32(0.5))
    assert forest.in_bins is not None
    assert len(forest.in_bins.sources) == 1 + -(-cuts // 255)
    features = np.array([np.nan, -1, 0, 0.5, cuts - 1, cuts], np.float32)
    reached = np.array([0, 0, 1, 1, cuts, cuts])
    sums = forest.sums(np.resize(features, (60, 1)))[:6]
    np.testing.assert_array_equal(sums, 0.5 + reached * 10 + (cuts - reached))


def test_trees_too_deep_for_a_byte_are_walked():
    forest = trees.from_booster(boosted("rank:ndcg", 9, rounds=5))
    assert forest.depths.max() == 9
    assert forest.in_bins is None


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 11, 64, 65, 1000])
def test_a_sum_does_not_depend_on_its_neighbours(size):
    features = some_examples().features[:1000]
    forest = trees.from_booster(BOOSTERS["rank:ndcg"])
    whole = forest.sums(features)
    parts = np.concatenate([forest.sums(features[i : i + size]) for i in range(0, 1000, size)])
    order = np.random.default_rng(size).permutation(1000)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(forest.sums(features[order]), whole[order])


@pytest.mark.parametrize("rounds", [1, 7, 8, 9, 17])
@pytest.mark.parametrize("size", [1, 2, 9, 35])
def test_few_rows_are_walked_to_the_boosters_sums_whatever_the_number_of_trees(rounds, size):
    booster = boosted("rank:ndcg", 5, rounds)
    features = some_examples().features[:size]
    expected = booster.inplace_predict(features, predict_type="margin")
    np.testing.assert_array_equal(trees.from_booster(booster).sums(features), expected)


def test_a_forest_survives_its_arrays():
    forest = trees.from_booster(BOOSTERS["rank:ndcg"])
    features = some_examples(5).features
    np.testing.assert_array_equal(trees.from_arrays(forest.arrays()).sums(features), forest.sums(features))


@pytest.mark.parametrize(
    ("name", "value"), [("child", 10**6), ("feature", 12), ("roots", 10**6), ("depths", 10**6)]
)
def test_arrays_that_point_outside_are_refused(name, value):
    arrays = trees.from_booster(BOOSTERS["rank:ndcg"]).arrays()
    arrays[name] = arrays[name].copy()
    arrays[name][0] = value
    with pytest.raises(ModelError, match="point outside"):
        trees.from_arrays(arrays)


def test_rows_of_another_shape_or_type_are_refused():
    forest = trees.from_booster(BOOSTERS["rank:ndcg"])
    with pytest.raises(ModelError, match="needs 6 features a row"):
        forest.sums(np.zeros((3, 5), np.float32))
    with pytest.raises(ModelError, match="float32"):
        forest.sums(np.zeros((3, 6)))


def test_other_kinds_of_booster_are_refused():
    examples = some_examples(20)
    data = xgboost.DMatrix(examples.features, label=examples.labels)
    linear = xgboost.train({"booster": "gblinear", "nthread": 1}, data, 1)
    with pytest.raises(ModelError, match="gblinear"):
        trees.from_booster(linear)
    trained = ranker.train(examples, some_examples(20, seed=1), NAMES, some_training(rounds=1))
    assert trees.from_booster(trained.booster).width == 6
