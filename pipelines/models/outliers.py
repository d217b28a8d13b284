"""Outlier models: PyOD's detectors fitted once, then frozen into plain numbers that every process scores
alike.

Isolation forest (Liu, Ting, Zhou: Isolation Forest, 2008) and histograms (Goldstein, Dengel: Histogram-based
Outlier Score, 2012). Both judge a vector by what was learnt, never by its neighbours in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipelines.errors import ModelError, TrainingError
from pipelines.models import trees
from pipelines.models.detectors import bins_of, histogram_tables, isolating_trees, minus_sums
from pipelines.models.trees import Forest

KEPT_SCORES = 10_000
"""Training scores that a model keeps to rank new ones by."""
FOREST = "forest."


@dataclass(frozen=True)
class OutlierConfig:
    """Size of the detectors: trees and rows a tree of the forest, bins of a feature's histogram."""

    trees: int = 100
    rows_a_tree: int = 256
    bins: int = 20
    smoothing: float = 0.1  # added to a bin's density, so that an empty one is unusual, not impossible
    reach: float = 0.5  # share of a bin's width by which a value may lie outside of the histogram


@dataclass(frozen=True)
class OutlierModel:
    """A fitted model. A vector is float[d] in the order of `names`; NaN means unknown and counts as typical.

    `density` [bins + 1, d] is the logarithm of each bin's density, `rarity` the share of training vectors in
    bins that are as rare; their last row is for values outside of all bins. The sorted `*_scores` are those
    of training vectors.
    """

    names: tuple[str, ...]
    config: OutlierConfig
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    edges: NDArray[np.float64]
    density: NDArray[np.float64]
    rarity: NDArray[np.float64]
    forest: Forest
    forest_scores: NDArray[np.float64]
    histogram_scores: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float64],
        *,
        names: Sequence[str],
        seed: int,
        config: OutlierConfig | None = None,
    ) -> OutlierModel:
        """A model of `vectors` float[n, d]. The same vectors and seed give the same model.

        Raises TrainingError for no vectors, and for another width than that of `names`.
        """
        from pyod.models.hbos import HBOS  # heavy, and only training needs it
        from pyod.models.iforest import IForest

        config = config or OutlierConfig()
        if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != len(names):
            raise TrainingError(
                f"{vectors.shape} vectors of {len(names)} features cannot train an outlier model"
            )
        known = np.where(np.isfinite(vectors), vectors, np.nan)
        centre, scale = _centre_and_scale(known)
        plain = _standard(known, centre, scale)
        histograms = HBOS(n_bins=config.bins, alpha=config.smoothing, tol=config.reach).fit(plain)
        isolation = IForest(
            n_estimators=config.trees,
            max_samples=min(config.rows_a_tree, len(plain)),
            random_state=seed,
            n_jobs=1,
        )
        isolation.fit(plain.astype(np.float32))
        density, rarity = histogram_tables(histograms.hist_, histograms.bin_edges_, config.smoothing)
        model = cls(
            names=tuple(names),
            config=config,
            centre=centre,
            scale=scale,
            edges=histograms.bin_edges_,
            density=density,
            rarity=rarity,
            forest=trees.plant(isolating_trees(isolation), len(names), np.float64(0)),
            forest_scores=np.zeros(0),
            histogram_scores=np.zeros(0),
            scores=np.zeros(0),
        )
        by_forest, by_histogram = model._detect(vectors)
        model = replace(model, forest_scores=_kept(by_forest), histogram_scores=_kept(by_histogram))
        return replace(model, scores=_kept(model.score(vectors)))

    def score(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """How unusual each vector is, higher is more: the sum of −log(share of training vectors at least as
        unusual) of both detectors. A score depends on its own vector alone. Raises ModelError for another
        width."""
        by_forest, by_histogram = self._detect(vectors)
        shares = _tail(self.forest_scores, by_forest) * _tail(self.histogram_scores, by_histogram)
        out = np.empty(len(shares))
        _minus_log(shares, out)
        return out

    def rank(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each score the share of training vectors with a lower one, 0 .. 1."""
        return np.searchsorted(self.scores, scores, side="left") / len(self.scores)

    def p_value(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of training vectors at least as unusual, counting the vector itself: in (0, 1]."""
        return _tail(self.scores, self.score(vectors))

    def explain(self, vectors: NDArray[np.float64], k: int = 3) -> list[list[str]]:
        """Of each vector the `k` features that are the least usual, the most unusual first.

        A feature is as unusual as few training vectors had a value as rare as this one; among equally rare
        ones the further from the middle comes first.
        """
        plain = self._plain(vectors)
        shares = np.take_along_axis(self.rarity, self._places(plain), axis=0)
        order = np.lexsort((-np.abs(plain), shares), axis=1)[:, :k]
        return [[self.names[j] for j in row] for row in order]

    def frozen(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything of the model as number arrays and as JSON values, for `from_frozen`."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {FOREST + name: array for name, array in self.forest.arrays().items()}
        return arrays, {
            "names": list(self.names),
            "config": asdict(self.config),
            "detectors": ["IForest", "HBOS"],
        }

    @classmethod
    def from_frozen(cls, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> OutlierModel:
        """The model of `frozen`. Raises ModelError when its parts do not fit together."""
        names, config = tuple(about["names"]), OutlierConfig(**about["config"])
        try:
            plain = {name: np.asarray(arrays[name], np.float64) for name in _ARRAYS}
            forest = trees.from_arrays(
                {n.removeprefix(FOREST): a for n, a in arrays.items() if n.startswith(FOREST)}
            )
        except KeyError as missing:
            raise ModelError(f"the outlier model lacks its array {missing}: it is damaged") from None
        width = len(names)
        shapes = {
            "centre": (width,),
            "scale": (width,),
            "edges": (config.bins + 1, width),
            "density": (config.bins + 1, width),
            "rarity": (config.bins + 1, width),
        }
        for name, shape in shapes.items():
            if plain[name].shape != shape:
                raise ModelError(
                    f"the outlier model's {name} has the shape {plain[name].shape}, not {shape}: "
                    "it is damaged"
                )
        if forest.width != width:
            raise ModelError(
                f"the outlier model's forest takes {forest.width} features, not {width}: it is damaged"
            )
        return cls(names, config, forest=forest, **plain)

    def _plain(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        if vectors.ndim != 2 or vectors.shape[1] != len(self.names):
            raise ModelError(
                f"the outlier model needs {len(self.names)} features a vector, not {vectors.shape}"
            )
        return _standard(vectors, self.centre, self.scale)

    def _places(self, plain: NDArray[np.float64]) -> NDArray[np.int64]:
        out = np.empty(plain.shape, np.int64)
        bins_of(plain, self.edges, self.config.reach, out)
        return out

    def _detect(self, vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores of the forest and of the histograms, higher is more unusual."""
        plain = self._plain(vectors)
        by_histogram = np.empty(len(plain))
        minus_sums(self.density, self._places(plain), by_histogram)
        return -self.forest.sums(plain.astype(np.float32)), by_histogram


_ARRAYS = ("centre", "scale", "edges", "density", "rarity", "forest_scores", "histogram_scores", "scores")


def _centre_and_scale(known: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and spread of each feature's logarithm; 0 and 1 where nothing is known, and 1 where nothing
    varies."""
    centre, scale = np.zeros(known.shape[1]), np.ones(known.shape[1])
    for column in range(known.shape[1]):
        values = known[~np.isnan(known[:, column]), column]
        if not len(values):
            continue
        values = np.sign(values) * np.log1p(np.abs(values))
        centre[column] = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - centre[column])) or np.std(values)
        scale[column] = spread or 1.0
    return centre, scale


def _kept(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores in order; of many, evenly spaced ones with the lowest and the highest."""
    ordered = np.sort(scores)
    if len(ordered) <= KEPT_SCORES:
        return ordered
    places = np.linspace(0, len(ordered) - 1, KEPT_SCORES).round().astype(np.int64)
    return np.asarray(ordered[places], np.float64)


def _tail(ordered: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each score (1 + how many of `ordered` are at least as high) / (1 + how many there are)."""
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1.0 + at_least) / (1.0 + len(ordered)), np.float64)


def _standard(
    vectors: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = np.empty(vectors.shape)
    _standardise(np.ascontiguousarray(vectors, np.float64), centre, scale, out)
    return out


# The kernels spell out loops: a library's vector routines may round a value otherwise at the end of a batch
# than in its middle.


@njit(cache=True, error_model="numpy")
def _standardise(vectors, centre, scale, out):  # type: ignore[no-untyped-def]
    for i in range(vectors.shape[0]):
        for j in range(vectors.shape[1]):
            x = vectors[i, j]
            if np.isnan(x):
                out[i, j] = 0.0
            else:
                out[i, j] = (math.copysign(math.log1p(abs(x)), x) - centre[j]) / scale[j]


@njit(cache=True, error_model="numpy")
def _minus_log(values, out):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        out[i] = -math.log(values[i])
