"""The public entrance: a finding's reasons."""

import doctest

import numpy as np

from pipelines.anomalies import vectors
from pipelines.anomalies.findings import Reason


def test_the_example_runs():
    assert doctest.testmod(vectors).failed == 0


def test_reasons_carry_value_and_usual_range():
    usual = np.random.default_rng(0).normal(size=(500, 3))
    model = vectors.OutlierModel.fit(usual, seed=1, names=("clicks", "carts", "spent"))
    (first, second), _ = vectors.reasons(model, np.array([[0.0, 99.0, -5.0], [0.0, 0.0, 0.0]]), 2)
    assert (first.name, first.value) == ("carts", 99.0)
    assert -3 < first.low < -1.5 < 1.5 < first.high < 3
    assert isinstance(second, Reason)
    assert second.name == "spent"
