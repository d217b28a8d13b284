"""Challenger against champion: what the gate takes from the registry, and what it leaves behind."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.domain import Domain
from pipelines.features.definitions import Definitions
from pipelines.models import gate_report, package, soundness
from pipelines.models.checks import Verdict, check, verdict
from pipelines.models.gate import judge_by_own_figures, judge_outliers, judge_ranker, off_policy_check
from pipelines.models.outlier_training import outlier_split
from pipelines.models.promotion import model_cache, versions_of
from pipelines.models.registered import STAGE, Version
from pipelines.models.registry import Registry
from pipelines.models.split import by_time
from pipelines.models.training import as_served
from pipelines.models.training_set import Rankings, rankings
from pipelines.models.vector_store import vectors_version
from pipelines.settings import Settings


@dataclass(frozen=True)
class Contest:
    """A version that wants to take over, the version that is in charge (None: nobody is), and the verdict."""

    challenger: Version
    champion: str | None
    verdict: Verdict

    def __str__(self) -> str:
        """One line for people: the version, the verdict, the reason."""
        verdict = "accepted" if self.verdict.accepted else "refused"
        return f"{self.challenger.name} {self.challenger.version} {verdict}: {self.verdict.reason}"

    def record(self, decided_at: datetime.datetime) -> dict[str, Any]:
        """The row of ops.gate_records."""
        told = self.verdict
        of_gate = {"action": "gate", "decided_by": "the gate"}
        judged = {
            "accepted": told.accepted,
            "reason": told.reason,
            "figures": {name: float(value) for name, value in told.figures.items()},
            "checks": [asdict(one) for one in told.checks],
        }
        return versions_of(self.challenger, self.champion, decided_at) | of_gate | judged

    def tags(self) -> Mapping[str, str]:
        """What the version's tags say of the verdict, and of each check."""
        told = {
            "gate": "accepted" if self.verdict.accepted else "refused",
            "gate_reason": self.verdict.reason,
        }
        told |= {f"gate.{one.name}": f"{one.verdict}: {one.told}" for one in self.verdict.checks}
        return told if self.verdict.accepted else told | {STAGE: "refused"}

    def report(self, decided_at: datetime.datetime) -> str:
        """The verdict as a page in Markdown."""
        name = self.challenger.name
        champion = f"{name} {self.champion}" if self.champion else None
        return gate_report.page(f"{name} {self.challenger.version}", champion, self.verdict, decided_at)


def leave(registry: Registry, contest: Contest, decided_at: datetime.datetime) -> None:
    """Leave the verdict with the version, unless that is in charge already: its tags, and the page as an
    artifact of its run."""
    challenger = contest.challenger
    if challenger.version != contest.champion:
        registry.tag(challenger.name, challenger.version, contest.tags())
        registry.leave(challenger, gate_report.NAME, contest.report(decided_at))


def contest_rankers(
    registry: Registry,
    domain: Domain,
    definitions: Definitions,
    rows: pa.Table,
    settings: Settings,
    now_ns: Callable[[], int],
) -> Contest:
    """The newest ranker of the domain against its champion, on the newest part of the domain's
    gold.training_rows. `now_ns` is a clock in nanoseconds, to measure the trees by."""
    challenger, champion = _sides(registry, f"{domain.name}-ranker")
    if champion == challenger.version:
        return _in_charge(challenger)
    made_with = vectors_version(rows, definitions)
    new = package.load_ranker(_fetched(registry, challenger, settings))
    belongs = [
        soundness.definitions_check(new, definitions.hash),
        soundness.vectors_check(new, made_with),
    ]
    if verdict(belongs).failed:  # it cannot score these rows: nothing more can be asked
        return Contest(challenger, champion, verdict(belongs))
    training = settings.training
    known = rankings(rows, definitions)
    split = by_time(known.judged(), training.test_share, training.validation_share)
    test = as_served(split.test, definitions)
    later = as_served(known.between(split.test.decided_at[0]), definitions)
    better = _better(registry, challenger, champion, new, test, made_with, settings)
    seed, limits = training.seed, settings.gate
    scores = new.score(later.features)
    sound = [
        off_policy_check(later, scores, _foretold(new, scores), limits, seed),
        soundness.calibration_check(new, later, limits, seed),
        soundness.latency_check(new, test, limits, now_ns),
        soundness.stability_check(new, as_served(split.train, definitions), test, limits),
    ]
    return Contest(challenger, champion, verdict([*better.checks, *belongs, *sound], better.figures))


def _better(
    registry: Registry,
    challenger: Version,
    champion: str | None,
    new: package.Ranker,
    test: Rankings,
    made_with: str | None,
    settings: Settings,
) -> Verdict:
    """Whether the challenger ranks better than the champion: on the same rows if the champion can score
    them."""
    seed, limits = settings.training.seed, settings.gate
    ours = new.score(test.features)
    if champion is None:
        return judge_ranker(test, ours, None, limits, seed)
    old = registry.version(challenger.name, champion)
    same_features = old.tags.get("definitions_hash") == new.definitions_hash
    in_charge = package.load_ranker(_fetched(registry, old, settings)) if same_features else None
    if in_charge is None or not soundness.vectors_check(in_charge, made_with).passed:
        return judge_by_own_figures(registry.figures(challenger), registry.figures(old), limits)
    return judge_ranker(test, ours, in_charge.score(test.features), limits, seed)


def contest_outliers(registry: Registry, domain: Domain, windows: pa.Table, settings: Settings) -> Contest:
    """The newest outlier model of the domain against its champion, on the newest rows of
    gold.behaviour_vectors."""
    challenger, champion = _sides(registry, f"{domain.name}-outliers")
    if champion == challenger.version:
        return _in_charge(challenger)
    parts = outlier_split(windows, settings.training.test_share)
    newest = {kind: part.newest for kind, part in parts.items()}
    ours = package.load_outliers(_fetched(registry, challenger, settings))
    theirs = None
    if champion is not None:
        old = registry.version(challenger.name, champion)
        theirs = package.load_outliers(_fetched(registry, old, settings))
        if theirs.names != ours.names:
            told = "the champion judges other figures of behaviour than are published now"
            return Contest(challenger, champion, verdict([check("behaviour", True, told)]))
    by_theirs = None if theirs is None else theirs.models
    return Contest(challenger, champion, judge_outliers(newest, ours.models, by_theirs, settings.gate))


def _foretold(ranker: package.Ranker, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """The chances that scores stand for; a ranker without chances foretells nothing."""
    return np.zeros(len(scores)) if ranker.calibrator is None else ranker.chance(scores)


def _sides(registry: Registry, name: str) -> tuple[Version, str | None]:
    return registry.latest(name), registry.current(name)


def _in_charge(version: Version) -> Contest:
    told = "the newest version is the champion already"
    return Contest(version, version.version, verdict([check("in_charge", True, told)]))


def _fetched(registry: Registry, version: Version, settings: Settings) -> Path:
    return registry.fetch(version.name, version.version, model_cache(settings))
