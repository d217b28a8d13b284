"""Outlier models: PyOD's own scores, bit-equal in any batch, with reasons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest

from pipelines.errors import ModelError, TrainingError
from pipelines.models import outliers
from pipelines.models.outliers import OutlierModel

NAMES = ("clicks", "carts", "constant", "unknown", "pauses", "items")


def some_vectors(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.gamma(2.0, 10.0, size=(n, len(NAMES)))
    vectors[:, 1] = rng.poisson(1.0, n)
    vectors[:, 2] = 4.0
    vectors[rng.random(vectors.shape) < 0.05] = np.nan
    vectors[:, 3] = np.nan
    return vectors


TRAINED_ON = some_vectors(2000, 1)
MODEL = OutlierModel.fit(TRAINED_ON, names=NAMES, seed=3)
NEW = some_vectors(1000, 2)
NEW[::97] = 1e9
NEW[1::97] = np.inf


def test_the_frozen_detectors_give_pyods_own_scores():
    plain = MODEL._plain(TRAINED_ON)
    continuous = plain.copy()
    continuous[:, [1, 2, 3]] = np.random.default_rng(0).normal(
        size=(2000, 3)
    )  # no values on the edges of bins
    model = OutlierModel.fit(continuous, names=NAMES, seed=3)
    plain = model._plain(continuous)
    isolation = IForest(n_estimators=100, max_samples=256, random_state=3).fit(plain.astype(np.float32))
    histograms = HBOS(n_bins=20).fit(plain)
    by_forest, by_histogram = model._detect(continuous)
    usual_depth = 2 * (np.log(255) + np.euler_gamma) - 2 * 255 / 256
    theirs = isolation.decision_function(plain.astype(np.float32)) - isolation.offset_
    np.testing.assert_allclose(2 ** (by_forest / (100 * usual_depth)), theirs, rtol=1e-12)
    np.testing.assert_allclose(by_histogram, histograms.decision_function(plain), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_score_does_not_depend_on_its_neighbours(size):
    whole = MODEL.score(NEW)
    parts = np.concatenate([MODEL.score(NEW[i : i + size]) for i in range(0, 1000, size)])
    order = np.random.default_rng(size).permutation(1000)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(MODEL.score(NEW[order]), whole[order])
    np.testing.assert_array_equal(MODEL.score(np.asfortranarray(NEW)), whole)


def test_the_same_vectors_and_seed_give_the_same_model():
    again, other = (OutlierModel.fit(TRAINED_ON, names=NAMES, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(again.score(NEW), MODEL.score(NEW))
    assert not np.array_equal(other.score(NEW), MODEL.score(NEW))


def test_ranks_are_shares_of_the_training_vectors():
    ranks = MODEL.rank(MODEL.score(TRAINED_ON))
    assert ranks.min() == 0.0
    assert np.mean(ranks >= 0.9) == pytest.approx(0.1, abs=0.02)
    assert MODEL.rank(MODEL.score(np.full((1, 6), 1e9)))[0] > 0.99
    p = MODEL.p_value(NEW)
    assert (p > 0).all()
    assert (p <= 1).all()
    assert (np.diff(p[np.argsort(MODEL.score(NEW))]) <= 0).all()


def test_the_reason_is_the_feature_that_is_unusual():
    usual = np.nanmedian(TRAINED_ON[:, [0, 1, 2, 4, 5]], axis=0)
    vector = np.insert(usual, 3, np.nan)[None, :]
    for column, name in ((0, "clicks"), (4, "pauses"), (2, "constant")):
        odd = vector.copy()
        odd[0, column] *= 1000
        assert MODEL.explain(odd, k=1) == [[name]]
        assert MODEL.score(odd)[0] > MODEL.score(vector)[0]
    both = vector.copy()
    both[0, [0, 5]] = [1e7, 1e5]
    assert MODEL.explain(both, k=2) == [["clicks", "items"]], (
        "equally rare, the further from the middle first"
    )
    assert len(MODEL.explain(vector)[0]) == 3


def test_more_unusual_is_never_less_unusual():
    ladder = np.full((6, 6), np.nan)
    ladder[:, 0] = [20, 200, 2000, 20_000, 1e9, np.inf]
    scores = MODEL.score(ladder)
    assert (np.diff(scores) >= 0).all()
    assert scores[-1] > scores[0]


@given(st.lists(st.lists(st.floats() | st.none(), min_size=6, max_size=6), min_size=1, max_size=20))
def test_every_vector_gets_a_number(values):
    scores = MODEL.score(np.array(values, np.float64))
    assert np.isfinite(scores).all()
    assert (MODEL.rank(scores) <= 1).all()


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((1, 6)),
        np.full((50, 6), np.nan),
        np.repeat(some_vectors(2, 5), 40, axis=0),
        some_vectors(3, 6),
    ],
    ids=["one vector", "nothing known", "duplicates", "three"],
)
def test_poor_training_sets_still_give_a_model(vectors):
    model = OutlierModel.fit(vectors, names=NAMES, seed=1)
    assert np.isfinite(model.score(NEW)).all()


def test_many_vectors_keep_a_bounded_model(monkeypatch):
    monkeypatch.setattr(outliers, "KEPT_SCORES", 500)
    model = OutlierModel.fit(TRAINED_ON, names=NAMES, seed=3)
    assert len(model.scores) == 500
    assert np.abs(model.rank(MODEL.score(NEW)) - MODEL.rank(MODEL.score(NEW))).max() < 0.01


def test_a_wrong_width_is_refused():
    with pytest.raises(ModelError, match="needs 6 features a vector"):
        MODEL.score(np.ones((2, 5)))
    with pytest.raises(TrainingError, match="6 features"):
        OutlierModel.fit(np.ones((5, 5)), names=NAMES, seed=1)
    with pytest.raises(TrainingError):
        OutlierModel.fit(np.ones((0, 6)), names=NAMES, seed=1)


def test_a_model_survives_being_frozen():
    arrays, about = MODEL.frozen()
    np.testing.assert_array_equal(OutlierModel.from_frozen(arrays, about).score(NEW), MODEL.score(NEW))
    with pytest.raises(ModelError, match="lacks its array 'rarity'"):
        OutlierModel.from_frozen({n: a for n, a in arrays.items() if n != "rarity"}, about)
    with pytest.raises(ModelError, match="density has the shape"):
        OutlierModel.from_frozen(arrays | {"density": np.ones((3, 6))}, about)
