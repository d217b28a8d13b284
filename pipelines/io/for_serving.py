"""What the scoring service needs of the outside, put together."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.clock import now_ms
from pipelines.domain import Domain
from pipelines.errors import ModelError
from pipelines.features.catalog import item_columns
from pipelines.features.definitions import compile_definitions
from pipelines.io import decided, items
from pipelines.io.late_store import LateStore
from pipelines.io.outbox import Outbox
from pipelines.io.tokens import tokens
from pipelines.models import package
from pipelines.models.explanation import explain
from pipelines.models.promotion import model_cache
from pipelines.models.registry import Registry
from pipelines.serving.explaining import explained_items
from pipelines.serving.ports import Outside
from pipelines.settings import Settings


def outside(settings: Settings, domain: Domain, worker: int) -> Outside:
    """The store, Kafka, the lake and the tokens' file of these settings; `worker` tells the processes of one
    service apart."""
    definitions = compile_definitions(domain)
    return Outside(
        store=LateStore(settings, definitions),
        outbox=Outbox(settings, settings.state / "spool" / f"decisions-{worker}"),
        items_version=partial(items.version, settings),
        items=partial(items.items, settings, item_columns(definitions)),
        tokens=partial(tokens, settings),
        decided=partial(explained, settings),
        now_ms=now_ms,
    )


def explained(settings: Settings, decision_id: str) -> dict[str, Any]:
    """A decision that the lake keeps, with what its scores are made of. Raises ModelError for one that was
    not scored, or of which no features are kept."""
    found = decided.find(settings, decision_id)
    registry = Registry(settings.tracking_uri)
    ranker = package.load_ranker(registry.fetch(*found.model, model_cache(settings)))
    if lacking := found.lacking(ranker):
        raise ModelError("; ".join(lacking))
    why = explain(ranker, found.rows["item_id"].tolist(), found.features, found.logged)
    about = {
        "decision_id": decision_id,
        "as_of": int(found.scores.iloc[0]["decided_at"].timestamp() * 1000),
        "model_version": "/".join(found.model),
        "definitions_hash": ranker.definitions_hash,
        "features_from": f"gold.training_rows at version {found.rows_version}",
    }
    return about | explained_items(why)
