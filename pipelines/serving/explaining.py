"""What is known of a user, and why a decision's items got their scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pipelines.features import program as p
from pipelines.features.carriers import Request
from pipelines.features.state import as_records
from pipelines.models.explanation import Explanation, explain
from pipelines.serving.accepted import Accepted
from pipelines.serving.decisions import Decision
from pipelines.serving.in_charge import InCharge
from pipelines.serving.ports import Store
from pipelines.serving.ranking import Ranking, user_key

HEAD = {"interactions": p.USER_EVENTS, "session_acts": p.USER_ACTS}
TIMES = {"session_since": p.USER_SINCE, "latest_act": p.USER_UNTIL}


def explained_decision(decision: Decision, model: InCharge) -> dict[str, Any]:
    """The decision with each item's score and what each feature adds to it, most first: exact SHAP values."""
    logged = dict(zip(decision.items, decision.scores.tolist(), strict=True))
    why = explain(model.ranker, decision.items, decision.features, logged)
    about = {
        "decision_id": decision.decision_id,
        "as_of": decision.as_of,
        "model_version": f"{decision.model_name}/{decision.model_version}",
        "definitions_hash": decision.definitions_hash,
        "features_from": "the service that made the decision",
    }
    return about | explained_items(why)


def explained_items(why: Explanation) -> dict[str, Any]:
    """Items in shown order with what their scores are made of."""
    items = []
    for place, item in enumerate(why.items):
        items.append(
            {
                "item_id": item,
                "score": _number(why.logged[place]),
                "replayed": _number(why.replayed[place]),
                "starts_from": _number(why.added[place, -1]),
                "features": [
                    {"name": name, "value": _number(value), "adds": added}
                    for name, value, added in why.by_weight(item)
                ],
            }
        )
    return {"items": items, "differing": why.differing}


def user_state(
    ranking: Ranking, user_id: str, store: Store, accepted: Accepted, now_ms: int
) -> dict[str, Any]:
    """The user's record by the names of its fields, with what this process took on top, and the features that
    are the user's alone: those that are the same for every item."""
    definitions = ranking.carrier.definitions
    some = sorted(ranking.known)[:20]
    request = Request(user_id, some, now_ms)
    read = ranking.records(request, store, accepted)
    features = ranking.features(request, read)
    record = read.records.get(user_key(user_id))
    found: dict[str, Any] = {"user_id": user_id, "is_known": record is not None, "as_of": now_ms}
    if record is not None:
        words = np.frombuffer(record, np.int64)[1:]
        found |= {name: int(words[at]) for name, at in HEAD.items()}
        found |= {name: int(words[at]) or None for name, at in TIMES.items()}
        kept = as_records(words[None].copy(), definitions.layouts.user)[0]
        names = [name for name in definitions.layouts.user.names or () if kept[name].ndim == 0]
        found["record"] = {name: _number(kept[name]) for name in names}
    if len(some) > 1:
        same = [np.unique(column).size == 1 for column in features.T]
        found["features"] = {
            name: _number(value)
            for name, value, is_same in zip(definitions.names, features[0], same, strict=True)
            if is_same
        }
    if read.degraded:
        found["degraded"] = read.degraded
    return found


def _number(value: Any) -> float | int | None:
    """A number for JSON, which has none for NaN."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
