"""Tail probabilities beside SciPy's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.anomalies import tails


@settings(deadline=None)
@given(st.floats(1e-290, 1 - 1e-12))
def test_normal_quantiles(p):
    assert tails.normal_quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 5000), st.floats(0.5, 3000), st.floats(1e-3, 1))
def test_negative_binomial_tails(x, mean, spread):
    size = 1 / spread
    law = stats.nbinom(size, size / (size + mean))
    below = 0.5 * (law.cdf(x) + law.cdf(x - 1))
    variance = mean + spread * mean**2
    assert tails.counts_below(x, mean, variance) == pytest.approx(below, rel=0.05, abs=1e-9)
    assert tails.counts_above(x, mean, variance) == pytest.approx(1 - below, rel=0.05, abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(300, 2000), st.floats(0.01, 0.99))
def test_binomial_tails(k, n, chance):
    law = stats.binom(n, chance)
    below = 0.5 * (law.cdf(k) + law.cdf(k - 1))
    assert tails.share_below(k, n, chance) == pytest.approx(below, rel=1e-6, abs=1e-12)
    assert tails.share_above(k, n, chance) == pytest.approx(1 - below, rel=1e-6, abs=1e-9)
