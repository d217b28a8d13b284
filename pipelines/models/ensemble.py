"""Several detectors as one: their scores as shares of training vectors, combined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipelines.errors import ModelError
from pipelines.models import tails
from pipelines.models.densities import Clusters, Components, Mixture, from_arrays
from pipelines.models.detectors import Histograms, Isolation
from pipelines.models.neighbours import Neighbours
from pipelines.models.outlier_scale import bent

Numbers = NDArray[np.float64]


class Detector(Protocol):
    """What a frozen detector of all vectors can do."""

    def scores(self, plain: Numbers) -> Numbers:
        """One score for each vector, higher is more unusual."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as number arrays."""

    def fits(self, width: int) -> bool:
        """Whether it judges vectors of this width."""


@dataclass(frozen=True)
class OutlierConfig:
    """Size of the detectors, and how they are combined. One configuration serves all data."""

    rows: int = 20_000  # training vectors that the detectors learn from, at most
    kept: int = tails.KEPT_SCORES  # training scores that are kept of each detector
    trim: float = 0.1  # share of the training vectors, the most unusual, that no distance is measured by
    far: float = 0.05  # share of them, the most unusual, that trees and histograms do not learn from
    trees: int = 100  # of each of the two forests
    rows_a_tree: int = 256
    bins: int = 10
    smoothing: float = 0.1  # added to a bin's density, so that an empty one is unusual, not impossible
    reach: float = 0.5  # share of a bin's width by which a value may lie outside of the histogram
    clusters: int = 8
    parts: int = 1  # Gaussians of the mixture
    floor: float = 1.0  # added to each variance of a Gaussian, in squared spreads
    reference: int = 1_000  # distinct training vectors among which neighbours are looked for
    nearest: int = 50  # the neighbour whose distance counts
    around: int = 50  # neighbours of the local factor
    near_share: float = 0.1  # share of vectors, the most unusual, whose neighbours are looked for
    near_weight: float = 0.25  # of the neighbours, against the other detectors


DETECTORS = ("IForest", "HBOS", "PCA", "CBLOF", "GMM")
"""Those of all vectors. They see bent vectors; the first two, which no scale of a feature can mislead, have
a twin that sees them straight."""
STRAIGHT = ("IForest straight", "HBOS straight")
NEAR = ("KNN", "LOF")
RANKED = ".ranked"
NEIGHBOURS = "neighbours."


