"""Outlier models: PyOD's detectors fitted once, then frozen into plain numbers that every process scores
alike.

Isolation forest (Liu, Ting, Zhou: Isolation Forest, 2008), histograms (Goldstein, Dengel: Histogram-based
Outlier Score, 2012), principal components, clusters, a Gaussian mixture (`densities`); for the most unusual
also the nearest neighbours and the local factor (`neighbours`). Each detector's score counts by how few
training vectors reached it, and these shares are combined as Fisher combined p-values (Statistical Methods
for Research Workers, 1932). What a single feature is beyond all training vectors comes on top (`extremes`).
All judge a vector by what was learnt, never by its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ModelError, TrainingError
from pipelines.models import outlier_files, tails
from pipelines.models.densities import from_arrays
from pipelines.models.detectors import rarest
from pipelines.models.ensemble import DETECTORS, Ensemble, OutlierConfig
from pipelines.models.extremes import Extremes
from pipelines.models.outlier_scale import Scale, bent

__all__ = ["DETECTORS", "OutlierConfig", "OutlierModel"]
FORMAT = 3
SCALE, EXTREMES, SCORES = "scale.", "extremes.", "scores"
Numbers = NDArray[np.float64]
Reasons = list[tuple[str, float, float, float]]
Columns = tuple[NDArray[np.int64], Numbers, Numbers, Numbers]


@dataclass(frozen=True)
class OutlierModel:
    """A fitted model. A vector is float[d] in the order of `names`; NaN and infinite mean unknown, which
    counts as typical. `scores` are those of training vectors, in order."""

    names: tuple[str, ...]
    config: OutlierConfig
    scale: Scale
    ensemble: Ensemble
    extremes: Extremes
    scores: Numbers

    @classmethod
    def fit(
        cls,
        vectors: Numbers,
        *,
        seed: int,
        config: OutlierConfig | None = None,
        names: Sequence[str] | None = None,
    ) -> OutlierModel:
        """A model of `vectors` float[n, d], of at most `config.rows` of them drawn by chance. The same
        vectors and seed give the same model. Without `names` features are called f0, f1, …

        Raises TrainingError for no vectors, no features, and for another width than that of `names`.
        """
        config, vectors = config or OutlierConfig(), np.asarray(vectors, np.float64)
        width = vectors.shape[1] if vectors.ndim == 2 else 0
        named = tuple(names) if names is not None else tuple(f"f{i}" for i in range(width))
        if not vectors.size or width != len(named):
            raise TrainingError(
                f"{vectors.shape} vectors of {len(named)} features cannot train an outlier model"
            )
        if len(vectors) > config.rows:
            drawn = np.random.default_rng(seed).choice(len(vectors), config.rows, replace=False)
            vectors = vectors[np.sort(drawn)]
        scale = Scale.fit(np.where(np.isfinite(vectors), vectors, np.nan))
        plain = scale.plain(vectors)
        ensemble = Ensemble.fit(plain, config, seed)
        extremes = Extremes.fit(bent(plain), scale.steps(vectors))
        model = cls(named, config, scale, ensemble, extremes, np.zeros(0))
        return replace(model, scores=tails.kept(model.score(vectors), config.kept))

    def score(self, vectors: Numbers) -> Numbers:
        """How unusual each vector is, higher is more: the mean over detectors of −log(share of training
        vectors at least as unusual), and what a single feature is beyond all of them (`extremes`). A score
        depends on its own vector alone. Raises ModelError for another width."""
        plain = self.plain(vectors)
        return self._score(plain, bent(plain))

    def judged(self, vectors: Numbers, k: int = 3) -> tuple[Numbers, Columns]:
        """(`score`, `reason_columns`) of the same vectors, for less than one after the other."""
        plain = self.plain(vectors)
        curved = bent(plain)
        columns, by_histograms = self._told(vectors, curved, k)
        return self._score(plain, curved, by_histograms), columns

    def rank(self, scores: Numbers) -> Numbers:
        """Of each score the share of training vectors with a lower one, 0 .. 1."""
        return np.searchsorted(self.scores, scores, side="left") / len(self.scores)

    def p_value(self, vectors: Numbers) -> Numbers:
        """Share of training vectors at least as unusual, counting the vector itself: in (0, 1]."""
        return tails.tail(self.scores, self.score(vectors))

    def explain(self, vectors: Numbers, k: int = 3) -> list[list[str]]:
        """Of each vector the `k` features that are the least usual, the most unusual first.

        A feature is as unusual as few training vectors had a value as rare as this one; among equally rare
        ones the further from the middle comes first.
        """
        return [[self.names[j] for j in row] for row in self.reason_columns(vectors, k)[0]]

    def reasons(self, vectors: Numbers, k: int = 3) -> list[Reasons]:
        """Of each vector (name, value, low, high) of the features of `explain`: the range holds 95 % of the
        training vectors' values."""
        places, *numbers = self.reason_columns(vectors, k)
        told = zip(places.tolist(), *(of.tolist() for of in numbers), strict=True)
        return [[(self.names[j], *rest) for j, *rest in zip(*row, strict=True)] for row in told]

    def reason_columns(self, vectors: Numbers, k: int = 3) -> Columns:
        """`reasons` as four arrays [n, k]: places in `names`, values, lows, highs."""
        return self._told(vectors, bent(self.plain(vectors)), k)[0]

    def plain(self, vectors: Numbers) -> Numbers:
        """The vectors in spreads from the middle. Raises ModelError for another width."""
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.names):
            raise ModelError(
                f"the outlier model needs {len(self.names)} features a vector, not {vectors.shape}"
            )
        return self.scale.plain(vectors)

    def save(self, place: Path | str) -> None:
        """Write the model without pickle: into one file when `place` ends in .npz, otherwise into a folder.
        Raises ModelError for a folder that holds anything else."""
        outlier_files.write(Path(place), *self.frozen())

    @classmethod
    def load(cls, place: Path | str) -> OutlierModel:
        """The model of `save`. Raises ModelError when it is missing, damaged, a pickle or of an older
        version."""
        return cls.from_frozen(*outlier_files.read(Path(place)))

    def frozen(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything of the model as number arrays and as JSON values, for `from_frozen`."""
        arrays = {SCORES: self.scores} | {SCALE + n: a for n, a in self.scale.arrays().items()}
        arrays |= {EXTREMES + n: a for n, a in self.extremes.arrays().items()}
        about = {"format": FORMAT, "names": list(self.names), "config": asdict(self.config)}
        return arrays | self.ensemble.arrays(), about | {"detectors": list(self.ensemble.names)}

    @classmethod
    def from_frozen(cls, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> OutlierModel:
        """The model of `frozen`. Raises ModelError when its parts do not fit together, or an older version
        made it."""
        if about.get("format") != FORMAT:
            raise ModelError(
                f"the outlier model is of format {about.get('format', 1)}, this version reads {FORMAT}: "
                "train again"
            )
        names = tuple(about["names"])
        try:
            config = OutlierConfig(**about["config"])
            scale = from_arrays(Scale, _of(arrays, SCALE))
            extremes = from_arrays(Extremes, _of(arrays, EXTREMES))
            ensemble = Ensemble.from_arrays(arrays, about["detectors"], config)
            scores = np.asarray(arrays[SCORES], np.float64)
        except KeyError as missing:
            raise ModelError(f"the outlier model lacks its array {missing}: it is damaged") from None
        except TypeError as problem:
            raise ModelError(f"the outlier model's settings are not ours ({problem}): train again") from None
        if not scale.fits(len(names)) or not extremes.fits(len(names)) or not len(scores):
            raise ModelError(f"the outlier model's scale is not that of {len(names)} features: it is damaged")
        ensemble.check(len(names))
        return cls(names, config, scale, ensemble, extremes, scores)

    def _score(self, plain: Numbers, curved: Numbers, by_histograms: Numbers | None = None) -> Numbers:
        total = self.ensemble.score(plain, curved, by_histograms)
        return np.asarray(total + self.extremes.scores(curved))

    def _told(self, vectors: Numbers, curved: Numbers, k: int) -> tuple[Columns, Numbers]:
        places, by_histograms = rarest(self.ensemble.histograms, curved, k)
        values = np.take_along_axis(np.asarray(vectors, np.float64), places, axis=1)
        return (places, values, self.scale.low[places], self.scale.high[places]), by_histograms


def _of(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
