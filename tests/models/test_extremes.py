"""How far beyond everything known a single feature is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.extremes import SHORTEST, Extremes
from pipelines.models.outlier_scale import Scale, bent
from pipelines.models.outliers import OutlierModel


def exponential(n=20_000, width=3, seed=1):
    return np.random.default_rng(seed).exponential(1.0, (n, width)) * [1.0, 2.0, 0.5]


def test_a_tail_that_falls_off_exponentially_is_measured_although_its_end_is_left_out():
    found = Extremes.fit(exponential())
    np.testing.assert_allclose(found.length[0], [1.0, 2.0, 0.5], rtol=0.1)
    assert (found.length[1] == SHORTEST).all()
    # Of 20,000 values one is expected above log(20,000); e times as rare is one mean length further.
    beyond = [[np.log(20_000) + 5.0, 0.0, 0.0]]
    np.testing.assert_allclose(found.scores(np.array(beyond)), [5.0], atol=1.2)
    assert found.scores(np.full((1, 3), 0.5)).tolist() == [0.0]


def test_a_few_wild_training_vectors_do_not_hide_the_next_ones():
    clean = exponential()
    wild = np.vstack([clean, np.tile([60.0, 0.0, 0.0], (20, 1))])
    one = np.array([[60.0, 0.0, 0.0]])
    assert Extremes.fit(wild).scores(one)[0] > 0.6 * Extremes.fit(clean).scores(one)[0] > 20


def test_what_never_varied_is_unusual_once_it_does():
    found = Extremes.fit(np.zeros((1_000, 2)))
    assert found.scores(np.array([[0.0, 0.0], [0.0, 2.0], [-2.0, 0.0]])).tolist() == [0.0, 8.0, 8.0]


def test_one_step_more_than_usual_is_no_extreme_once_it_was_seen():
    counts = np.ones((3_000, 2))
    counts[7] = 2.0, 200.0
    model = OutlierModel.fit(counts, seed=1)
    vectors = np.array([[2.0, 1.0], [3.0, 1.0], [40.0, 1.0], [1.0, 200.0], [1.0, 2.0]])
    seen, next_step, campaign, wild, below_wild = model.extremes.scores(bent(model.plain(vectors)))
    assert seen == 0 < next_step < 5 < campaign
    assert wild > 10, "far more than one step: the next ones shall not hide behind it"
    assert below_wild < wild
    assert Extremes.fit(bent(model.plain(counts))).scores(bent(model.plain(vectors[:1])))[0] > 10


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3), st.integers(0, 2), st.floats(0, 50))
def test_further_out_is_never_less_unusual(vector, place, more):
    found = Extremes.fit(exponential(2_000))
    near, far = np.array([vector]), np.array([vector])
    far[0, place] += np.copysign(more, far[0, place])
    assert found.scores(far)[0] >= found.scores(near)[0] or more == 0


def test_one_feature_far_beyond_everything_outweighs_many_odd_ones():
    known = np.random.default_rng(3).gamma(2.0, 5.0, (4_000, 20))
    model = OutlierModel.fit(known, seed=1)
    campaign, odd = np.median(known, axis=0), np.quantile(known, 0.995, axis=0)
    campaign[4] = 5_000.0
    scores = model.score(np.array([campaign, odd]))
    assert scores[0] > scores[1] + 3
    plain = bent(Scale.fit(known).plain(campaign[None]))
    assert model.extremes.scores(plain)[0] > 10