@dataclass(frozen=True)
class Ensemble:
    """Frozen detectors; `ranked` holds the training scores of each, in order, `near_ranked` those of KNN and
    LOF among the training vectors at or above `threshold`."""

    config: OutlierConfig
    members: Mapping[str, Detector]
    ranked: Mapping[str, Numbers]
    neighbours: Neighbours | None
    near_ranked: Mapping[str, Numbers]
    threshold: float

    @classmethod
    def fit(cls, plain: Numbers, config: OutlierConfig, seed: int) -> Ensemble:
        """The detectors that `plain` [n, d] can train: too few distinct vectors train the first two alone.

        All are trained twice, the second time without those that all together found the most unusual the
        first time: outliers that have taught a mean, a variance, a neighbour or a bin hide behind it. Those
        that measure distances do without the share `config.trim`; trees and histograms do without
        `config.far` alone, since they tell a far vector from a near one by what they have seen of both.
        """
        curved = bent(plain)
        with threadpool_limits(1):  # several threads add up in any order: another model each time
            members = _by_features(plain, curved, config, seed)
            first = cls._ranked(plain, curved, members | _by_distance(curved, config, seed), config)
            scores = first.score(plain)
            usual = curved[scores <= np.quantile(scores, 1 - config.trim)]
            known = scores <= np.quantile(scores, 1 - config.far)
            members = _by_features(plain[known], curved[known], config, seed)
            made = cls._ranked(plain, curved, members | _by_distance(usual, config, seed), config)
            near = Neighbours.fit(usual, config.reference, config.nearest, config.around, seed)
        if near is None:
            return made
        scores = made.score(plain)
        threshold = float(np.quantile(scores, 1 - config.near_share)) if config.near_share < 1 else 0.0
        found = near.scores(curved[scores >= threshold])
        kept = {name: tails.kept(scores, config.kept) for name, scores in zip(NEAR, found, strict=True)}
        return replace(made, neighbours=near, near_ranked=kept, threshold=threshold)

    @classmethod
    def _ranked(
        cls, plain: Numbers, curved: Numbers, members: Mapping[str, Detector], config: OutlierConfig
    ) -> Ensemble:
        """The members without neighbours, ranked by how they judge all vectors."""
        ranked = {
            name: tails.kept(member.scores(plain if name in STRAIGHT else curved), config.kept)
            for name, member in members.items()
        }
        return cls(config, members, ranked, None, {}, np.inf)

    @property
    def names(self) -> tuple[str, ...]:
        """The detectors that take part."""
        return (*self.members, *self.near_ranked)

    @property
    def histograms(self) -> Histograms:
        """Those of the features."""
        found = self.members["HBOS"]
        assert isinstance(found, Histograms)
        return found

    def score(
        self, plain: Numbers, curved: Numbers | None = None, by_histograms: Numbers | None = None
    ) -> Numbers:
        """Of each vector the mean surprise of the detectors; `curved` are the same vectors `bent`,
        `by_histograms` the scores of `histograms`, where they are known. Above `threshold` neighbours have a
        say in how far above: no vector falls below it, so that a score depends on its own vector alone."""
        curved = bent(plain) if curved is None else curved
        total = np.zeros(len(plain))
        for surprises in self._each(plain, curved, by_histograms):
            total += surprises
        total /= len(self.members)
        if self.neighbours is None:
            return total
        near = np.flatnonzero(total >= self.threshold)
        found = self.neighbours.scores(curved[near])
        by_near = np.zeros(len(near))
        for name, scores in zip(NEAR, found, strict=True):
            by_near += tails.surprise(self.near_ranked[name], scores)
        weight = self.config.near_weight
        above = (1 - weight) * (total[near] - self.threshold) + weight * by_near / len(NEAR)
        total[near] = self.threshold + above
        return total

    def surprises(self, plain: Numbers) -> Numbers:
        """[n, members]: of each vector what each detector but KNN and LOF says, as −log(share of training
        vectors)."""
        return np.column_stack(list(self._each(plain, bent(plain))))

    def _each(
        self, plain: Numbers, curved: Numbers, by_histograms: Numbers | None = None
    ) -> Iterator[Numbers]:
        for name, member in self.members.items():
            if member is self.histograms and by_histograms is not None:
                scores = by_histograms
            else:
                scores = member.scores(plain if name in STRAIGHT else curved)
            yield tails.surprise(self.ranked[name], scores)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as number arrays, for `from_arrays`."""
        found = {n + RANKED: a for n, a in (*self.ranked.items(), *self.near_ranked.items())}
        for name, member in self.members.items():
            found |= {f"{name}.{n}": a for n, a in member.arrays().items()}
        if self.neighbours is not None:
            found |= {NEIGHBOURS + n: a for n, a in self.neighbours.arrays().items()}
        return found | {"threshold": np.array(self.threshold)}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], names: Sequence[str], config: OutlierConfig
    ) -> Ensemble:
        """The ensemble of `arrays`, with the detectors of these names. Raises KeyError for one that lacks an
        array."""
        ranked = {name: np.asarray(arrays[name + RANKED], np.float64) for name in names}
        members = {name: _thawed(name, _of(arrays, f"{name}.")) for name in names if name not in NEAR}
        near = Neighbours.from_arrays(_of(arrays, NEIGHBOURS)) if NEAR[0] in names else None
        first, last = (
            {n: a for n, a in ranked.items() if (n in NEAR) is is_near} for is_near in (False, True)
        )
        return cls(config, members, first, near, last, float(arrays["threshold"]))

    def check(self, width: int) -> None:
        """Raise ModelError when a detector does not judge vectors of this width, or its parts do not fit
        together."""
        fitting = {name: member.fits(width) for name, member in self.members.items()}
        if self.neighbours is not None:
            fitting[NEAR[0]] = self.neighbours.fits(width)
        for name, fits in fitting.items():
            if not fits:
                raise ModelError(f"the outlier model's {name} does not fit {width} features: it is damaged")
        if not self.members.keys() >= {"IForest", "HBOS"} or not all(map(len, self.ranked.values())):
            raise ModelError("the outlier model lacks detectors: it is damaged")


def _by_features(plain: Numbers, curved: Numbers, config: OutlierConfig, seed: int) -> dict[str, Detector]:
    return {
        "IForest": Isolation.fit(curved, config.trees, config.rows_a_tree, seed),
        "IForest straight": Isolation.fit(plain, config.trees, config.rows_a_tree, seed + 1),
        "HBOS": Histograms.fit(curved, config.bins, config.smoothing, config.reach),
        "HBOS straight": Histograms.fit(plain, config.bins, config.smoothing, config.reach),
    }


def _by_distance(curved: Numbers, config: OutlierConfig, seed: int) -> dict[str, Detector]:
    made: dict[str, Detector | None] = {
        "PCA": Components.fit(curved, seed),
        "CBLOF": Clusters.fit(curved, config.clusters, seed),
        "GMM": Mixture.fit(curved, config.parts, config.floor, seed),
    }
    return {name: member for name, member in made.items() if member is not None}


def _of(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def _thawed(name: str, arrays: Mapping[str, NDArray[Any]]) -> Detector:
    kind = name.split()[0]
    if kind == "IForest":
        return Isolation.from_arrays(arrays)
    kinds = {"HBOS": Histograms, "PCA": Components, "CBLOF": Clusters, "GMM": Mixture}
    return from_arrays(kinds[kind], arrays)
