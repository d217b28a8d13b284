"""Records of the simulated shop, and landed rows of them. What a test does not name does not matter to it."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from pipelines.contracts.bronze import LANDED
from pipelines.contracts.types import arrow_schema

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW_MS = 1_767_268_800_000


def an_event(**changes):
    """A view; a change to None removes the field."""
    event = {
        "event_id": "e1",
        "event_time": NOW_MS,
        "event_type": "view",
        "user_id": "u1",
        "session_id": "s1",
        "item_id": "i1",
        "source": "web",
    }
    return _record(event | changes)


def a_purchase(**changes):
    """A purchase of one item for 19.99 EUR."""
    return an_event(
        **{"event_type": "purchase", "price_minor": 1999, "currency": "EUR", "quantity": 1} | changes
    )


def a_decision(**changes):
    """A list of three items."""
    decision = {
        "event_type": "decision",
        "decision_id": "d1",
        "event_time": NOW_MS,
        "user_id": "u1",
        "items": ["i1", "i2", "i3"],
        "source": "web",
    }
    return _record(decision | changes)


def an_item(**changes):
    """An item with an attribute of each kind."""
    attributes = {
        "title": "Blue shoe",
        "category": "shoes",
        "price": 19.99,
        "tags": ["blue", "summer"],
        "image": [0.5] * 16,
    }
    item = {"record": "item", "item_id": "i1", "valid_from": NOW_MS, "attributes": attributes}
    return _record(item | changes)


def with_attributes(**changes):
    """An item whose attributes are changed."""
    return an_item(attributes=_record(an_item()["attributes"] | changes))


def _record(fields):
    return {name: value for name, value in fields.items() if value is not None}


def as_bytes(record):
    """A record as the bytes of a message; bytes and None stay as they are."""
    return record if record is None or isinstance(record, bytes) else json.dumps(record).encode()


def landed_rows(*records, first_offset=0, topic="interactions", partition=0, arrived=NOW, headers=None):
    """Rows of bronze with these values, one offset after the other."""
    count = len(records)
    columns = {
        "topic": [topic] * count,
        "partition": [partition] * count,
        "offset": list(range(first_offset, first_offset + count)),
        "key": [b"u1"] * count,
        "value": [as_bytes(record) for record in records],
        "headers": [headers] * count,
        "timestamp": [arrived] * count,
        "ingested_at": [arrived + timedelta(seconds=1)] * count,
        "ingest_date": [arrived.date()] * count,
    }
    return pa.table(columns, schema=arrow_schema(LANDED))


def landed(spark, *records, **where):
    """As `landed_rows`, as a DataFrame."""
    return spark.createDataFrame(landed_rows(*records, **where), LANDED)
