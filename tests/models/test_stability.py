"""The stability index: nothing for what stayed, more for what moved, and a case worked out by hand."""

import math

import numpy as np
import pytest

from pipelines.models.stability import stability_indices

CHANCE = np.random.default_rng(0)
NAN = np.float32("nan")


def column(*values):
    return np.array(values, np.float32)[:, None]


def test_the_index_is_the_sum_over_bins_by_hand():
    then, now = column(*[1.0] * 5, *[2.0] * 5), column(*[1.0] * 2, *[2.0] * 8)
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.8 - 0.5) * math.log(0.8 / 0.5)
    assert stability_indices(then, now) == pytest.approx([expected])


def test_what_stays_has_none_and_what_moves_has_more_the_further_it_moves():
    then = CHANCE.normal(size=(20_000, 4)).astype(np.float32)
    now = CHANCE.normal(size=(5_000, 4)).astype(np.float32) + np.array([0, 0.3, 1, 5], np.float32)
    found = stability_indices(then, now)
    assert found[0] < 0.01
    assert found[0] < found[1] < 0.25 < found[2] < found[3]


def test_missing_values_are_a_bin_of_their_own():
    then = np.where(CHANCE.random((10_000, 1)) < 0.1, NAN, 1.0).astype(np.float32)
    same = np.where(CHANCE.random((10_000, 1)) < 0.1, NAN, 1.0).astype(np.float32)
    gone = np.full((10_000, 1), NAN)
    assert stability_indices(then, same)[0] < 0.01
    assert stability_indices(then, gone)[0] > 1
    assert stability_indices(gone, gone)[0] == 0
    assert stability_indices(gone, then)[0] > 1


def test_a_constant_that_stays_is_stable_and_another_one_is_not():
    same, other = column(*[3.0] * 50), column(*[4.0] * 50)
    assert stability_indices(same, same)[0] == 0
    assert stability_indices(same, other)[0] > 1
