"""A version may rank only with XGBoost's own bits."""

import dataclasses
import logging

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.models import package
from pipelines.models.trees import from_booster
from pipelines.serving.in_charge import by_xgboost, golden_rows, in_charge
from tests.models.builders import NAMES, a_small_ranker, some_examples


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranker") / "package"
    package.save_ranker(folder, a_small_ranker().booster, '{"features":[]}', "0123", some_examples().features)
    return package.load_ranker(folder)


def test_our_trees_rank_where_they_give_the_same_bits(ranker):
    model = in_charge("shop-ranker", "1", ranker)
    rows = golden_rows(ranker)
    assert model.is_exact
    np.testing.assert_array_equal(model.score(rows), by_xgboost(ranker, rows))


def test_the_golden_rows_try_what_trees_can_get_wrong(ranker):
    rows = golden_rows(ranker)
    thresholds = ranker.forest.nodes["threshold"]
    assert np.isin(rows, thresholds[np.isfinite(thresholds)]).any()
    assert np.isnan(rows).any()
    assert rows.shape[1] == len(NAMES)
    np.testing.assert_array_equal(rows, golden_rows(ranker))


def test_otherwise_xgboost_itself_ranks_and_a_warning_says_so(ranker, caplog):
    wrong = dataclasses.replace(ranker.forest, values=ranker.forest.values + np.float32(1e-6))
    with caplog.at_level(logging.WARNING, "lakepulse"):
        model = in_charge("shop-ranker", "1", dataclasses.replace(ranker, forest=wrong))
    assert not model.is_exact
    assert "do not give XGBoost's bits" in caplog.text
    rows = some_examples().features
    np.testing.assert_array_equal(model.score(rows), from_booster(ranker.booster).sums(rows))


def test_scores_that_are_no_numbers_are_refused(ranker):
    broken = dataclasses.replace(ranker.forest, values=ranker.forest.values * np.float32(np.nan))
    with pytest.raises(ModelError, match="not a number"):
        in_charge("shop-ranker", "1", dataclasses.replace(ranker, forest=broken))
