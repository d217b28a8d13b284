"""A client of the scoring service, with types and retries.

    from pipelines.client import Client

    with Client("http://127.0.0.1:8000", token="…") as shop:
        order = shop.rank("u17", items=["i1", "i2", "i3"], query="red shoes")
        shop.send({"event_id": "e1", "event_time": 1767225600000, "event_type": "click", "user_id": "u17",
                   "item_id": order.items[0].item_id, "decision_id": order.decision_id})

One client is for one thread: it keeps a connection open.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from pipelines.contracts.answers import EventsAnswer, RankAnswer
from pipelines.errors import RequestError, StackError

Kind = TypeVar("Kind")
AGAIN = (429, 503)


class Client:
    """Asks one service. Every method raises RequestError for what the service refuses, and StackError when it
    does not answer after `tries`."""

    def __init__(
        self,
        address: str,
        token: str = "",
        timeout_s: float = 5.0,
        tries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`address` as in http://127.0.0.1:8000. What can be answered later (429, 503, no answer) is asked
        again, at most `tries` times in all; a repeated event counts once. `context` says whom to trust at an
        https address; without one, whom this machine trusts. Raises StackError for another kind of address.
        """
        parts = urlsplit(address)
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
        elif parts.scheme == "http":
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
        else:
            raise StackError(f"{address!r} is no address of a service: write http://host:port or https://…")
        self._address, self._tries, self._sleep = address, tries, sleep
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Client:
        """The client itself; its connection is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        return self._ask("POST", "/rank", {k: v for k, v in asked.items() if v is not None}, RankAnswer)

    def send(self, *events: Mapping[str, Any]) -> EventsAnswer:
        """Events, as the domain's records; the service has them when this returns."""
        return self._ask("POST", "/events", list(events), EventsAnswer)

    def user(self, user_id: str) -> dict[str, Any]:
        """What is known of a user."""
        return self._ask("GET", f"/users/{quote(user_id, safe='')}", None, dict[str, Any])

    def explain(self, decision_id: str) -> dict[str, Any]:
        """Why a decision's items got their scores."""
        return self._ask("GET", f"/decisions/{quote(decision_id, safe='')}/explain", None, dict[str, Any])

    def close(self) -> None:
        """Close the connection; the next question opens it again."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: Any, kind: type[Kind]) -> Kind:
        content = None if body is None else msgspec.json.encode(body)
        for left in range(self._tries - 1, -1, -1):
            try:
                self._connection.request(method, path, content, self._headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as problem:
                self._connection.close()
                if not left:
                    raise StackError(f"{self._address} does not answer: {problem}") from problem
                self._sleep(0.1)
                continue
            if answer.status not in AGAIN or not left:
                break
            self._sleep(float(answer.headers.get("retry-after") or 1))
        if answer.status >= http.client.BAD_REQUEST and not (answer.status == 422 and kind is EventsAnswer):
            told = msgspec.json.decode(text, type=dict[str, Any])
            raise RequestError(answer.status, str(told.get("error", text.decode())))
        return msgspec.json.decode(text, type=kind)
