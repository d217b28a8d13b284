"""Silver: every landed row is here exactly once, typed in its own table or in quarantine with its reasons."""

from pipelines.contracts.table import Table
from pipelines.contracts.types import (
    BYTES,
    DAY,
    DOUBLE,
    FLAG,
    FLOAT,
    INT,
    LONG,
    TEXT,
    TIME,
    by_name,
    columns,
    many,
)

WHERE_FROM = {
    "topic": TEXT,
    "partition": INT,
    "offset": LONG,
    "arrived_at": TIME,
}  # arrived_at = Kafka timestamp

EVENTS = Table(
    "silver.events",
    columns(
        event_id=TEXT,
        event_time=TIME,
        event_date=DAY,
        event_type=TEXT,
        user_id=TEXT,
        session_id=TEXT,
        item_id=TEXT,
        decision_id=TEXT,
        query=TEXT,
        price_minor=LONG,
        currency=TEXT,
        quantity=INT,
        source=TEXT,
        device_id=TEXT,
        ip_hash=TEXT,
        properties=by_name(TEXT),  # fields no contract knows, as JSON text: unknown fields are kept
        schema_version=INT,
        is_late=FLAG,
        **WHERE_FROM,
    ),
    key=("event_id",),
    partition_by=("event_date",),
    event_time="event_time",
    required=("event_time", "event_date", "event_type", "user_id", "topic", "partition", "offset"),
    ranges=(("offset", 0, None), ("partition", 0, None)),
)

DECISIONS = Table(
    "silver.decisions",
    columns(
        decision_id=TEXT,
        event_time=TIME,
        event_date=DAY,
        user_id=TEXT,
        session_id=TEXT,
        query=TEXT,
        items=many(TEXT),  # in the order shown
        model_version=TEXT,
        as_of=TIME,
        propensity=many(DOUBLE),  # per item, where the shop explored
        explored=FLAG,
        source=TEXT,
        device_id=TEXT,
        ip_hash=TEXT,
        properties=by_name(TEXT),
        schema_version=INT,
        is_late=FLAG,
        **WHERE_FROM,
    ),
    key=("decision_id",),
    partition_by=("event_date",),
    event_time="event_time",
    required=("event_time", "event_date", "user_id", "items", "topic", "partition", "offset"),
    ranges=(("offset", 0, None), ("partition", 0, None)),
)

# Attributes by the name that the domain gives them, one map per kind.
ITEMS = Table(
    "silver.items",
    columns(
        item_id=TEXT,
        valid_from=TIME,
        numbers=by_name(DOUBLE),
        categories=by_name(TEXT),
        texts=by_name(TEXT),
        tags=by_name(many(TEXT)),
        vectors=by_name(many(FLOAT)),
        properties=by_name(TEXT),
        schema_version=INT,
        **WHERE_FROM,
    ),
    key=("item_id", "valid_from"),
    event_time="valid_from",
    required=("topic", "partition", "offset"),
    ranges=(("offset", 0, None), ("partition", 0, None)),
)

QUARANTINE = Table(
    "silver.quarantine",
    columns(
        reasons=many(TEXT),
        value=BYTES,
        key=BYTES,
        headers=many(columns(key=TEXT, value=BYTES)),
        quarantined_date=DAY,  # day of arrived_at: no clock
        **WHERE_FROM,
    ),
    key=("topic", "partition", "offset"),
    partition_by=("quarantined_date",),
    event_time="arrived_at",
    required=("reasons", "quarantined_date"),
)
