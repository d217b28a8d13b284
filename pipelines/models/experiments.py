"""Rankers side by side on the same later decisions: several seeds, without groups of features, with features
that come late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipelines.features.declarations import Declaration
from pipelines.features.definitions import Definitions
from pipelines.models.ablation import variants
from pipelines.models.evaluation import Floats, Scores, Variant, ndcg_at, paired_gain
from pipelines.models.ranker import Trained
from pipelines.models.split import at_random, before_test
from pipelines.models.training import as_served, learn
from pipelines.models.training_set import Rankings
from pipelines.models.trees import from_booster
from pipelines.sections import Training

VALIDATION_SHARE = 0.3
"""Last share of the decisions before the test part that judges in its place when something is chosen."""


@dataclass(frozen=True)
class Case:
    """Decisions to learn from and later ones to judge by, each with an outcome; how to learn, how often."""

    past: Rankings
    judges: Rankings
    definitions: Definitions
    training: Training
    seeds: int = 1

    def rankers(self, kept: Sequence[int] | None = None) -> list[Trained]:
        """A ranker for each seed, `training.seed` and those after it, of all features or of the kept
        columns."""
        past = self.past if kept is None else self.past.columns(kept)
        seeds = range(self.training.seed, self.training.seed + self.seeds)
        return [learn(past, self.definitions, replace(self.training, seed=seed)) for seed in seeds]

    def scores(
        self, rankers: Sequence[Trained], judges: Rankings | None = None, as_ranked: bool = True
    ) -> list[Scores]:
        """Scores of the judging decisions by each ranker, on the features that it knows: as it ranks, or with
        what is only known afterwards, the shown position."""
        served = self.judges if judges is None else judges
        if as_ranked:
            served = as_served(served, self.definitions)
        found: list[Scores] = []
        for trained in rankers:
            kept = [served.names.index(name) for name in trained.booster.feature_names or ()]
            features = np.ascontiguousarray(served.features[:, kept])
            found.append(from_booster(trained.booster).sums(features))
        return found

    def quality(
        self, rankers: Sequence[Trained], judges: Rankings | None = None, as_ranked: bool = True
    ) -> Floats:
        """nDCG@10 of each judging decision, mean over the rankers; see `scores`."""
        found = [ndcg_at(self.judges, scores) for scores in self.scores(rankers, judges, as_ranked)]
        return np.asarray(np.mean(found, axis=0))

    def reference(self) -> Floats:
        """nDCG@10 of each judging decision by the outcome rate, the baseline that counts."""
        return ndcg_at(self.judges, self.judges.outcome_rate)

    def told(self, rankers: Sequence[Trained], against: Floats) -> Variant | None:
        """The rankers when they are told the shown positions, which no ranking knows: how far the place alone
        decides about outcomes. None without a position feature."""
        if not self.definitions.fixed:
            return None
        features = len(self.definitions.names)
        found = self.quality(rankers, as_ranked=False)
        return self.variant("ranker, told the shown positions", features, found, against)

    def variant(self, name: str, features: int, found: Floats, against: Floats) -> Variant:
        """One line of a comparison."""
        gain = paired_gain(found, against, self.training.seed)
        return Variant(name, features, float(found.mean()), gain)


def cut(
    decisions: Rankings,
    training: Training,
    split: Literal["time", "random"] = "time",
    part: Literal["test", "validation"] = "test",
) -> tuple[Rankings, Rankings]:
    """(what is learnt from, what judges).

    The `test` part is the last `training.test_share` by time, or so many at random; the `validation` part
    lies before it and never touches it, so that what is chosen by it can still be judged.
    """
    if split == "random":
        return at_random(decisions, training.test_share, training.seed)
    past, test = before_test(decisions, training.test_share)
    return (past, test) if part == "test" else before_test(past, VALIDATION_SHARE)


def ablation(case: Case, declared: Sequence[Declaration]) -> list[Variant]:
    """Everything, then without each group of features that the domain declares, see `ablation.GROUPS`."""
    rankers = case.rankers()
    everything = case.quality(rankers)
    found = [case.variant("everything", len(declared), everything, everything)]
    if told := case.told(rankers, everything):
        found.append(told)
    for name, kept in variants(declared).items():
        left = case.quality(case.rankers(kept))
        found.append(case.variant(name, len(kept), left, everything))
    return found


def staleness(case: Case, rankers: Sequence[Trained], judges: Mapping[str, Rankings]) -> list[Variant]:
    """The same rankers on the same decisions, whose features were read by those who know less; against the
    first."""
    found: list[Variant] = []
    first: Floats | None = None
    for name, decisions in judges.items():
        quality = case.quality(rankers, decisions)
        first = quality if first is None else first
        found.append(case.variant(name, len(case.definitions.names), quality, first))
    return found
