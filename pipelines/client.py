"""A client of the scoring service, with types and retries.

    from pipelines.client import Client

    with Client("http://127.0.0.1:8000", token="…") as shop:
        order = shop.rank("u17", items=["i1", "i2", "i3"], query="red shoes")
        shop.send({"event_id": "e1", "event_time": 1767225600000, "event_type": "click", "user_id": "u17",
                   "item_id": order.items[0].item_id, "decision_id": order.decision_id})

One client is for one thread: it keeps a connection open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pipelines.asking import Asker
from pipelines.contracts.answers import EventsAnswer, RankAnswer


class Client(Asker):
    """Asks one scoring service, see `Asker`; a repeated event counts once."""

    def rank(
        self,
        user_id: str,
        items: Sequence[str] | None = None,
        candidates: int | None = None,
        **more: Any,
    ) -> RankAnswer:
        """An order for these items, or for so many candidates of the service's own choice; `more` are
        session_id, query, context and explore."""
        asked = {"user_id": user_id, "items": items, "candidates": candidates, **more}
        return self.ask("POST", "/rank", {k: v for k, v in asked.items() if v is not None}, RankAnswer)

    def send(self, *events: Mapping[str, Any]) -> EventsAnswer:
        """Events, as the domain's records; the service has them when this returns."""
        return self.ask("POST", "/events", list(events), EventsAnswer, also=422)

    def user(self, user_id: str) -> dict[str, Any]:
        """What is known of a user."""
        return self.ask("GET", f"/users/{quote(user_id, safe='')}", None, dict[str, Any])

    def explain(self, decision_id: str) -> dict[str, Any]:
        """Why a decision's items got their scores."""
        return self.ask("GET", f"/decisions/{quote(decision_id, safe='')}/explain", None, dict[str, Any])
