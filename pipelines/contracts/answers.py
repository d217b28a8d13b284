"""What the scoring service and the review page's answer: for clients, which import nothing else of them."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class RankedItem(msgspec.Struct, frozen=True, gc=False):
    """An item and its score; the higher the better."""

    item_id: str
    score: float


class RankAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The order, best first, the decision it is logged as, and the one model version that made it.

    `degraded` tells what was not known: see `ranking`.
    """

    decision_id: str
    model_version: str
    items: list[RankedItem]
    degraded: list[str] = []


class Rejected(msgspec.Struct, frozen=True):
    """An event that was not taken: its place in the request, from 0, and every reason."""

    index: int
    reasons: list[str]


class EventsAnswer(msgspec.Struct, frozen=True):
    """How many events Kafka has acknowledged, and those that were not taken."""

    accepted: int
    rejected: list[Rejected]


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as the review queue shows it; `wants` tells whether it needs a review, a second one or
    none, `chance` with what chance a sample of non-alerts was drawn."""

    incident_id: str
    kind: str
    state: str
    level: str
    severity: float
    pattern: str
    title: str
    reason: str
    p: float
    exposure: float
    entities: int
    window_start: datetime.datetime
    window_end: datetime.datetime
    opened_at: datetime.datetime
    notifications: int
    trust: float
    priority: float
    assigned_to: str
    wants: str
    verdict: str | None = None
    chance: float | None = None
    learnt: float | None = None


class AlertDetail(AlertRow, frozen=True, kw_only=True):
    """All that is known of an incident: `events` of its first entity, or the `series` of its metric."""

    members: list[dict[str, Any]]
    reasons: list[dict[str, Any]]
    reviews: list[dict[str, Any]]
    history: list[AlertRow]
    links: list[dict[str, Any]] | None = None
    segments: list[str] | None = None
    events: list[dict[str, Any]] = []
    series: list[dict[str, Any]] = []


class AlertsAnswer(msgspec.Struct, frozen=True):
    """The queue's first rows, how many it has, and who asks."""

    alerts: list[AlertRow]
    found: int
    reviewer: str


class StillSilent(msgspec.Struct, frozen=True):
    """A silence that a verdict began."""

    silence_id: str
    until: datetime.datetime


class ReviewAnswer(msgspec.Struct, frozen=True):
    """The review as it is kept, whether it was known already, and what it silences."""

    review_id: str
    is_repeat: bool
    silences: list[StillSilent]


class SilenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A silence: what it mutes, until when, why, and who began it."""

    silence_id: str
    matchers: dict[str, str]
    until: datetime.datetime
    why: str
    created_by: str
