"""Challenger against champion: what the gate takes from the registry, and what it leaves behind."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.domain import Domain, load_domain
from pipelines.errors import ModelError
from pipelines.features.definitions import Definitions
from pipelines.models import package
from pipelines.models.gate import Verdict, judge_by_own_figures, judge_outliers, judge_ranker
from pipelines.models.registry import STAGE, Registry, Version
from pipelines.models.split import by_time
from pipelines.models.training import as_served, outlier_split
from pipelines.models.training_set import rankings
from pipelines.models.vector_store import vectors_version
from pipelines.settings import Settings

KINDS = ("ranker", "outliers")
REFUSED = 99
"""Exit code of a job that refuses a challenger: an answer, not a failure."""


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

    def record(self, decided_at: datetime.datetime) -> tuple[Any, ...]:
        """The row of ops.gate_records, in the order of its columns."""
        verdict = self.verdict
        figures = {name: float(value) for name, value in verdict.figures.items()}
        names = (self.challenger.name, self.challenger.version, self.champion)
        return (decided_at, *names, verdict.accepted, verdict.reason, figures)

    def tags(self) -> Mapping[str, str]:
        """What the version's tags say of the verdict."""
        told = {
            "gate": "accepted" if self.verdict.accepted else "refused",
            "gate_reason": self.verdict.reason,
        }
        return told if self.verdict.accepted else told | {STAGE: "refused"}


def subject(model: str, settings: Settings) -> tuple[Domain, str]:
    """Domain and kind of a model's name `<domain>-ranker` or `<domain>-outliers`; the domain may be a path to
    its file.

    Raises ModelError for another name.
    """
    domain, _, kind = model.rpartition("-")
    if kind not in KINDS or not domain:
        raise ModelError(f"no model is called {model!r}: names are <domain>-ranker and <domain>-outliers")
    return load_domain(domain, settings), kind


def contest_rankers(
    registry: Registry, domain: Domain, definitions: Definitions, rows: pa.Table, settings: Settings
) -> Contest:
    """The newest ranker of the domain against its champion, on the newest part of the domain's
    gold.training_rows."""
    challenger, champion = _sides(registry, f"{domain.name}-ranker")
    if champion == challenger.version:
        return _in_charge(challenger)
    training = settings.training
    split = by_time(rankings(rows, definitions).judged(), training.test_share, training.validation_share)
    test = as_served(split.test, definitions)
    made_with = vectors_version(rows, definitions)
    new = package.load_ranker(_fetched(registry, challenger, settings), definitions.hash)
    if _version(new) != made_with:
        raise ModelError(
            f"{challenger.name} {challenger.version} carries the vectors {_version(new)}, gold.training_rows "
            f"was made with {made_with}: train again"
        )
    ours = new.score(test.features)
    if champion is None:
        return Contest(challenger, None, judge_ranker(test, ours, None, settings.gate, training.seed))
    old = registry.version(challenger.name, champion)
    same_features = old.tags.get("definitions_hash") == definitions.hash
    in_charge = package.load_ranker(_fetched(registry, old, settings)) if same_features else None
    if in_charge is None or _version(in_charge) != made_with:
        verdict = judge_by_own_figures(registry.figures(challenger), registry.figures(old), settings.gate)
        return Contest(challenger, champion, verdict)
    theirs = in_charge.score(test.features)
    return Contest(challenger, champion, judge_ranker(test, ours, theirs, settings.gate, training.seed))


def contest_outliers(registry: Registry, domain: Domain, windows: pa.Table, settings: Settings) -> Contest:
    """The newest outlier model of the domain against its champion, on the newest rows of
    gold.behaviour_vectors."""
    challenger, champion = _sides(registry, f"{domain.name}-outliers")
    if champion == challenger.version:
        return _in_charge(challenger)
    _, newest = outlier_split(windows, settings.training.test_share)
    ours = package.load_outliers(_fetched(registry, challenger, settings))
    theirs = None
    if champion is not None:
        old = registry.version(challenger.name, champion)
        theirs = package.load_outliers(_fetched(registry, old, settings))
        if theirs.names != ours.names:
            verdict = Verdict(True, "the champion judges other figures of behaviour than are published now")
            return Contest(challenger, champion, verdict)
    return Contest(challenger, champion, judge_outliers(newest, ours, theirs, settings.gate))


def promotion(
    registry: Registry, version: Version, verdict: Mapping[str, Any] | None, force: bool
) -> tuple[int, str]:
    """Give the version the alias `champion` if its newest verdict (a row of ops.gate_records) accepts it, or
    by force.

    Returns the exit code and what to tell.
    """
    named = f"{version.name} {version.version}"
    if not force and (verdict is None or not verdict["accepted"]):
        reason = (
            verdict["reason"]
            if verdict
            else f"no gate has judged it: run the job gate --model {version.name}"
        )
        return REFUSED, f"{named} is not promoted: {reason}"
    before = registry.promote(version.name, version.version)
    return 0, f"{named} is the champion, after {before or 'nobody'}"


def name_a_model(parser: argparse.ArgumentParser) -> None:
    """The argument that jobs about one model take."""
    parser.add_argument("--model", required=True, help="<domain>-ranker or <domain>-outliers")


def model_cache(settings: Settings) -> Path:
    """Where downloaded packages are kept."""
    return settings.state / "models"


def _version(ranker: package.Ranker) -> str | None:
    return ranker.vectors.version if ranker.vectors else None


def _sides(registry: Registry, name: str) -> tuple[Version, str | None]:
    return registry.latest(name), registry.current(name)


def _in_charge(version: Version) -> Contest:
    return Contest(version, version.version, Verdict(True, "the newest version is the champion already"))


def _fetched(registry: Registry, version: Version, settings: Settings) -> Path:
    return registry.fetch(version.name, version.version, model_cache(settings))
