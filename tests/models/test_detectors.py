"""Frozen detectors give PyOD's own scores."""

import numpy as np
import pytest
from pyod.models.cblof import CBLOF
from pyod.models.gmm import GMM
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.models.pca import PCA

from pipelines.models.densities import Clusters, Components, Mixture
from pipelines.models.detectors import Histograms, Isolation, rarest
from pipelines.models.neighbours import Neighbours

CHANCE = np.random.default_rng(7)
TRAIN = CHANCE.normal(size=(1500, 5)) @ CHANCE.normal(size=(5, 5)) + np.where(
    CHANCE.random((1500, 1)) < 0.2, 6, 0
)
NEW = np.vstack([CHANCE.normal(size=(400, 5)) * 4, TRAIN[:100] + 0.01])


def test_isolation_forest_orders_as_pyod_does():
    theirs = IForest(n_estimators=100, max_samples=256, random_state=3).fit(TRAIN.astype(np.float32))
    sums = Isolation.fit(TRAIN, 100, 256, seed=3).scores(NEW)
    usual_depth = 2 * (np.log(255) + np.euler_gamma) - 2 * 255 / 256
    expected = theirs.decision_function(NEW.astype(np.float32)) - theirs.offset_
    np.testing.assert_allclose(2 ** (sums / (100 * usual_depth)), expected, rtol=1e-12)


def test_histograms():
    theirs = HBOS(n_bins=20).fit(TRAIN).decision_function(NEW)
    np.testing.assert_allclose(Histograms.fit(TRAIN, 20, 0.1, 0.5).scores(NEW), theirs, rtol=1e-9)


def test_components():
    theirs = PCA(random_state=1, svd_solver="full").fit(TRAIN).decision_function(NEW)
    np.testing.assert_allclose(Components.fit(TRAIN, seed=1).scores(NEW), theirs, rtol=1e-9)


def test_clusters():
    theirs = CBLOF(n_clusters=8, random_state=1).fit(TRAIN)
    assert len(theirs.small_cluster_labels_) > 0, "some cluster is small, or the test shows little"
    np.testing.assert_allclose(
        Clusters.fit(TRAIN, 8, seed=1).scores(NEW), theirs.decision_function(NEW), rtol=1e-9
    )


@pytest.mark.parametrize("parts", [1, 3])
def test_mixtures(parts):
    theirs = GMM(n_components=parts, reg_covar=0.01, random_state=1).fit(TRAIN).decision_function(NEW)
    np.testing.assert_allclose(Mixture.fit(TRAIN, parts, 0.01, seed=1).scores(NEW), theirs, rtol=1e-9)


def test_neighbours_and_the_local_factor():
    near = Neighbours.fit(TRAIN, 400, nearest=10, around=20, seed=1)
    reference = near.reference.T.astype(np.float64)
    rows = NEW.astype(np.float32).astype(np.float64)
    far, factor = near.scores(NEW)
    np.testing.assert_allclose(far, KNN(n_neighbors=10).fit(reference).decision_function(rows), rtol=1e-4)
    theirs = LOF(n_neighbors=20, novelty=True).fit(reference)
    np.testing.assert_allclose(factor, theirs.decision_function(rows), rtol=1e-4)


def test_a_vector_of_the_reference_is_judged_by_the_others():
    near = Neighbours.fit(TRAIN, 2000, nearest=5, around=20, seed=1)
    theirs = KNN(n_neighbors=5).fit(TRAIN.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(near.scores(TRAIN)[0], theirs.decision_scores_, rtol=1e-4, atol=1e-5)
    factors = LOF(n_neighbors=20).fit(TRAIN).decision_scores_
    np.testing.assert_allclose(near.scores(TRAIN)[1], factors, rtol=1e-3)


def test_heaped_vectors_are_each_others_neighbours():
    vectors = np.vstack([np.zeros((300, 5)), TRAIN[:200]])
    far, _ = Neighbours.fit(vectors, 1000, nearest=5, around=20, seed=1).scores(vectors)
    assert far[0] == 0.0
    assert (far[300:] > 0).all()


def places(histograms, rows):
    """The bin of each value by a search among the edges; the number of bins where it is outside."""
    found = np.empty(rows.shape, np.int64)
    for column, (edges, values) in enumerate(zip(histograms.edges.T, rows.T, strict=True)):
        width = edges[1] - edges[0]
        inside = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        beyond = np.maximum(edges[0] - values, values - edges[-1])
        found[:, column] = np.where(beyond > histograms.reach[0] * width, len(edges) - 1, inside)
    return found


def test_a_value_on_an_edge_is_in_the_bin_that_counted_it():
    histograms = Histograms.fit(TRAIN, 10, 0.1, 0.5)
    rows = np.vstack([histograms.edges, np.nextafter(histograms.edges, np.inf), NEW])
    expected = -np.take_along_axis(histograms.density, places(histograms, rows), axis=0).sum(axis=1)
    np.testing.assert_allclose(histograms.scores(rows), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_the_rarest_features_are_those_of_a_sort(k):
    histograms = Histograms.fit(TRAIN, 10, 0.1, 0.5)
    rows = np.vstack([NEW, np.zeros((1, 5)), np.full((1, 5), 1e6)])
    shares = np.take_along_axis(histograms.rarity, places(histograms, rows), axis=0)
    expected = np.lexsort((-np.abs(rows), shares), axis=1)[:, :k]
    found, sums = rarest(histograms, rows, k)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(sums, histograms.scores(rows))
