"""Detectors that compare a vector with a few summaries of all: principal components, clusters, a Gaussian
mixture.

Each is fitted by PyOD and frozen into plain arrays. Sources: Shyu et al.: A Novel Anomaly Detection Scheme
Based on Principal Component Classifier, 2003; He, Xu, Deng: Discovering Cluster-based Local Outliers, 2003
(CBLOF).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
LEAST_SHARE = 1e-6  # of all variance: what a component explains at least, to be asked


@dataclass(frozen=True)
class Frozen:
    """A detector as plain arrays: its fields."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as number arrays, for `from_arrays`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


Kind = TypeVar("Kind", bound=Frozen)


def from_arrays(kind: type[Kind], arrays: Mapping[str, NDArray[Any]]) -> Kind:
    """The detector of `Frozen.arrays`. Raises KeyError when one is missing."""
    return kind(**{f.name: np.ascontiguousarray(arrays[f.name], np.float64) for f in fields(kind)})


@dataclass(frozen=True)
class Components(Frozen):
    """PyOD's PCA: the sum of a standardised vector's distances to the ends of the components, each divided
    by the share of variance that the component explains."""

    centre: Numbers  # [d]
    scale: Numbers  # [d]
    axes: Numbers  # [d, components]
    shares: Numbers  # [components]

    @classmethod
    def fit(cls, plain: Numbers, seed: int) -> Components | None:
        """None of vectors that are all alike."""
        from pyod.models.pca import PCA  # heavy, and only training needs it

        if not np.ptp(plain, axis=0).any():
            return None
        with np.errstate(all="ignore"):  # it divides by the shares of components that explain nothing
            found = PCA(random_state=seed, svd_solver="full").fit(plain)
        shares = np.asarray(found.w_components_, np.float64)
        asked = shares >= LEAST_SHARE
        axes = np.ascontiguousarray(found.components_[asked].T)
        return cls(found.scaler_.mean_, found.scaler_.scale_, axes, shares[asked])

    def scores(self, plain: Numbers) -> Numbers:
        """Of each vector the sum, higher is more unusual."""
        out = np.empty(len(plain))
        _components(plain, self.centre, self.scale, self.axes, self.shares, out)
        return out

    def fits(self, width: int) -> bool:
        """Whether the parts belong together and to vectors of this width."""
        return self.axes.shape == (width, len(self.shares)) and {len(self.centre), len(self.scale)} == {width}


@dataclass(frozen=True)
class Clusters(Frozen):
    """PyOD's CBLOF: the distance to the centre of a vector's own cluster, or of the nearest large one when
    its own is small."""

    centres: Numbers  # [clusters, d]
    large: Numbers  # [clusters], 1 or 0

    @classmethod
    def fit(cls, plain: Numbers, clusters: int, seed: int) -> Clusters | None:
        """None of fewer distinct vectors than clusters."""
        from pyod.models.cblof import CBLOF  # heavy, and only training needs it

        if len(np.unique(plain, axis=0)) <= clusters:
            return None
        found = CBLOF(n_clusters=clusters, random_state=seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.fit(plain)
        except ValueError:  # PyOD's way to say that no cut between small and large clusters exists
            large = np.ones(clusters)
        else:
            large = np.isin(np.arange(clusters), found.large_cluster_labels_).astype(np.float64)
        return cls(np.ascontiguousarray(found.cluster_centers_), large)

    def scores(self, plain: Numbers) -> Numbers:
        """Of each vector the distance."""
        out = np.empty(len(plain))
        _clusters(plain, self.centres, self.large, out)
        return out

    def fits(self, width: int) -> bool:
        """Whether the parts belong together and to vectors of this width."""
        return self.centres.shape == (len(self.large), width) and bool(self.large.any())


@dataclass(frozen=True)
class Mixture(Frozen):
    """PyOD's GMM: minus the logarithm of a vector's density under a mixture of Gaussians."""

    means: Numbers  # [parts, d]
    factors: Numbers  # [parts, d, d], of the inverse covariances: C^-1 = F F'
    constants: Numbers  # [parts], the logarithm of each part's density at its mean times its weight

    @classmethod
    def fit(cls, plain: Numbers, parts: int, floor: float, seed: int) -> Mixture | None:
        """None of fewer than two vectors, or fewer than parts; `floor` is added to every variance."""
        from pyod.models.gmm import GMM  # heavy, and only training needs it

        if len(np.unique(plain, axis=0)) < max(2, parts):
            return None
        found = GMM(n_components=parts, reg_covar=floor, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged in the steps it was given
            found.fit(plain)
        factors = np.ascontiguousarray(found.precisions_cholesky_)
        volume = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        constants = np.log(found.weights_) + volume - 0.5 * plain.shape[1] * math.log(2 * math.pi)
        return cls(np.ascontiguousarray(found.means_), factors, constants)

    def scores(self, plain: Numbers) -> Numbers:
        """Of each vector minus the logarithm."""
        out = np.empty(len(plain))
        _mixture(plain, self.means, self.factors, self.constants, out)
        return out

    def fits(self, width: int) -> bool:
        """Whether the parts belong together and to vectors of this width."""
        parts = len(self.constants)
        return self.means.shape == (parts, width) and self.factors.shape == (parts, width, width)


# Products with a matrix run over features in their order, side by side for all columns: a library's product
# would group a sum otherwise by the size of the batch.


@njit(cache=True, error_model="numpy")
def _components(plain, centre, scale, axes, shares, out):  # type: ignore[no-untyped-def]
    width, size = axes.shape
    along = np.empty(size)
    for i in range(plain.shape[0]):
        along[:] = 0.0
        square = 0.0
        for j in range(width):
            x = (plain[i, j] - centre[j]) / scale[j]
            square += x * x
            axis = axes[j]
            for c in range(size):
                along[c] += x * axis[c]
        out[i] = 0.0
        for c in range(size):
            out[i] += math.sqrt(max(square - 2.0 * along[c] + 1.0, 0.0)) / shares[c]


@njit(cache=True, error_model="numpy")
def _clusters(plain, centres, large, out):  # type: ignore[no-untyped-def]
    for i in range(plain.shape[0]):
        own, nearest_large, is_large = np.inf, np.inf, False
        for c in range(centres.shape[0]):
            square = 0.0
            for j in range(centres.shape[1]):
                gap = plain[i, j] - centres[c, j]
                square += gap * gap
            if square < own:
                own, is_large = square, large[c] > 0
            if large[c] > 0 and square < nearest_large:
                nearest_large = square
        out[i] = math.sqrt(own if is_large else nearest_large)


@njit(cache=True, error_model="numpy")
def _mixture(plain, means, factors, constants, out):  # type: ignore[no-untyped-def]
    parts, width = means.shape
    along = np.empty(width)
    logs = np.empty(parts)
    for i in range(plain.shape[0]):
        highest = -np.inf
        for p in range(parts):
            along[:] = 0.0
            for j in range(width):
                x = plain[i, j] - means[p, j]
                row = factors[p, j]
                for c in range(width):
                    along[c] += x * row[c]
            square = 0.0
            for c in range(width):
                square += along[c] * along[c]
            logs[p] = constants[p] - 0.5 * square
            highest = max(highest, logs[p])
        total = 0.0
        for p in range(parts):
            total += math.exp(logs[p] - highest)
        out[i] = -(highest + math.log(total))
