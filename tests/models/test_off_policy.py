"""Estimates of what another order would have earned, on a shop whose chances are known exactly."""

import dataclasses

import numpy as np
import pytest

from pipelines.models.off_policy import Places, estimate, known_places
from tests.models.builders import some_rankings

CHANCES = np.array([0.5, 0.3, 0.2, 0.1])
"""Of an outcome of each of four items, at either of two places."""


def explored(lists, seed, foretold=None):
    """Lists of two places, filled at random out of four items with unequal chances; the ranker would put item
    0 first and item 1 second."""
    chance = np.random.default_rng(seed)
    policy = np.array([0.1, 0.2, 0.3, 0.4])
    item = chance.choice(4, size=(lists, 2), p=policy).ravel()
    chosen = np.tile([0, 1], lists)
    foretold = CHANCES if foretold is None else np.asarray(foretold)
    return Places(
        earned=(chance.random(2 * lists) < CHANCES[item]).astype(float),
        propensity=policy[item],
        agrees=item == chosen,
        foretold_shown=foretold[item],
        foretold_chosen=foretold[chosen],
        starts=np.arange(0, 2 * lists + 1, 2),
    )


TRUTH = CHANCES[0] + CHANCES[1]
SHOWN = 2 * float(CHANCES @ [0.1, 0.2, 0.3, 0.4])


def test_all_three_find_what_the_other_order_earns():
    found = estimate(explored(60_000, seed=1), 0.01, seed=1)
    assert found.lists == 60_000
    assert found.shown == pytest.approx(SHOWN, abs=0.01)
    for value in (found.ips, found.snips, found.doubly_robust):
        assert value == pytest.approx(TRUTH, abs=0.02)
    assert found.gain.low < TRUTH - SHOWN < found.gain.high


def test_the_doubly_robust_one_is_right_though_what_is_foretold_is_wrong():
    found = estimate(explored(60_000, seed=2, foretold=[0.9, 0.9, 0.9, 0.9]), 0.01, seed=1)
    assert found.doubly_robust == pytest.approx(TRUTH, abs=0.04)


def test_right_chances_make_the_doubly_robust_one_the_most_certain():
    found = [estimate(explored(500, seed), 0.01, seed=1) for seed in range(60)]
    spread = {name: np.std([getattr(f, name) for f in found]) for name in ("ips", "snips", "doubly_robust")}
    assert spread["doubly_robust"] < spread["ips"]
    assert spread["snips"] < spread["ips"]


def test_clipping_gives_up_truth_for_certainty():
    exact = [estimate(explored(500, seed), 0.01, seed=1).ips for seed in range(60)]
    clipped = [estimate(explored(500, seed), 0.3, seed=1).ips for seed in range(60)]
    assert np.std(clipped) < np.std(exact)
    assert np.mean(clipped) < np.mean(exact) == pytest.approx(TRUTH, abs=0.02)


def test_the_order_that_was_shown_earns_what_was_shown():
    places = dataclasses.replace(explored(1000, seed=3), agrees=np.ones(2000, bool), propensity=np.ones(2000))
    same = dataclasses.replace(places, foretold_chosen=places.foretold_shown)
    found = estimate(same, 0.01, seed=1)
    assert found.ips == found.snips == found.shown
    assert found.doubly_robust == pytest.approx(found.shown)
    assert found.effective_places == 2000


def test_without_agreement_only_what_is_foretold_is_left():
    places = dataclasses.replace(explored(50, seed=4), agrees=np.zeros(100, bool))
    found = estimate(places, 0.01, seed=1)
    assert (found.ips, found.effective_places) == (0.0, 0.0)
    assert np.isnan(found.snips)
    assert found.doubly_robust == pytest.approx(TRUTH)


def test_only_lists_that_carry_propensities_count():
    rankings = some_rankings(decisions=3)
    scores, chances = np.arange(30.0), np.linspace(0, 1, 30)
    assert known_places(rankings, scores, chances) is None
    given = np.full(30, np.nan, np.float32)
    assert known_places(dataclasses.replace(rankings, propensity=given), scores, chances) is None
    given[10:20] = 0.5
    found = known_places(dataclasses.replace(rankings, propensity=given), scores, chances)
    assert found.starts.tolist() == [0, 10]
    np.testing.assert_array_equal(found.earned, rankings.labels[10:20] > 0)
    np.testing.assert_array_equal(found.foretold_shown, chances[10:20])
    np.testing.assert_array_equal(found.foretold_chosen, chances[10:20][::-1])
    assert not found.agrees.any(), "the ranker turns the list of ten round"
