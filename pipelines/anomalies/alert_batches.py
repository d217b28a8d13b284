"""What goes into and comes out of a micro-batch of alerts, and what is kept in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import msgspec

from pipelines.anomalies.findings import Finding
from pipelines.anomalies.grouping import Carriers
from pipelines.anomalies.incidents import Incident
from pipelines.anomalies.reviews import Evidence
from pipelines.anomalies.silences import Silence

DAY_MS = 86_400_000
SILENCED, INHIBITED, BY_PATTERN, BY_CAP = "silenced", "inhibited", "pattern", "capped"
OPENED, ESCALATED = "opened", "escalated"


class State(msgspec.Struct):
    """What goes on from one micro-batch to the next; `told` are suppressed findings that were reported, with
    the end of their windows, `hypotheses` how many there were on each of the last days, `unusual` the windows
    of days that are not over, after day `shown`."""

    newest_ms: int = 0
    incidents: dict[str, Incident] = {}
    told: dict[str, int] = {}
    hypotheses: dict[int, int] = {}
    unusual: dict[int, list[Finding]] = {}
    shown: int = -1


@dataclass(frozen=True)
class Rules:
    """What people have said so far: silences, evidence by pattern, incidents that have a verdict, and how
    many outliers were judged to be right or wrong."""

    silences: Sequence[Silence] = ()
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    reviewed: AbstractSet[str] = frozenset()
    judged: int = 0


@dataclass(frozen=True)
class Batch:
    """What is new: findings, drawn non-alerts with their chance, the p-value up to which findings were
    selected, the newest window's start of all hypotheses, how many these were, and windows that may be among
    the most unusual of their day."""

    findings: Sequence[Finding]
    newest_ms: int
    bound: float = 1.0
    samples: Sequence[Finding] = ()
    chance: float = 0.0
    hypotheses: int = 0
    carriers: Carriers = field(default_factory=dict)
    unusual: Sequence[Finding] = ()


@dataclass(frozen=True)
class Suppressed:
    """A finding, or by the cap an incident, that nobody is told of: why, and by what."""

    why: str
    told: str
    finding: Finding


@dataclass(frozen=True)
class Notification:
    """Something to tell: the incident as it is now, and the number of times that it was told."""

    incident: Incident
    why: str

    @property
    def key(self) -> str:
        """The same for every attempt to deliver it."""
        return f"{self.incident.incident_id}.{self.incident.notifications}"


@dataclass(frozen=True)
class Raised:
    """The state after a micro-batch, incidents that changed, what was suppressed, whom to tell of what."""

    state: State
    changed: list[Incident]
    suppressed: list[Suppressed]
    notifications: list[Notification]
