"""What a micro-batch of scoring carries: before and after the model."""

from pipelines.contracts.types import (
    BYTES,
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
from pipelines.contracts.watch import REASON

_DECISION = {
    "decision_id": TEXT,
    "user_id": TEXT,
    "decided_at": TIME,
    "items": many(TEXT),
    "positions": many(INT),
}
TO_SCORE = columns(**_DECISION, features=BYTES)
"""`features`: float32 values of all items, one after the other, in the order of the definitions; see
models/packed_features.py."""

SCORED = columns(
    **_DECISION,
    scores=many(FLOAT),
    ranks=many(INT),  # from 1, by descending score; of equal scores the one shown first
)

_VECTOR = {
    "entity": TEXT,
    "entity_id": TEXT,
    "window_minutes": INT,
    "window_start": TIME,
    "vector": many(DOUBLE),
    "links": by_name(TEXT),
    "exposure": DOUBLE,
    "revision": LONG,
}

TO_JUDGE = columns(**_VECTOR)
"""What is read of gold.behaviour_vectors to judge its rows."""

JUDGED = columns(
    **_VECTOR,
    score=DOUBLE,  # null, as what follows from it, for kinds of vectors that no model knows
    rank=DOUBLE,
    p_value=DOUBLE,
    is_tail=FLAG,
    reasons=many(REASON),
    top_features=many(TEXT),
    calibration=TEXT,
)
