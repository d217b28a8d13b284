"""Checks that a ranker can be relied on: each passes what is well, and says what is not, by how much, and the
remedy."""

import dataclasses
import itertools

import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.models import calibration, package, ranker, soundness
from pipelines.models.trees import from_booster
from tests.models.builders import NAMES, some_rankings, some_training

GATE = settings_module.load(environ={}).gate


EARLIER, HELD_OUT, LATER = some_rankings(1, 400), some_rankings(2), some_rankings(3)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A ranker with its chances, from a package."""
    folder = tmp_path_factory.mktemp("sound") / "ranker"
    found = ranker.train(EARLIER.examples(), HELD_OUT.examples(), NAMES, some_training(rounds=8))
    scores = from_booster(found.booster).sums(HELD_OUT.features)
    chances = calibration.fit(scores, HELD_OUT.labels > 0)
    package.save_ranker(folder, found.booster, "{}", "0123abcd", HELD_OUT.features, calibrator=chances)
    return package.load_ranker(folder)


def test_a_ranker_of_other_features_is_told_with_both_and_the_remedy(known):
    assert soundness.definitions_check(known, "0123abcd").passed
    found = soundness.definitions_check(known, "ffff")
    assert not found.passed
    assert "trained on features 0123abcd, the domain file now declares ffff: train again" in found.told


def test_a_ranker_of_other_vectors_is_told_with_both_and_the_remedy(known):
    assert soundness.vectors_check(known, None).passed
    found = soundness.vectors_check(known, "v1")
    assert not found.passed
    assert found.told == "carries the vectors None, gold.training_rows was made with v1: train again"


def test_chances_that_come_true_pass_with_their_error(known):
    found = soundness.calibration_check(known, LATER, GATE, seed=1)
    assert found.passed
    assert 0 < found.value <= found.limit == GATE.max_calibration_error
    assert "of the outcome rate 0.3000 of 2,000 items shown" in found.told


def test_chances_that_do_not_come_true_are_refused_by_how_much(known):
    doubtful = calibration.Calibrator(known.calibrator.scores, known.calibrator.chances * 0.4)
    found = soundness.calibration_check(dataclasses.replace(known, calibrator=doubtful), LATER, GATE, seed=1)
    assert not found.passed
    assert found.value == pytest.approx(0.6, abs=0.05)
    assert "more than 25%; train again on newer decisions" in found.told


def test_an_error_that_few_rows_leave_to_chance_is_no_reason_to_refuse(known):
    few = LATER.where(np.arange(len(LATER)) < 40)
    strict = dataclasses.replace(GATE, max_calibration_error=0.01)
    found = soundness.calibration_check(known, few, strict, seed=1)
    assert found.passed
    assert found.value > found.limit
    assert "so few items leave" in found.told


def test_chances_are_not_judged_by_too_few_decisions(known):
    found = soundness.calibration_check(known, LATER.where(np.arange(len(LATER)) < 29), GATE, seed=1)
    assert (found.verdict, found.told) == ("not judged", "29 decisions are too few to judge chances by")


def test_a_ranker_without_chances_is_refused(known):
    found = soundness.calibration_check(dataclasses.replace(known, calibrator=None), LATER, GATE, seed=1)
    assert not found.passed
    assert "its package has no calibration" in found.told


def clock(step_ns):
    """A clock that moves by so much at each look."""
    return itertools.count(step=step_ns).__next__


def test_trees_that_are_fast_enough_pass_and_slow_ones_are_told_the_budget(known):
    fast = soundness.latency_check(known, LATER, GATE, clock(150_000))
    assert (fast.passed, fast.value) == (True, 150.0)
    assert fast.told == "100 candidates take 150 µs of one core, at most 2000"
    slow = soundness.latency_check(known, LATER, GATE, clock(3_000_000))
    assert (slow.passed, slow.value) == (False, 3000.0)
    assert slow.told.endswith("more than 2000: train with fewer rounds or less depth")


def test_a_list_shorter_than_a_hundred_is_timed_as_a_hundred(known):
    one = LATER.where(np.arange(len(LATER)) < 1)
    assert soundness.latency_check(known, one, GATE, clock(1000)).value == 1.0


def test_features_that_stay_pass_and_one_that_breaks_is_named(known):
    assert soundness.stability_check(known, EARLIER, LATER, GATE).value == 0.0
    broken = LATER.features.copy()
    broken[:, 0] = np.nan
    moved = dataclasses.replace(LATER, features=broken)
    share = ranker.importances(known.booster)["f0"]
    found = soundness.stability_check(known, EARLIER, moved, dataclasses.replace(GATE, max_shifted=0.1))
    assert not found.passed
    assert found.value == pytest.approx(share)
    assert "f0 " in found.told
    assert "look for a source that changed or broke" in found.told
