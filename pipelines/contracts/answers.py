"""What the scoring service answers: for the service, and for a client, which imports nothing else of it."""

from __future__ import annotations

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
