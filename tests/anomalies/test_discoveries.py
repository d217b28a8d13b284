"""Discoveries: Benjamini and Hochberg in a batch, a level across batches, and what is bet on change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from pipelines.anomalies import discoveries
from pipelines.anomalies.discoveries import Past, benjamini_hochberg, judge, most_found, next_level
from pipelines.anomalies.exchangeability import capital, mean_error, shuffled_within

P_VALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05]), min_size=1, max_size=30)


@given(P_VALUES, st.floats(0.001, 0.5))
def test_discoveries_are_those_of_benjamini_and_hochberg(values, level):
    p = np.array(values)
    adjusted = false_discovery_control(p)
    near = np.abs(adjusted - level) < 1e-9
    found = benjamini_hochberg(p, level)
    np.testing.assert_array_equal(found[~near], (adjusted <= level)[~near])
    assert not benjamini_hochberg(np.append(p, np.nan), level)[-1]


@given(P_VALUES, st.floats(0.001, 0.5))
def test_the_most_that_could_be_found_is_what_trying_gives(values, level):
    p = np.array(values)
    tried = [
        int(benjamini_hochberg(np.where(np.arange(len(p)) == i, 0.0, p), level).sum()) for i in range(len(p))
    ]
    assert most_found(p, level) == max(tried)


@given(P_VALUES, st.lists(st.integers(0, 4), min_size=30, max_size=30))
def test_causes_are_counted_and_only_few_are_asked_for_theirs(values, numbers):
    p, causes = np.array(values), np.array(numbers)[: len(values)]
    asked = []
    found, kept = judge([], p, 0.4, 0.9, lambda places: asked.append(places) or causes[places])
    every, single = judge([], p, 0.4, 0.9)
    np.testing.assert_array_equal(found, benjamini_hochberg(p, kept.level, causes))
    assert kept.found == len(set(causes[found].tolist())) <= single.found == every.sum()
    assert found.sum() <= every.sum()
    assert kept.found <= kept.most <= single.most == most_found(p, single.level)
    assert set(np.flatnonzero(every)) <= set(asked[0].tolist())


def test_what_many_of_one_cause_prove_does_not_pay_for_others():
    p = np.r_[np.full(200, 1e-6), 0.02, np.linspace(0.1, 1.0, 199)]
    causes = np.r_[np.zeros(200, np.int64), np.arange(1, 201)]
    assert judge([], p, 0.1, 0.99)[0][200]
    found, kept = judge([], p, 0.1, 0.99, causes.__getitem__)
    assert found.sum() == 200
    assert kept.found == 1


def test_a_batch_without_hypotheses_finds_nothing():
    found, past = judge([], np.zeros(0), 0.1, 0.99)
    assert (found.size, past) == (0, Past(0.0, 0, 0))
    assert next_level([past], 5, 0.1, 0.99) > 0


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60),
    st.integers(1, 500),
    st.floats(0.5, 0.999),
)
def test_a_level_is_never_negative_nor_above_the_share(history, tests, decay):
    past = [Past(0.05, min(found, most), max(found, most, 1)) for found, most in history]
    assert 0 <= next_level(past, tests, 0.1, decay) <= 0.1


def realised(chance, batches, tests, share, decay, true=0):
    """(weighted share of false discoveries after the last batch, discoveries that are true)."""
    past, weights, false, found, right = [], 1.0, 0.0, 0.0, 0
    for _ in range(batches):
        p = chance.random(tests)
        p[:true] = 1e-9
        marks, one = judge(past, p, share, decay)
        past = [*past, one][-discoveries.remembered(decay) :]
        false = decay * false + marks[true:].sum() * weights
        found = decay * found + marks.sum() * weights
        right += int(marks[:true].sum())
    return false / max(found, 1.0), right


@pytest.mark.parametrize("true", [0, 2])
def test_the_share_of_false_discoveries_in_memory_stays_below_its_limit(true):
    chance, share, decay, runs = np.random.default_rng(1), 0.2, 0.9, 300
    shares, right = zip(*(realised(chance, 40, 25, share, decay, true) for _ in range(runs)), strict=True)
    assert np.mean(shares) <= share + 3 * np.std(shares) / np.sqrt(runs)
    assert sum(right) >= 0.95 * true * 40 * runs


def test_what_was_spent_comes_back():
    spent = [Past(0.1, 0, 1)] * 3
    low = next_level(spent, 100, 0.1, 0.9)
    rested = next_level(spent + [Past(0.0, 0, 1)] * 30, 100, 0.1, 0.9)
    assert low == 0.0
    assert rested > 0.03
    assert discoveries.remembered(0.9) == 88


def test_the_capital_stays_low_while_rows_are_alike_and_grows_when_they_change():
    chance, n = np.random.default_rng(4), 2_000
    alike = np.array([capital(chance.random(1_000), n).max() for _ in range(200)])
    assert np.mean(alike >= 1) <= 0.1
    assert np.mean(alike >= 2) <= 0.02
    assert capital(chance.random(3_000) ** 1.5, n)[-1] > 10
    assert capital(chance.random(3_000) ** 0.5, n)[-1] > 10
    assert capital(np.zeros(0), n).size == 0


def test_a_small_calibration_set_is_never_held_against_the_rows():
    """With a set of 8 the mean p-value may be anywhere: no bet can win."""
    assert mean_error(8, 0.01) == 0.5
    assert capital(np.full(500, 0.999), 8).max() <= 0


def test_rows_are_shuffled_within_their_day_alone():
    days = np.array([2, 1, 1, 2, 1, 3])
    order = shuffled_within(days, seed=1)
    assert days[order].tolist() == [1, 1, 1, 2, 2, 3]
    assert sorted(order.tolist()) == list(range(6))
    many = np.zeros(100, np.int64)
    assert shuffled_within(many, 1).tolist() == shuffled_within(many, 1).tolist() != list(range(100))
