"""Places among training scores: the same ones whichever way they are looked for."""

import numpy as np
import pytest

from pipelines.models import tails

CHANCE = np.random.default_rng(1)
ORDERED = {
    "bell": np.sort(CHANCE.normal(size=9_000)),
    "heavy tails": np.sort(CHANCE.standard_cauchy(9_000)),
    "ties": np.sort(CHANCE.integers(0, 5, 3_000).astype(float)),
    "all alike": np.zeros(50),
    "one": np.array([1.5]),
    "infinite": np.sort(np.append(CHANCE.normal(size=99), [np.inf, -np.inf])),
    "tiny": np.sort(CHANCE.random(100) * 1e-320),
}


@pytest.mark.parametrize("name", ORDERED)
def test_many_scores_have_the_places_and_surprises_of_few(name):
    ordered = ORDERED[name]
    near = [np.nextafter(ordered[:500], side) for side in (-np.inf, np.inf)]
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    scores = np.concatenate([CHANCE.normal(size=tails.MANY), ordered[:500], *near, odd])
    np.testing.assert_array_equal(tails.below(ordered, scores), np.searchsorted(ordered, scores))
    few = [tails.surprise(ordered, scores[n : n + 9]) for n in range(0, len(scores), 9)]
    assert tails.surprise(ordered, scores).tobytes() == np.concatenate(few).tobytes()
