"""What a micro-batch of scoring carries: decisions and behaviour vectors in one frame, before and after the
models."""

from pipelines.contracts.types import BYTES, DOUBLE, FLOAT, INT, LONG, TEXT, TIME, columns, many

_DECISION = {
    "decision_id": TEXT,
    "user_id": TEXT,
    "decided_at": TIME,
    "items": many(TEXT),  # null in the row of a vector
    "positions": many(INT),
}
_VECTOR = {
    "entity": TEXT,
    "entity_id": TEXT,
    "window_start": TIME,
    "vector": many(DOUBLE),  # null in the row of a decision
    "revision": LONG,
}

TO_SCORE = columns(**_DECISION, features=BYTES, **_VECTOR)
"""`features`: float32 values of all items, one after the other, in the order of the definitions; see
models/packed_features.py."""

SCORED = columns(
    **_DECISION,
    **_VECTOR,
    scores=many(FLOAT),
    ranks=many(INT),  # from 1, by descending score; of equal scores the one shown first
    outlier_score=DOUBLE,
    outlier_rank=DOUBLE,
    top_features=many(TEXT),
)
