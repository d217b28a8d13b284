"""The service over HTTP: routes, limits, who may ask, and what is said of a request afterwards."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from pipelines.errors import LakePulseError, RequestError
from pipelines.serving import openapi, refusals
from pipelines.serving.access import Access, Rates
from pipelines.serving.exchange import Answer, Asked
from pipelines.serving.requests import encoded, rank_request
from pipelines.serving.routes import Routes
from pipelines.serving.service import Service

log = logging.getLogger("lakepulse.access")
TEXT, HTML = "text/plain; version=0.0.4; charset=utf-8", "text/html; charset=utf-8"
MOST_LINES = 10_000
BUDGET = b"x-budget-ms"
"""Header in which a client says how many milliseconds it still waits for a ranking."""
SLOWLY = 0.05
"""Weight of the newest ranking in the time that one is expected to take."""
WAITING = 0.5
"""Share of its budget that a ranking may wait here: under overload the queue is as long as it may be, and
what is not seen here, sockets and the way back, needs the rest."""
ROOM = {"events": 16}
"""How many times as many requests of a scope may wait: events wait for Kafka, not for this process."""


Handler = Callable[["Ticket"], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """What answers, and the scope that a client needs; None: anybody."""

    handler: Handler
    scope: str | None


class Ticket(msgspec.Struct, frozen=True):
    """A request that was let in: the path of its route, the part of its own that names something."""

    path: str
    route: Route
    named: str
    asked: Asked
    client: str


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
        self.most_bytes, self._most_waiting = serving.max_body_bytes, serving.max_waiting
        self._budget_s, self._each_s = serving.budget_ms / 1000, 0.0
        self._lines: list[str] | None = [] if serving.access_log else None
        self.waiting: Counter[str | None] = Counter()
        docs = {"GET": Route(self._show_docs, None)}
        self._routes = Routes(
            {
                "/rank": {"POST": Route(self._rank, "rank")},
                "/events": {"POST": Route(self._events, "events")},
                "/users/{id}": {"GET": Route(self._show_user, "rank")},
                "/decisions/{id}/explain": {"GET": Route(self._show_explanation, "rank")},
                "/admin/rollback": {"POST": Route(self._roll_back, "admin")},
                "/health": {"GET": Route(self._show_health, None)},
                "/ready": {"GET": Route(self._show_ready, None)},
                "/metrics": {"GET": Route(self._show_metrics, None)},
                "/openapi.json": {"GET": Route(self._show_openapi, None)},
                "/docs": docs,
                "/": docs,
            }
        )

    def begin(self, asked: Asked) -> Ticket | Answer:
        """Let the request in, or refuse it."""
        name = "unknown"
        try:
            name, route, named = self._routes.find(asked.method, asked.path)
            client = self._admitted(asked, route)
        except RequestError as problem:
            refused = refusals.refusal(problem)
            self._note(name, refused.status, asked, "")
            return refused
        self.waiting[route.scope] += 1
        return Ticket(name, route, named, asked, client)

    def too_large(self, ticket: Ticket, size: int) -> Answer:
        """The refusal of a body of that many bytes or more."""
        return refusals.too_large(size, self.most_bytes)

    def answer(self, ticket: Ticket) -> Answer | Awaitable[Answer]:
        """The answer to what was let in."""
        try:
            found = ticket.route.handler(ticket)
        except LakePulseError as problem:
            return refusals.failure(problem, ticket.path)
        return found if isinstance(found, Answer) else self._awaited(found, ticket)

    async def _awaited(self, coming: Awaitable[Answer], ticket: Ticket) -> Answer:
        try:
            return await coming
        except LakePulseError as problem:
            return refusals.failure(problem, ticket.path)

    def finish(self, ticket: Ticket, answer: Answer) -> None:
        """Note what became of it, and do what was to come after the answer."""
        self.waiting[ticket.route.scope] -= 1
        if answer.after is not None:
            answer.after()
        self._note(ticket.path, answer.status, ticket.asked, ticket.client)

    def abandon(self, ticket: Ticket) -> None:
        """Nobody waits for the answer any longer."""
        self.waiting[ticket.route.scope] -= 1

    def _note(self, name: str, status: int, asked: Asked, client: str) -> None:
        took = time.perf_counter() - asked.came
        self.service.metrics.time(name, status, took)
        if self._lines is not None and len(self._lines) < MOST_LINES:
            self._lines.append(f"{name} {status} {took * 1000:.2f} ms {client or '-'}")

    def write_lines(self) -> None:
        """Write the access log's lines since the last call."""
        if self._lines:
            log.info("%s", "\n".join(self._lines))
            self._lines.clear()

    def _admitted(self, asked: Asked, route: Route) -> str:
        """The client's name. Raises RequestError for one that may not ask this, or not now."""
        if route.scope is None:
            return ""
        waiting, most = self.waiting[route.scope], self._most_waiting * ROOM.get(route.scope, 1)
        if waiting >= most:
            self.service.metrics.count("shed_total", (("why", "waiting"),))
            raise RequestError(503, f"{most} requests wait already", 1)
        if route.scope == "rank":
            self._check_time(waiting * self._each_s / WAITING, self._budget_of(asked))
        client = self.access.check(asked.header("authorization"), route.scope)
        self._rates.take(client or asked.client, asked.came)
        return client

    def _budget_of(self, asked: Asked) -> float:
        """Seconds that a ranking may take: ours, or those of its client where these are fewer."""
        theirs = asked.headers.get(BUDGET)
        if theirs is None or not theirs.isdigit():
            return self._budget_s
        return min(self._budget_s, int(theirs) / 1000)

    def _check_time(self, takes_s: float, budget_s: float) -> None:
        """Raise RequestError 503 for an answer that would come after the budget."""
        if takes_s > budget_s:
            self.service.metrics.count("shed_total", (("why", "budget"),))
            raise RequestError(503, f"the answer would take longer than {budget_s * 1000:.0f} ms", 1)

    def _rank(self, ticket: Ticket) -> Answer:
        asked, began = ticket.asked, time.perf_counter()
        each_s, self._each_s = self._each_s, self._each_s * (1 - SLOWLY)  # one that is refused is no proof
        self._check_time(began - asked.complete + each_s, self._budget_of(asked))
        answer, decision = self.service.rank(rank_request(asked.body))
        self._each_s = each_s + SLOWLY * (time.perf_counter() - began - each_s)
        return Answer(200, encoded(answer), after=partial(self.service.log, decision))

    async def _events(self, ticket: Ticket) -> Answer:
        answer = await self.service.events(ticket.asked.body)
        return Answer(202 if answer.accepted else 422, encoded(answer))

    def _show_user(self, ticket: Ticket) -> Answer:
        return Answer(200, encoded(self.service.user(ticket.named)))

    async def _show_explanation(self, ticket: Ticket) -> Answer:
        return Answer(200, encoded(await asyncio.to_thread(self.service.explain, ticket.named)))

    def _show_health(self, ticket: Ticket) -> Answer:
        return Answer(200, encoded(self._health()))

    def _show_ready(self, ticket: Ticket) -> Answer:
        if why_not := self._is_ready():
            raise RequestError(503, why_not, 1)
        return Answer(200, encoded({"ready": True}))

    def _show_metrics(self, ticket: Ticket) -> Answer:
        self.service.metrics.gauge("accepted_users", len(self.service.accepted))
        text = self.service.metrics.text(self.service.outside.outbox.counts())
        return Answer(200, text.encode(), TEXT)

    def _show_openapi(self, ticket: Ticket) -> Answer:
        return Answer(200, encoded(openapi.document()))

    def _show_docs(self, ticket: Ticket) -> Answer:
        return Answer(200, openapi.page().encode(), HTML)

    async def _roll_back(self, ticket: Ticket) -> Answer:
        return Answer(200, encoded(await asyncio.to_thread(self._rollback)))
