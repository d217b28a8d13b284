"""The ranker learns an order, gives the same bytes for the same rows, and says why rows cannot teach it."""

import dataclasses

import numpy as np
import pytest

from pipelines.errors import SettingsError, TrainingError
from pipelines.models import ranker
from tests.models.builders import NAMES, some_examples, some_training

TRAIN, VALIDATION = some_examples(seed=1), some_examples(60, seed=2)


@pytest.mark.parametrize("objective", ranker.OBJECTIVES)
def test_it_learns_what_can_be_learnt(objective):
    trained = ranker.train(TRAIN, VALIDATION, NAMES, some_training(objective=objective))
    assert list(ranker.importances(trained.booster))[:2] == ["f0", "f1"]
    assert trained.curves["validation"][trained.rounds - 1] == max(trained.curves["validation"]) > 0.75


def test_the_same_rows_and_seed_give_the_same_bytes():
    first, second = (
        ranker.train(TRAIN, VALIDATION, NAMES, some_training()).booster.save_raw("ubj") for _ in range(2)
    )
    other = ranker.train(TRAIN, VALIDATION, NAMES, some_training(seed=8)).booster.save_raw("ubj")
    assert first == second != other


def test_rounds_after_the_best_one_are_cut():
    trained = ranker.train(TRAIN, VALIDATION, NAMES, some_training(rounds=60, early_stopping=3))
    assert trained.rounds < len(trained.curves["validation"]) < 60
    assert trained.rounds == int(np.argmax(trained.curves["validation"])) + 1


def test_without_early_stopping_all_rounds_are_kept():
    trained = ranker.train(TRAIN, VALIDATION, NAMES, some_training(rounds=60, early_stopping=0))
    assert trained.rounds == len(trained.curves["validation"]) == 60


def test_labels_may_be_any_gain():
    halves = dataclasses.replace(TRAIN, labels=TRAIN.labels * np.float32(0.5))
    assert ranker.train(halves, VALIDATION, NAMES, some_training()).rounds >= 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": np.zeros(2000, np.float32)}, "no order to learn; look at outcomes.gains"),
        ({"labels": np.ones(2000, np.float32)}, "none of 200 decisions has both"),
        ({"labels": -TRAIN.labels}, "negative"),
        ({"sizes": np.full(3, 10)}, "do not belong together"),
        ({"features": np.where(np.arange(6) == 4, np.inf, TRAIN.features)}, "feature 4 is infinite"),
        (
            {"features": np.where(np.isin(np.arange(6), (1, 4)), np.nan, TRAIN.features)},
            r"the training part: f1, f4 is missing in every row.*take it out of features in the domain file",
        ),
        ({"features": TRAIN.features[:, :5]}, "5 features, but 6 are named"),
        ({"features": TRAIN.features[:0], "labels": TRAIN.labels[:0], "sizes": TRAIN.sizes[:0]}, "is empty"),
    ],
)
def test_rows_that_cannot_teach_are_refused(change, reason):
    with pytest.raises(TrainingError, match=reason):
        ranker.train(dataclasses.replace(TRAIN, **change), VALIDATION, NAMES, some_training())


def test_one_item_a_decision_cannot_teach_an_order():
    single = ranker.Examples(TRAIN.features, TRAIN.labels, np.ones(2000, np.int64))
    with pytest.raises(TrainingError, match="no order to learn"):
        ranker.train(single, VALIDATION, NAMES, some_training())


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(SettingsError, match="rank:ndcg"):
        ranker.parameters(some_training(objective="rank:ndgc"))
