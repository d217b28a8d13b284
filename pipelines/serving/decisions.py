"""A decision as it is logged: a record that the shop's own mapping reads, and what it was scored by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.contracts.decision_features import DecisionFeatures, as_bytes, pack
from pipelines.contracts.records import DECISION
from pipelines.domain import Domain, Record
from pipelines.serving.ports import Fences

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
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
    fences: Fences = field(default_factory=dict)
    session_id: str | None = None
    query: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    propensity: list[float] | None = None
    explored: bool = False


class DecisionWriter:
    """Writes decisions as the source records that a domain's mapping reads as decisions."""

    def __init__(self, domain: Domain) -> None:
        """Raises DomainError for a domain without a record of decisions: its lists could not be logged."""
        record = next((record for record in domain.records if record.kind == "decision"), None)
        if record is None:
            raise domain.error("records", "no record is a decision, so the service could not log its lists")
        self._when = [(_setter(path), wanted) for path, wanted in record.when.items()]
        self._fields = _setters(record)
        self._time = _TIMES[domain.time_unit]

    def record(self, decision: Decision) -> bytes:
        """The decision as JSON; what the mapping has no field for stands under `properties`."""
        values = {
            "decision_id": decision.decision_id,
            "event_time": self._time(decision.as_of),
            "user_id": decision.user_id,
            "session_id": decision.session_id,
            "query": decision.query or None,
            "items": decision.items,
            "model_version": f"{decision.model_name}/{decision.model_version}",
            "as_of": self._time(decision.as_of),
            "propensity": decision.propensity,
            "explored": decision.explored if decision.propensity is not None else None,
            "schema_version": 1,
        }
        values |= {name: value for name, value in decision.context.items() if name not in values}
        source: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in values.items():
            if value is None:
                continue
            put = self._fields.get(name)
            if put is None:
                others[name] = value
            else:
                put(source, value)
        for put, wanted in self._when:
            put(source, wanted)
        if others:
            source["properties"] = others
        return msgspec.json.encode(source)


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


Put = Callable[[dict[str, Any], Any], None]


def _setters(record: Record) -> dict[str, Put]:
    return {name: _setter(path) for name, path in record.fields.items() if name in DECISION}


def _setter(path: str) -> Put:
    """The opposite of `mapping.compile_path`."""
    head, is_list, rest = path.partition("[]")
    *outer, last = head.split(".")

    def put(record: dict[str, Any], value: Any) -> None:
        for step in outer:
            record = record.setdefault(step, {})
        record[last] = value

    if not is_list or not rest:
        return put
    each = _setter(rest[1:])

    def put_each(record: dict[str, Any], values: Any) -> None:
        elements: list[dict[str, Any]] = [{} for _ in values]
        for element, value in zip(elements, values, strict=True):
            each(element, value)
        put(record, elements)

    return put_each


def _iso8601(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_TIMES: dict[str, Callable[[int], Any]] = {
    "ms": lambda ms: ms,
    "s": lambda ms: ms / 1000,
    "iso8601": _iso8601,
}
