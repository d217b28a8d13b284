"""Figures of an order, worked out by hand, and the cut in time."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import TrainingError
from pipelines.models.evaluation import (
    baselines,
    evaluate,
    evaluate_all,
    ndcg_at,
    paired_gain,
    reciprocal_rank,
    slices,
)
from pipelines.models.split import at_random, by_time, is_later
from pipelines.models.training_set import Rankings


def some_rankings(*labels, at=None, earlier=None) -> Rankings:
    """Decisions with these labels in shown order; popularity and outcome rate are the place from the end."""
    sizes = [len(of) for of in labels]
    places = np.concatenate([np.arange(1, n + 1) for n in sizes])
    upward = places.astype(np.float32)
    decisions = len(labels)
    return Rankings(
        names=[],
        features=np.zeros((places.size, 0), np.float32),
        labels=np.concatenate([np.array(of, np.float32) for of in labels]),
        positions=places,
        popularity=upward,
        outcome_rate=upward,
        starts=np.append(0, np.cumsum(sizes)),
        decided_at=np.arange(decisions) if at is None else np.array(at),
        earlier_events=np.zeros(decisions, int) if earlier is None else np.array(earlier),
    )


def test_ndcg_is_the_discounted_gain_over_the_best_possible():
    one = some_rankings([0, 2, 1])
    shown = (2 / math.log2(3) + 1 / 2) / (2 + 1 / math.log2(3))
    assert ndcg_at(one, np.array([3.0, 2.0, 1.0])) == pytest.approx([shown])
    assert ndcg_at(one, np.array([0.0, 9.0, 1.0])) == pytest.approx([1.0])
    assert ndcg_at(one, np.array([3.0, 2.0, 1.0]), top=1) == pytest.approx([0.0])


def test_decisions_are_judged_apart_and_equal_scores_keep_the_shown_order():
    two = some_rankings([1, 0], [0, 0, 1])
    assert ndcg_at(two, np.zeros(5)) == pytest.approx([1.0, 0.5])
    assert reciprocal_rank(two, np.zeros(5)) == pytest.approx([1.0, 1 / 3])
    assert reciprocal_rank(two, np.array([1.0, 2.0, 0.0, 0.0, 9.0])) == pytest.approx([0.5, 1.0])


def test_only_the_first_ten_count():
    one = some_rankings([0] * 11 + [1])
    assert ndcg_at(one, -np.arange(12.0)) == pytest.approx([0.0])
    assert reciprocal_rank(one, -np.arange(12.0)) == pytest.approx([1 / 12])


def test_a_clear_gain_has_an_interval_above_zero_and_none_has_one_around_it():
    chance = np.random.default_rng(0)
    theirs = chance.random(400)
    clear = paired_gain(theirs + 0.05 + 0.01 * chance.random(400), theirs, seed=1)
    assert 0.05 < clear.low < clear.mean < clear.high < 0.06
    none = paired_gain(chance.random(400), chance.random(400), seed=1)
    assert none.low < 0 < none.high
    assert paired_gain(theirs, theirs, seed=1).high == 0


def test_the_interval_covers_as_often_as_it_says():
    chance = np.random.default_rng(5)
    zero = np.zeros(60)
    gains = [paired_gain(chance.random(60), zero, seed, resamples=200) for seed in range(200)]
    covered = [gain.low <= 0.5 <= gain.high for gain in gains]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_an_evaluation_has_baselines_and_slices():
    rankings = some_rankings([1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], earlier=[0, 1, 2, 7])
    found = evaluate(rankings, rankings.labels, seed=3)
    assert (found.decisions, found.ndcg, found.mrr) == (4, 1.0, 1.0)
    assert found.baselines["shown order"] == pytest.approx(
        ((1 + 0.5 + 1 / math.log2(3) + 0.5) / 4, (1 + 1 / 3 + 0.5 + 1 / 3) / 4)
    )
    assert found.baselines["popularity"] == pytest.approx(
        ((0.5 + 1 + 1 / math.log2(3) + 1) / 4, (1 / 3 + 1 + 0.5 + 1) / 4)
    )
    assert 0.5 < found.baselines["random"][0] < 0.9
    assert [(s.name, s.decisions, s.ndcg) for s in found.slices] == [
        ("no earlier events", 1, 1.0),
        ("1-2 earlier events", 2, 1.0),
        ("3 or more earlier events", 1, 1.0),
        ("items of the fewest outcomes", 4, 1.0),
    ]
    assert found.gain.mean == pytest.approx(1 - found.baselines["outcome rate"][0])
    assert evaluate(rankings, rankings.labels, seed=3) == found


def test_a_slice_without_decisions_has_no_figures():
    found = evaluate(some_rankings([1, 0]), np.array([1.0, 0.0]), seed=0)
    assert [(s.decisions, s.gain is None) for s in found.slices[:3]] == [(1, False), (0, True), (0, True)]


def test_rarely_chosen_items_are_those_of_the_tenth_with_the_fewest_outcomes():
    rankings = some_rankings(*[[1, 0]] * 50)
    known = np.random.default_rng(3).permutation(50)
    rankings = dataclasses.replace(rankings, popularity=np.repeat(known, 2).astype(np.float32))
    chosen = dict(slices(rankings))["items of the fewest outcomes"]
    assert set(known[chosen]) == set(range(5))


def test_several_seeds_have_a_mean_and_a_spread():
    rankings = some_rankings([1, 0, 0], [0, 0, 1])
    good, bad = rankings.labels, -rankings.labels
    found = evaluate_all(rankings, [good, bad], seed=3)
    one, other = (evaluate(rankings, scores, seed=3) for scores in (good, bad))
    assert found.seeds == [one.ndcg, other.ndcg] == [1.0, pytest.approx(0.5)]
    assert found.ndcg == pytest.approx(0.75)
    assert found.mrr == pytest.approx((one.mrr + other.mrr) / 2)
    assert found.gain.mean == pytest.approx((one.gain.mean + other.gain.mean) / 2)
    assert found.spread == pytest.approx(math.sqrt(0.5**2 / 2))
    assert one.spread == 0


def test_random_orders_come_from_the_seed():
    rankings = some_rankings([1, 0, 0], [0, 1, 0])
    one, same, other = (baselines(rankings, seed)["random"][0] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.floats(0.05, 0.9))
def test_the_later_part_is_later_and_as_large_as_asked(times, share):
    late = is_later(np.array(times), share)
    early = [t for t, is_late in zip(times, late, strict=True) if not is_late]
    assert late.any()
    assert max(early, default=-1) < min(t for t, is_late in zip(times, late, strict=True) if is_late)
    assert late.sum() >= math.floor(len(times) * share)


def test_train_validation_and_test_follow_each_other():
    rankings = some_rankings(*[[1, 0]] * 100, at=list(range(100))[::-1])
    split = by_time(rankings, 0.2, 0.25)
    assert [len(part) for part in split] == [60, 20, 20]
    assert split.train.decided_at.max() < split.validation.decided_at.min()
    assert split.validation.decided_at.max() < split.test.decided_at.min()


def test_a_random_cut_is_seeded_and_parts_every_decision():
    rankings = some_rankings(*[[1, 0]] * 100)
    (past, test), (again, _), (other, _) = (at_random(rankings, 0.2, seed) for seed in (1, 1, 2))
    assert (len(past), len(test)) == (80, 20)
    assert sorted([*past.decided_at, *test.decided_at]) == list(range(100))
    assert past.decided_at.max() > test.decided_at.min()
    assert past.decided_at.tolist() == again.decided_at.tolist() != other.decided_at.tolist()
    with pytest.raises(TrainingError, match="1 decisions with an outcome leave none for the test part"):
        at_random(some_rankings([1, 0]), 0.2, 1)


@pytest.mark.parametrize("at", [[5, 5, 5], [1], []])
def test_too_few_moments_are_an_error(at):
    with pytest.raises(TrainingError):
        by_time(
            some_rankings(*[[1, 0]] * len(at), at=at)
            if at
            else some_rankings([1, 0]).where(np.array([False])),
            0.2,
            0.2,
        )
