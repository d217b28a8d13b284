"""Chances: they rise with the score, are right on average, survive as numbers, and their error is known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ModelError, TrainingError
from pipelines.models import calibration

SCORES = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=60)


def drawn(seed, rows=20_000):
    """Scores, and outcomes whose chance is the logistic function of the score."""
    chance = np.random.default_rng(seed)
    scores = chance.normal(-1, 1.5, rows).astype(np.float32)
    return scores, chance.random(rows) < 1 / (1 + np.exp(-scores))


def test_chances_are_those_with_which_outcomes_happen():
    known = calibration.fit(*drawn(1))
    scores, outcomes = drawn(2)
    chances = known.chance(scores)
    assert chances.mean() == pytest.approx(outcomes.mean(), abs=0.01)
    middle = np.abs(scores) < 2
    assert np.abs(chances - 1 / (1 + np.exp(-scores)))[middle].max() < 0.1
    assert calibration.reliability(chances, outcomes).error < 0.015


@given(SCORES, st.integers(0, 2**32), SCORES)
def test_a_higher_score_never_has_a_lower_chance(scores, seed, asked):
    outcomes = np.random.default_rng(seed).random(len(scores)) < 0.4
    known = calibration.fit(np.array(scores, np.float32), outcomes)
    chances = known.chance(np.sort(np.array(asked, np.float32)))
    assert (np.diff(chances) >= 0).all()
    assert ((chances >= 0) & (chances <= 1)).all()


@given(SCORES, st.integers(0, 2**32))
def test_numbers_come_back_exactly(scores, seed):
    outcomes = np.random.default_rng(seed).random(len(scores)) < 0.4
    known = calibration.fit(np.array(scores, np.float32), outcomes)
    again = calibration.from_json(known.to_json())
    np.testing.assert_array_equal(again.scores, known.scores)
    np.testing.assert_array_equal(again.chances, known.chances)


def test_equal_scores_have_the_rate_of_their_outcomes():
    known = calibration.fit(np.zeros(4, np.float32), np.array([True, False, False, False]))
    np.testing.assert_array_equal(known.chance(np.array([-1.0, 0.0, 9.0])), [0.25, 0.25, 0.25])


def test_without_rows_nothing_can_be_calibrated_or_judged():
    with pytest.raises(TrainingError, match="no decision is left to calibrate"):
        calibration.fit(np.zeros(0, np.float32), np.zeros(0, bool))
    with pytest.raises(TrainingError, match="no decision is left to judge the chance"):
        calibration.reliability(np.zeros(0), np.zeros(0, bool))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no calibration"),
        ('{"scores": [1]}', "is no calibration"),
        ('{"scores": [], "chances": []}', "as many chances as scores"),
        ('{"scores": [1, 2], "chances": [0.5]}', "as many chances as scores"),
        ('{"scores": [1, NaN], "chances": [0.5, 0.6]}', "all of them numbers"),
        ('{"scores": [2, 1], "chances": [0.5, 0.6]}', "rise with the scores"),
        ('{"scores": [1, 2], "chances": [0.6, 0.5]}', "rise with the scores"),
        ('{"scores": [1, 2], "chances": [0.6, 1.5]}', "from 0 to 1"),
    ],
)
def test_numbers_that_are_no_calibration_are_refused(text, message):
    with pytest.raises(ModelError, match=message):
        calibration.from_json(text)


def test_the_error_is_the_mean_distance_over_bins_of_equal_size():
    chances = np.array([0.1, 0.1, 0.5, 0.5])
    found = calibration.reliability(chances, np.array([False, False, True, False]), bins=2)
    np.testing.assert_allclose(found.foretold, [0.1, 0.5])
    np.testing.assert_allclose(found.happened, [0.0, 0.5])
    assert found.rows.tolist() == [2, 2]
    assert found.error == pytest.approx(0.05)
    assert found.rate == 0.25


def test_chance_alone_explains_the_error_of_right_chances_and_no_more():
    chance = np.random.default_rng(3)
    below = 0
    for seed in range(40):
        chances = chance.uniform(0.05, 0.4, 400)
        found = calibration.reliability(chances, chance.random(400) < chances).error
        below += found <= calibration.error_by_chance(chances, seed)
    assert 34 <= below <= 40
    wrong = calibration.reliability(chances * 0.3, chance.random(400) < chances).error
    assert wrong > calibration.error_by_chance(chances * 0.3, seed=1)
    assert calibration.error_by_chance(chances, 5) == calibration.error_by_chance(chances, 5)


def test_a_calibration_is_plain_json():
    known = calibration.fit(*drawn(1, rows=100))
    assert set(json.loads(known.to_json())) == {"scores", "chances"}
