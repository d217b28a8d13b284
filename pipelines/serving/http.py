"""The service over HTTP: routes, limits, who may ask, and what is said of a request afterwards (RSGI)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pipelines.errors import LakePulseError, RequestError, nearest
from pipelines.serving import openapi
from pipelines.serving.access import Access, Rates
from pipelines.serving.decisions import Decision
from pipelines.serving.requests import encoded, rank_request
from pipelines.serving.service import Service

log = logging.getLogger("lakepulse.access")
JSON, TEXT, HTML = "application/json", "text/plain; version=0.0.4; charset=utf-8", "text/html; charset=utf-8"
REASONS = {401: [("www-authenticate", "Bearer")]}
MOST_LINES = 10_000
ROOM = {"events": 16}
"""How many times as many requests of a scope may wait: events wait for Kafka, not for this process."""


@dataclass(frozen=True)
class Answer:
    """A status, a body and its type; for a ranking the decision that is logged after it was sent."""

    status: int
    body: bytes
    kind: str = JSON
    decision: Decision | None = None


Handler = Callable[[Any, Any, str], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """What answers, and the scope that a client needs; None: anybody."""

    name: str
    handler: Handler
    scope: str | None


class App:
    """The application. `is_ready`, `health` and `rollback` are the keeper's, see `keeper`."""

    def __init__(
        self,
        service: Service,
        access: Access,
        is_ready: Callable[[], str],
        health: Callable[[], dict[str, Any]],
        rollback: Callable[[], dict[str, Any]],
    ) -> None:
        """`is_ready` says why not, or nothing."""
        self.service, self.access = service, access
        self._is_ready, self._health, self._rollback = is_ready, health, rollback
        serving = service.settings.serving
        self._rates = Rates(serving.rate_per_client)
        self._most_bytes, self._most_waiting = serving.max_body_bytes, serving.max_waiting
        self._budget_s = serving.budget_ms / 1000
        self._lines: list[str] | None = [] if serving.access_log else None
        self.waiting: Counter[str | None] = Counter()
        self._fixed = {
            ("POST", "/rank"): Route("/rank", self._rank, "rank"),
            ("POST", "/events"): Route("/events", self._events, "events"),
            ("GET", "/health"): Route("/health", self._show_health, None),
            ("GET", "/ready"): Route("/ready", self._show_ready, None),
            ("GET", "/metrics"): Route("/metrics", self._show_metrics, None),
            ("GET", "/openapi.json"): Route("/openapi.json", self._show_openapi, None),
            ("GET", "/docs"): Route("/docs", self._show_docs, None),
            ("GET", "/"): Route("/docs", self._show_docs, None),
            ("POST", "/admin/rollback"): Route("/admin/rollback", self._roll_back, "admin"),
        }
        self._user = Route("/users/{id}", self._show_user, "rank")
        self._explain = Route("/decisions/{id}/explain", self._show_explanation, "rank")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        if scope.proto != "http":
            protocol.close(404)
            return
        began = time.perf_counter()
        name, client = "unknown", ""
        try:
            route = self._route(scope.method, scope.path)
            name = route.name
            client = self._admitted(scope, route, began)
            answer = await self._handled(route, scope, protocol, client)
            protocol.response_bytes(answer.status, [("content-type", answer.kind)], answer.body)
            status = answer.status
            if answer.decision is not None:
                self.service.log(answer.decision)
        except RequestError as problem:
            status = self._refuse(protocol, problem)
        except LakePulseError as problem:
            logging.getLogger("lakepulse").error("%s cannot be answered: %s", name, problem)
            status = self._refuse(protocol, RequestError(503, str(problem), 1))
        took = time.perf_counter() - began
        self.service.metrics.time(name, status, took)
        if self._lines is not None and len(self._lines) < MOST_LINES:
            self._lines.append(f"{name} {status} {took * 1000:.2f} ms {client or '-'}")

    async def _handled(self, route: Route, scope: Any, protocol: Any, client: str) -> Answer:
        self.waiting[route.scope] += 1
        try:
            return await route.handler(scope, protocol, client)
        finally:
            self.waiting[route.scope] -= 1

    def write_lines(self) -> None:
        """Write the access log's lines since the last call."""
        if self._lines:
            log.info("%s", "\n".join(self._lines))
            self._lines.clear()

    def _route(self, method: str, path: str) -> Route:
        route = self._fixed.get((method, path))
        if route is not None:
            return route
        parts = path.split("/")
        found: Route | None = None
        if len(parts) == 3 and parts[1] == "users" and parts[2]:
            found = self._user
        elif len(parts) == 4 and parts[1] == "decisions" and parts[2] and parts[3] == "explain":
            found = self._explain
        if found is not None and method == "GET":
            return found
        methods = [known for known, where in self._fixed if where == path] or (["GET"] if found else [])
        if methods:
            raise RequestError(405, f"{path} takes {', '.join(methods)}, not {method}")
        known_paths = [where for _, where in self._fixed]
        raise RequestError(404, f"there is no {path}{nearest(path, known_paths)}; see /docs")

    def _admitted(self, scope: Any, route: Route, began: float) -> str:
        """The client's name. Raises RequestError for one that may not ask this, or not now."""
        if route.scope is None:
            return ""
        waiting, most = self.waiting[route.scope], self._most_waiting * ROOM.get(route.scope, 1)
        if waiting >= most:
            self.service.metrics.count("shed_total", (("why", "waiting"),))
            raise RequestError(503, f"{most} requests wait already", 1)
        client = self.access.check(scope.headers.get("authorization"), route.scope)
        self._rates.take(client or scope.client.rpartition(":")[0], began)
        return client

    def _refuse(self, protocol: Any, problem: RequestError) -> int:
        headers = [("content-type", JSON), *REASONS.get(problem.status, [])]
        if problem.retry_after_s is not None:
            headers.append(("retry-after", str(problem.retry_after_s)))
        body = encoded({"error": str(problem), "status": problem.status})
        protocol.response_bytes(problem.status, headers, body)
        return problem.status

    async def _body(self, scope: Any, protocol: Any) -> bytes:
        length = scope.headers.get("content-length")
        if length is not None and length.isdigit():
            if int(length) > self._most_bytes:
                raise self._too_large(int(length))
            return bytes(await protocol())
        found = bytearray()
        async for chunk in protocol:
            found += chunk
            if len(found) > self._most_bytes:
                raise self._too_large(len(found))
        return bytes(found)

    def _too_large(self, size: int) -> RequestError:
        return RequestError(413, f"the body has {size} bytes or more, {self._most_bytes} are taken")

    async def _rank(self, scope: Any, protocol: Any, client: str) -> Answer:
        came = time.perf_counter()
        body = await self._body(scope, protocol)
        asked = rank_request(body)
        if time.perf_counter() - came > self._budget_s:
            self.service.metrics.count("shed_total", (("why", "budget"),))
            raise RequestError(503, "this request waited longer than its time budget", 1)
        answer, decision = self.service.rank(asked)
        return Answer(200, encoded(answer), decision=decision)

    async def _events(self, scope: Any, protocol: Any, client: str) -> Answer:
        answer = await self.service.events(await self._body(scope, protocol))
        return Answer(202 if answer.accepted else 422, encoded(answer))

    async def _show_user(self, scope: Any, protocol: Any, client: str) -> Answer:
        return Answer(200, encoded(self.service.user(unquote(scope.path.split("/")[2]))))

    async def _show_explanation(self, scope: Any, protocol: Any, client: str) -> Answer:
        decision_id = unquote(scope.path.split("/")[2])
        return Answer(200, encoded(await asyncio.to_thread(self.service.explain, decision_id)))

    async def _show_health(self, scope: Any, protocol: Any, client: str) -> Answer:
        return Answer(200, encoded(self._health()))

    async def _show_ready(self, scope: Any, protocol: Any, client: str) -> Answer:
        if why_not := self._is_ready():
            raise RequestError(503, why_not, 1)
        return Answer(200, encoded({"ready": True}))

    async def _show_metrics(self, scope: Any, protocol: Any, client: str) -> Answer:
        self.service.metrics.gauge("accepted_users", len(self.service.accepted))
        text = self.service.metrics.text(self.service.outside.outbox.counts())
        return Answer(200, text.encode(), TEXT)

    async def _show_openapi(self, scope: Any, protocol: Any, client: str) -> Answer:
        return Answer(200, encoded(openapi.document()))

    async def _show_docs(self, scope: Any, protocol: Any, client: str) -> Answer:
        return Answer(200, openapi.page().encode(), HTML)

    async def _roll_back(self, scope: Any, protocol: Any, client: str) -> Answer:
        return Answer(200, encoded(await asyncio.to_thread(self._rollback)))
