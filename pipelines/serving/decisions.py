"""A decision as it is logged: a record that the shop's own mapping reads, and what it was scored by."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.contracts.decision_features import DecisionFeatures, as_bytes, pack
from pipelines.domain import Domain
from pipelines.serving.ports import Fences
from pipelines.source_records import SourceWriter

Floats = NDArray[np.float32]


class Decision(msgspec.Struct, frozen=True):
    """A list that was shown: items in shown order, with scores and features in that order."""

    decision_id: str
    user_id: str
    as_of: int
    items: list[str]
    scores: Floats
    features: Floats
    model_name: str
    model_version: str
    definitions_hash: str
    fences: Fences = msgspec.field(default_factory=dict)
    session_id: str | None = None
    query: str | None = None
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    propensity: list[float] | None = None
    explored: bool = False


class DecisionWriter:
    """Writes decisions as the source records that a domain's mapping reads as decisions."""

    def __init__(self, domain: Domain) -> None:
        """Raises DomainError for a domain without a record of decisions: its lists could not be logged."""
        self._writer = SourceWriter(domain, "decision")

    def record(self, decision: Decision) -> bytes:
        """The decision as JSON; what the mapping has no field for stands under `properties`."""
        values = {
            "decision_id": decision.decision_id,
            "event_time": decision.as_of,
            "user_id": decision.user_id,
            "session_id": decision.session_id,
            "query": decision.query or None,
            "items": decision.items,
            "model_version": f"{decision.model_name}/{decision.model_version}",
            "as_of": decision.as_of,
            "propensity": decision.propensity,
            "explored": decision.explored if decision.propensity is not None else None,
            "schema_version": 1,
        }
        return self._writer.record(decision.context | values)


def feature_message(decision: Decision) -> bytes:
    """What the decision was scored by, see `contracts.decision_features`."""
    return pack(
        DecisionFeatures(
            decision_id=decision.decision_id,
            user_id=decision.user_id,
            as_of=decision.as_of,
            model_name=decision.model_name,
            model_version=decision.model_version,
            definitions_hash=decision.definitions_hash,
            items=decision.items,
            width=decision.features.shape[1],
            scores=as_bytes(decision.scores),
            features=as_bytes(decision.features),
            fences=[(topic, partition, offset) for (topic, partition), offset in decision.fences.items()],
        )
    )
