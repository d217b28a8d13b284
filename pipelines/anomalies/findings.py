"""What every watcher hands to the alerts: one hypothesis that was found to be unusual, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OUTLIER, DROP = "outlier", "drop"


@dataclass(frozen=True)
class Reason:
    """One number that makes a finding unusual: its name, what it was, and the range that is usual."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """One entity in one window that a watcher holds to be unusual.

    `p` is a calibrated p-value of (entity, window): under the null hypothesis it is at most x with a
    probability of at most x. `exposure` says how much is at stake: minor units of money, else events that
    are missing or too many. `links` are what several entities of one campaign share, kind to value (address,
    device, agent, pattern of near-duplicate vectors); a metric's are its segment's.
    """

    kind: str  # OUTLIER or DROP
    entity: str  # user, session, device, address; of a drop: metric
    entity_id: str  # of a drop: <metric>@<segment>
    window_start_ms: int
    window_end_ms: int
    p: float
    exposure: float
    reasons: tuple[Reason, ...]  # the most unusual first
    calibration: str  # version of the calibration (outliers) or of the watch's settings (drops)
    links: Mapping[str, str] = field(default_factory=dict)
    learnt: float | None = None  # log-odds that a reviewer confirms it, where reviews have taught an order
