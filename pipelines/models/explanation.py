"""Why a decision's items got their scores: each feature's part in each score, and the scores once more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xgboost
from numpy.typing import NDArray

from pipelines.errors import ModelError, nearest
from pipelines.models.package import Ranker

Floats = NDArray[np.float32]


def contributions(booster: xgboost.Booster, features: Floats) -> Floats:
    """Of each row what each feature adds to its score, float32[n, features + 1]: exact SHAP values of the
    trees (Lundberg et al. 2020), and in the last column what every score starts from. A row's sum is its
    score."""
    rows = xgboost.DMatrix(features, feature_names=booster.feature_names)
    return np.asarray(booster.predict(rows, pred_contribs=True))


def as_scored(ranker: Ranker, features: Floats) -> Floats:
    """The features with those at their fixed value that the ranker's own definitions give one, such as the
    position."""
    declared = json.loads(ranker.definitions).get("features", [])
    served = features.copy()
    for feature in declared:
        if feature.get("kind") == "position":
            served[:, ranker.names.index(feature["name"])] = feature["fixed"]
    return served


@dataclass(frozen=True)
class Explanation:
    """A decision's items with the features that they were scored by, what each adds, and their scores: those
    that were logged (NaN where none was) and those that come out of the same features now."""

    items: list[str]
    names: tuple[str, ...]
    features: Floats
    added: Floats
    logged: Floats
    replayed: Floats

    @property
    def differing(self) -> list[str]:
        """Items whose score was logged and is another one now, if only in its last bit."""
        known = ~np.isnan(self.logged)
        return [
            i
            for i, k, a, b in zip(self.items, known, self.logged, self.replayed, strict=True)
            if k and a != b
        ]

    def place(self, item: str) -> int:
        """Where the item stands. Raises ModelError for one that the decision did not show."""
        if item not in self.items:
            shown = ", ".join(self.items[:20]) + (", …" if len(self.items) > 20 else "")
            raise ModelError(
                f"the decision did not show {item!r}{nearest(item, self.items)}; it showed {shown}"
            )
        return self.items.index(item)

    def by_weight(self, item: str, against: str | None = None) -> list[tuple[str, float, float]]:
        """(feature, value, what it adds) for an item, what adds most first; with `against`, what it adds
        beyond what the same feature adds to that item."""
        place = self.place(item)
        added = self.added[place, :-1]
        if against is not None:
            added = added - self.added[self.place(against), :-1]
        order = np.argsort(-np.abs(added), kind="stable")
        return [(self.names[k], float(self.features[place, k]), float(added[k])) for k in order]


def explain(ranker: Ranker, items: Sequence[str], features: Floats, logged: dict[str, float]) -> Explanation:
    """The explanation of a decision from the features of its items, in the order of the ranker's names, and
    the scores that were logged, by item."""
    served = as_scored(ranker, np.ascontiguousarray(features, np.float32))
    scores = np.array([logged.get(item, np.nan) for item in items], np.float32)
    added = contributions(ranker.booster, served)
    return Explanation(list(items), ranker.names, served, added, scores, ranker.score(served))
