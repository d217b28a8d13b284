"""What a source's record is mapped to: the fields of an interaction, a decision and an item, before Spark
sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "time", "integer", "number", "texts", "numbers", "flag"]


@dataclass(frozen=True)
class Field:
    """A field of a mapped record: the kind of its value, whether a record without it is quarantined, and the
    bits of an integer."""

    kind: Kind
    required: bool = False
    bits: int = 64


CONTEXT = {
    "session_id": Field("text"),
    "query": Field("text"),
    "source": Field("text"),
    "device_id": Field("text"),
    "ip_hash": Field("text"),
    "schema_version": Field("integer", bits=32),
}

INTERACTION = {
    "event_id": Field("text", required=True),
    "event_time": Field("time", required=True),
    "event_type": Field("text", required=True),
    "user_id": Field("text", required=True),
    "item_id": Field("text"),
    "decision_id": Field("text"),
    "price_minor": Field("integer"),
    "currency": Field("text"),
    "quantity": Field("integer", bits=32),
    **CONTEXT,
}

DECISION = {
    "decision_id": Field("text", required=True),
    "event_time": Field("time", required=True),
    "user_id": Field("text", required=True),
    "items": Field("texts", required=True),
    "model_version": Field("text"),
    "as_of": Field("time"),
    "propensity": Field("numbers"),
    "explored": Field("flag"),
    **CONTEXT,
}

ITEM = {
    "item_id": Field("text", required=True),
    "valid_from": Field("time", required=True),
    "schema_version": Field("integer", bits=32),
}

RECORDS: dict[str, dict[str, Field]] = {"interaction": INTERACTION, "decision": DECISION, "item": ITEM}
"""Record kind -> its fields."""

TOPIC = {"interaction": "interactions", "decision": "interactions", "item": "catalog"}
"""Record kind -> the Kafka topic that carries it."""

KEY = {"interaction": "user_id", "decision": "user_id", "item": "item_id"}
"""Record kind -> the field by which Kafka partitions it: a user's events have one order."""

TIME = {"interaction": "event_time", "decision": "event_time", "item": "valid_from"}
"""Record kind -> the field that holds its event time."""
