"""Calibrated p-values: never too small among rows that are alike, whatever ties, batches or poor sets."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.anomalies.calibration import BOUNDS, FEWEST_FOR_LIMIT, Calibration, Rule
from pipelines.errors import ModelError, TrainingError

CONDITIONAL = BOUNDS[1:]
RNG = np.random.default_rng(5)
SCORES = RNG.gamma(2.0, 3.0, 4_000)


def p_of(calibration, *scores):
    return calibration.p_values(np.array(scores, np.float64))[0].tolist()


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60))
def test_among_rows_that_are_alike_at_most_k_of_n_have_a_p_value_of_k_over_n(values):
    """The law behind all else: each row in turn against the others, ties included."""
    rows = np.array(values, np.float64)
    p = [p_of(Calibration.fit(np.delete(rows, i)), row)[0] for i, row in enumerate(rows)]
    for k in range(1, len(rows) + 1):
        assert np.sum(np.array(p) <= k / len(rows) + 1e-12) <= k


@pytest.mark.parametrize("bound", CONDITIONAL)
@pytest.mark.parametrize("n", [10, 60, 400])
def test_a_conditional_bound_holds_for_the_set_at_hand_but_for_delta(bound, n):
    rng, rule, sets = np.random.default_rng(n), Rule(bound=bound, delta=0.2, tail_share=0.0), 600
    levels = Calibration.fit(rng.random(n), rule).levels
    kept = 0
    for _ in range(sets):
        ordered = np.sort(rng.random(n))
        chance = np.append(1 - ordered[::-1], 1.0)  # that a new score is above all but j of the set
        kept += bool(np.all(chance <= levels + 1e-12))
    slack = 3 * np.sqrt(0.2 * 0.8 / sets)
    assert kept / sets >= 0.8 - slack - (0.05 if bound == "asymptotic" and n < 400 else 0.0)
    if n < FEWEST_FOR_LIMIT:
        np.testing.assert_array_equal(levels, Calibration.fit(rng.random(n), Rule("simes", 0.2)).levels)


def test_simes_bound_is_the_papers_formula():
    levels = Calibration.fit(np.arange(6.0), Rule("simes", delta=0.1)).levels
    i6, i5, i4, i3 = (1 - 0.1 ** (1 / 3) * (p / 120) ** (1 / 3) for p in (120, 60, 24, 6))
    np.testing.assert_allclose(levels, [i6, i5, i4, i3, 1, 1, 1])


@settings(max_examples=30)
@given(
    st.lists(st.floats(0, 200, allow_nan=False) | st.just(np.nan), min_size=1, max_size=50),
    st.sampled_from(BOUNDS),
    st.integers(1, 9),
)
def test_a_p_value_does_not_depend_on_its_batch_and_falls_as_scores_rise(values, bound, size):
    calibration = Calibration.fit(SCORES[:500], Rule(bound))
    scores = np.array(values)
    whole, tails = calibration.p_values(scores)
    parts = [calibration.p_values(scores[i : i + size])[0] for i in range(0, len(scores), size)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert ((whole > 0) & (whole <= 1)).all()
    known = ~np.isnan(scores)
    assert (np.diff(whole[known][np.argsort(scores[known], kind="stable")]) <= 0).all()
    assert (whole[~known] == 1.0).all()
    assert not tails[~known].any()


def test_beyond_the_highest_score_the_tail_goes_on_and_says_so():
    calibration = Calibration.fit(SCORES, Rule(tail_reach=100.0))
    highest = SCORES.max()
    p, tails = calibration.p_values(highest + np.array([0.0, 1e-9, 3.0, 1e6]))
    assert tails.tolist() == [False, True, True, True]
    least = 1 / (len(SCORES) + 1)
    assert p[0] == 2 * least
    assert p[1] == pytest.approx(least)
    assert p[2] < 0.7 * least
    assert p[3] == pytest.approx(least / 100), "never smaller by more than its reach"
    counted = Calibration.fit(SCORES, Rule(tail_share=0.0)).p_values(highest + np.array([1.0, 1e6]))
    assert counted[0].tolist() == [least, least]
    assert not counted[1].any()


@pytest.mark.parametrize(("shape", "far"), [(0.0, 8.0), (0.3, 12.0)])
def test_the_tail_is_near_the_truth_a_hundred_times_beyond_counting(shape, far):
    rng = np.random.default_rng(3)
    uniform = rng.random(3_000)
    scores = -np.log(uniform) if shape == 0 else (uniform**-shape - 1) / shape
    goal = 1 / (100 * len(scores))
    at = -np.log(goal) if shape == 0 else (goal**-shape - 1) / shape
    [p] = p_of(Calibration.fit(scores), at)
    assert goal / far < p < goal * far


@pytest.mark.parametrize(
    "scores",
    [[1.0], [2.0] * 300, [0.0, np.nan, np.nan], [1.0, np.inf, np.inf], [-np.inf, 5.0]],
    ids=["one row", "all alike", "mostly unknown", "infinite", "minus infinity"],
)
@pytest.mark.parametrize("bound", BOUNDS)
def test_poor_sets_give_large_p_values_never_wrong_ones(scores, bound):
    calibration = Calibration.fit(np.array(scores), Rule(bound))
    n = int(np.sum(~np.isnan(scores)))
    p, _ = calibration.p_values(np.array([-np.inf, 0.0, 2.0, 1e300, np.inf, np.nan]))
    assert (p >= 1 / (n + 1) / 1e3).all()
    assert p[0] == p[-1] == 1.0
    assert p_of(calibration, max(s for s in scores if not np.isnan(s)))[0] >= min(1.0, 2 / (n + 1))


def test_no_row_is_no_calibration_and_a_wrong_rule_is_told():
    for scores in ([], [np.nan, np.nan]):
        with pytest.raises(TrainingError, match="calibration rows has a score"):
            Calibration.fit(np.array(scores))
    with pytest.raises(TrainingError, match="no bound 'median'"):
        Rule("median")
    with pytest.raises(TrainingError, match="0 < delta < 1"):
        Rule(delta=1.0)


def test_many_rows_are_thinned_by_chance_that_is_seeded(monkeypatch):
    monkeypatch.setattr("pipelines.anomalies.calibration.MOST", 1_000)
    thin = Calibration.fit(SCORES)
    assert len(thin.scores) == 1_000
    assert set(thin.scores) <= set(SCORES)
    assert thin.version == Calibration.fit(SCORES[::-1]).version
    assert thin.version != Calibration.fit(SCORES, Rule(seed=8)).version


def test_it_survives_being_frozen_as_numbers_and_json():
    calibration = Calibration.fit(SCORES, Rule("simes"))
    arrays, about = calibration.frozen()
    again = Calibration.from_frozen(arrays, json.loads(json.dumps(about)))
    assert again.version == calibration.version
    np.testing.assert_array_equal(again.p_values(SCORES * 2)[0], calibration.p_values(SCORES * 2)[0])
    with pytest.raises(ModelError, match="levels"):
        Calibration.from_frozen({"scores": arrays["scores"]}, about)
    with pytest.raises(ModelError, match="damaged"):
        Calibration.from_frozen(arrays | {"levels": arrays["levels"][::-1]}, about)
    with pytest.raises(ModelError, match="no calibration"):
        Calibration.from_frozen(arrays, about | {"rule": {"bound": "x"}})


def test_smoothed_p_values_are_uniform_with_ties_too():
    rng = np.random.default_rng(9)
    calibration = Calibration.fit(rng.integers(0, 5, 2_000).astype(float))
    p = calibration.smoothed(np.append(rng.integers(0, 5, 20_000), np.nan), rng)
    assert len(p) == 20_000
    for share in (0.05, 0.3, 0.7):
        assert np.mean(p <= share) == pytest.approx(share, abs=0.03)
