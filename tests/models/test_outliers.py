"""Outlier models: bit-equal scores in any batch, from any training set, with reasons."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ModelError, TrainingError
from pipelines.models.ensemble import DETECTORS, STRAIGHT
from pipelines.models.outliers import OutlierConfig, OutlierModel

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
NEW[2::97] = TRAINED_ON[: len(NEW[2::97])]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_score_does_not_depend_on_its_neighbours(size):
    whole = MODEL.score(NEW)
    parts = np.concatenate([MODEL.score(NEW[i : i + size]) for i in range(0, 1000, size)])
    order = np.random.default_rng(size).permutation(1000)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(MODEL.score(NEW[order]), whole[order])
    np.testing.assert_array_equal(MODEL.score(np.asfortranarray(NEW)), whole)


def test_threads_score_alike():
    whole = MODEL.score(NEW)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(MODEL.score, [NEW] * 8):
            np.testing.assert_array_equal(found, whole)


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
    ladder[:, 0] = [20, 200, 2000, 20_000, 1e9, 1e300]
    scores = MODEL.score(ladder)
    assert (np.diff(scores) >= 0).all()
    assert scores[-1] > scores[0]


@given(st.lists(st.lists(st.floats() | st.none(), min_size=6, max_size=6), min_size=1, max_size=20))
def test_every_vector_gets_a_number(values):
    scores = MODEL.score(np.array(values, np.float64))
    assert np.isfinite(scores).all()
    assert (MODEL.rank(scores) <= 1).all()


def test_unknown_and_infinite_count_as_typical():
    usual = np.nanmedian(TRAINED_ON[:, [0, 1, 2, 4, 5]], axis=0)
    usual = np.insert(usual, 3, np.nan)
    for unknown in (np.nan, np.inf, -np.inf):
        vectors = np.array([usual, np.where(np.arange(6) == 0, unknown, usual)])
        assert len(set(MODEL.score(vectors))) == 1


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((1, 6)),
        np.full((50, 6), np.nan),
        np.repeat(some_vectors(2, 5), 40, axis=0),
        some_vectors(3, 6),
        np.full((20, 6), np.inf),
        np.vstack([np.zeros((990, 6)), some_vectors(10, 8)]),
        some_vectors(40, 9) * 1e305,
        np.tile(some_vectors(200, 9)[:, :1], 6),
    ],
    ids=["one", "nothing known", "duplicates", "three", "infinite", "a heap", "huge", "one column six times"],
)
def test_poor_training_sets_still_give_a_model(vectors):
    model = OutlierModel.fit(vectors, names=NAMES, seed=1)
    scores = model.score(NEW)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(
        np.concatenate([model.score(NEW[i : i + 1]) for i in range(50)]), scores[:50]
    )
    assert all(len(row) == 3 for row in model.explain(NEW, k=3))
    arrays, about = model.frozen()
    np.testing.assert_array_equal(OutlierModel.from_frozen(arrays, about).score(NEW), scores)


def test_one_column_is_enough():
    vectors = np.r_[np.random.default_rng(1).normal(size=300), 9.0][:, None]
    model = OutlierModel.fit(vectors, seed=1)
    assert model.score(vectors).argmax() == 300
    assert model.explain(vectors, k=3)[300] == ["f0"]


def test_a_heap_of_equal_vectors_is_not_unusual():
    vectors = np.vstack([np.zeros((500, 4)), np.random.default_rng(2).normal(size=(500, 4)) * 5])
    model = OutlierModel.fit(vectors, seed=1, config=OutlierConfig(near_share=1.0))
    assert model.score(vectors[:1])[0] < np.quantile(model.score(vectors[500:]), 0.1)


def test_all_detectors_take_part():
    assert set(MODEL.ensemble.names) == {*DETECTORS, *STRAIGHT, "KNN", "LOF"}


def test_neighbours_reorder_the_most_unusual_and_lift_none_over_the_threshold():
    without = OutlierModel.fit(TRAINED_ON, names=NAMES, seed=3, config=OutlierConfig(near_weight=0.0))
    first, both = without.score(NEW), MODEL.score(NEW)
    is_near = first >= MODEL.ensemble.threshold
    assert 0.05 < is_near.mean() < 0.25
    np.testing.assert_array_equal(first[~is_near], both[~is_near])
    assert (both[is_near] >= MODEL.ensemble.threshold).all()
    assert not np.array_equal(first[is_near], both[is_near])


def test_a_vector_between_two_clusters_is_unusual():
    chance = np.random.default_rng(4)
    vectors = chance.normal(size=(2000, 4)) * 0.3 + np.where(chance.random((2000, 1)) < 0.5, -3, 3)
    model = OutlierModel.fit(vectors, seed=1)
    assert model.p_value(np.array([[-3.0, 3.0, -3.0, 3.0]]))[0] < 0.005


def test_many_vectors_keep_a_bounded_model():
    config = OutlierConfig(kept=500, rows=1500, reference=100)
    model = OutlierModel.fit(TRAINED_ON, names=NAMES, seed=3, config=config)
    arrays, _ = model.frozen()
    assert len(model.scores) == 500
    assert arrays["neighbours.reference"].shape == (6, 100)
    assert np.abs(model.rank(model.score(NEW)) - MODEL.rank(MODEL.score(NEW))).mean() < 0.05


def test_the_usual_range_of_a_reason_holds_most_training_values():
    for name, value, low, high in MODEL.reasons(NEW, k=6)[5]:
        column = NAMES.index(name)
        assert value == NEW[5, column] or np.isnan(value)
        known = TRAINED_ON[~np.isnan(TRAINED_ON[:, column]), column]
        if len(known):
            assert np.mean((known >= low) & (known <= high)) > 0.9


def test_a_wrong_width_is_refused():
    with pytest.raises(ModelError, match="needs 6 features a vector"):
        MODEL.score(np.ones((2, 5)))
    with pytest.raises(TrainingError, match="6 features"):
        OutlierModel.fit(np.ones((5, 5)), names=NAMES, seed=1)
    with pytest.raises(TrainingError):
        OutlierModel.fit(np.ones((0, 6)), names=NAMES, seed=1)


def test_a_model_survives_being_frozen():
    arrays, about = MODEL.frozen()
    about = json.loads(json.dumps(about))
    np.testing.assert_array_equal(OutlierModel.from_frozen(arrays, about).score(NEW), MODEL.score(NEW))
    with pytest.raises(ModelError, match=r"lacks its array 'rarity'"):
        OutlierModel.from_frozen({n: a for n, a in arrays.items() if n != "HBOS.rarity"}, about)
    with pytest.raises(ModelError, match="HBOS does not fit 6 features"):
        OutlierModel.from_frozen(arrays | {"HBOS.density": np.ones((3, 6))}, about)
    with pytest.raises(ModelError, match="KNN does not fit 6 features"):
        OutlierModel.from_frozen(arrays | {"neighbours.own": np.ones(3)}, about)


def test_a_model_of_an_older_version_is_refused():
    arrays, about = MODEL.frozen()
    older = {name: value for name, value in about.items() if name != "format"}
    with pytest.raises(ModelError, match="of format 1, this version reads 3: train again"):
        OutlierModel.from_frozen(arrays, older)


@pytest.mark.parametrize("name", ["model", "model.npz"])
def test_a_saved_model_scores_alike(tmp_path, name):
    MODEL.save(tmp_path / name)
    MODEL.save(tmp_path / name)  # again: it replaces itself
    loaded = OutlierModel.load(tmp_path / name)
    assert loaded.names == NAMES
    np.testing.assert_array_equal(loaded.score(NEW), MODEL.score(NEW))
    np.testing.assert_array_equal(loaded.p_value(NEW), MODEL.p_value(NEW))
    assert loaded.explain(NEW) == MODEL.explain(NEW)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="missing"):
        OutlierModel.load(tmp_path / "none.npz")
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(np.ones(3)))
    with pytest.raises(ModelError, match="cannot be read without running code"):
        OutlierModel.load(tmp_path / "pickled.npz")
    np.savez(tmp_path / "objects.npz", about=np.array([print], object))
    with pytest.raises(ModelError, match="cannot be read without running code"):
        OutlierModel.load(tmp_path / "objects.npz")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match="choose a folder for the model alone"):
        MODEL.save(tmp_path)
