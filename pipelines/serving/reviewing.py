"""The review page's service over HTTP: the queue, an incident and why, verdicts, silences,
precision."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import parse_qs

import msgspec

from pipelines.anomalies.desk import Desk, Filters
from pipelines.errors import LakePulseError, RequestError, SettingsError
from pipelines.sections import Serving
from pipelines.serving import refusals
from pipelines.serving.access import Access, Rates
from pipelines.serving.exchange import JSON, Answer, Asked
from pipelines.serving.requests import encoded, explained
from pipelines.serving.routes import Routes

log = logging.getLogger("lakepulse.access")
SCOPE = "review"
LONGEST = 200
HTML = "text/html; charset=utf-8"
PLAIN = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
Name = Annotated[str, msgspec.Meta(max_length=LONGEST)]
Rows = list[dict[str, Any]]
Read = TypeVar("Read", bound=msgspec.Struct)


class Review(msgspec.Struct, forbid_unknown_fields=True):
    """A verdict. `key` tells a repeat of this request from another one; `reviewer` is taken only where no
    tokens are asked for."""

    verdict: Name
    reason: str = ""
    reviewer: Name = ""
    key: Name = ""


class Assignment(msgspec.Struct, forbid_unknown_fields=True):
    """Who shall look at an incident; an empty text: nobody in particular."""

    to: Name = ""
    reviewer: Name = ""
    key: Name = ""


class Silencing(msgspec.Struct, forbid_unknown_fields=True):
    """What nobody is to hear of for so many hours, and why."""

    matchers: dict[str, Name]
    hours: float
    why: Annotated[str, msgspec.Meta(max_length=2000)]
    reviewer: Name = ""
    key: Name = ""


class Lake(Protocol):
    """What the desk needs of the outside, as the job hands it in."""

    def desk(self) -> Desk:
        """Alerts and reviews as they are now."""

    def around(self, alert: Mapping[str, Any]) -> dict[str, Any]:
        """What else is known of an incident: events of its first entity, the series of its metric."""

    def of_entity(self, entity: str, entity_id: str) -> dict[str, Any]:
        """What is known of an entity: its incidents, its last windows."""

    def review(self, incident_id: str, verdict: str, reason: str, reviewer: str, key: str) -> dict[str, Any]:
        """Keep a verdict, once for a key; what `expected` silences comes back too. Raises RequestError."""

    def assign(self, incident_id: str, to: str, reviewer: str, key: str) -> dict[str, Any]:
        """Keep whose an incident is. Raises RequestError."""

    def silences(self) -> Rows:
        """Silences that have not ended."""

    def silence(
        self, matchers: Mapping[str, str], hours: float, why: str, by: str, key: str
    ) -> dict[str, Any]:
        """Begin a silence, once for a key. Raises SettingsError for one that cannot be."""

    def end_silence(self, silence_id: str) -> dict[str, Any]:
        """End a silence. Raises RequestError 404 for an unknown one."""


@dataclass(frozen=True)
class Page:
    """The one page, and what a browser may run of it."""

    content: bytes
    policy: str


Query = Mapping[str, str]
Handler = Callable[[str, Query, bytes, str], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was let in: what answers it, the part of its path that names something, who asks."""

    asked: Asked
    handler: Handler
    named: str
    client: str


class ReviewApp:
    """The application; see `exchange.Application`."""

    def __init__(self, lake: Lake, page: Page, access: Access, serving: Serving, host: str) -> None:
        self._lake, self._page, self.access, self._host = lake, page, access, host
        self._rates = Rates(serving.rate_per_client)
        self.most_bytes, self._has_log = serving.max_body_bytes, serving.access_log
        self._open = ("/", "/health", "/ready")
        self._routes: Routes[Handler] = Routes(
            {
                "/": {"GET": self._show},
                "/health": {"GET": self._well},
                "/ready": {"GET": self._well},
                "/alerts": {"GET": self._queue},
                "/alerts/{id}": {"GET": self._alert},
                "/alerts/{id}/review": {"POST": self._review},
                "/alerts/{id}/assign": {"POST": self._assign},
                "/entities": {"GET": self._entity},
                "/silences": {"GET": self._silences, "POST": self._silence},
                "/silences/{id}": {"DELETE": self._end_silence},
                "/precision": {"GET": self._precision},
            }
        )

    def begin(self, asked: Asked) -> Ticket | Answer:
        """Let the request in, or refuse it."""
        try:
            self._check_host(asked)
            path, handler, named = self._routes.find(asked.method, asked.path)
            if path in self._open:
                return Ticket(asked, handler, "", "")
            client = self.access.check(asked.header("authorization"), SCOPE)
            self._rates.take(client or asked.client, asked.came)
            kind = (asked.header("content-type") or "").partition(";")[0].strip()
            if asked.method == "POST" and kind != JSON:
                raise RequestError(415, f"send JSON (content-type: {JSON}), not {kind or 'nothing'}")
            return Ticket(asked, handler, named, client)
        except RequestError as problem:
            refused = refusals.refusal(problem, PLAIN)
            self._note(asked, refused.status, "")
            return refused

    def too_large(self, ticket: Ticket, size: int) -> Answer:
        """The refusal of a body of that many bytes or more."""
        return refusals.too_large(size, self.most_bytes, PLAIN)

    async def answer(self, ticket: Ticket) -> Answer:
        """The answer to what was let in."""
        given = {name: values[-1] for name, values in parse_qs(ticket.asked.query).items()}
        try:
            return await ticket.handler(ticket.named, given, ticket.asked.body, ticket.client)
        except SettingsError as problem:
            return refusals.refusal(RequestError(422, str(problem)), PLAIN)
        except LakePulseError as problem:
            return refusals.failure(problem, ticket.asked.path, PLAIN)

    def finish(self, ticket: Ticket, answer: Answer) -> None:
        """Note what became of it."""
        self._note(ticket.asked, answer.status, ticket.client)

    def abandon(self, ticket: Ticket) -> None:
        """Nobody waits for the answer any longer."""

    def _note(self, asked: Asked, status: int, client: str) -> None:
        if self._has_log:
            took = (time.perf_counter() - asked.came) * 1000
            word = asked.path.strip("/").partition("/")[0]  # nothing of an id
            log.info("%s /%s %d %.1f ms %s", asked.method, word, status, took, client or "-")

    def _check_host(self, asked: Asked) -> None:
        """Without tokens, answer only who has asked this machine by its own name: no page of another site can
        make a browser do that."""
        host = asked.header("host") or ""
        name, _, port = host.rpartition(":")
        if not port.isdigit():
            name = host
        if self.access.tokens is None and name not in (*LOOPBACK, self._host):
            raise RequestError(403, f"this service is not {name!r}: ask for {self._host}, or set tokens")

    async def _show(self, *_: Any) -> Answer:
        headers = (*PLAIN, ("content-security-policy", self._page.policy), ("referrer-policy", "no-referrer"))
        return Answer(200, self._page.content, HTML, headers)

    async def _well(self, *_: Any) -> Answer:
        return Answer(200, encoded({"status": "ok"}), headers=PLAIN)

    async def _queue(self, _: str, asked: Query, __: bytes, client: str) -> Answer:
        names = ("state", "kind", "level", "assigned")
        given = {name: asked[name] for name in names if name in asked}
        filters = Filters(**given, text=asked.get("q", ""), all=asked.get("all") == "1")
        reviewer, limit = client or asked.get("reviewer", ""), asked.get("limit", "200")
        if not limit.isdigit():
            raise RequestError(400, f"limit is a number, not {limit!r}")

        def work() -> dict[str, Any]:
            rows = self._lake.desk().queue(filters, reviewer)
            return {"alerts": rows[: int(limit)], "found": len(rows), "reviewer": client}

        return await _answer(work)

    async def _alert(self, incident_id: str, *_: Any) -> Answer:
        def work() -> dict[str, Any]:
            desk = self._lake.desk()
            found = desk.detail(incident_id)
            return found | self._lake.around(found)

        return await _answer(work)

    async def _review(self, incident_id: str, _: Any, body: bytes, client: str) -> Answer:
        asked = _read(body, Review)
        who, about = self._who(client, asked.reviewer), (asked.verdict, asked.reason)
        return await _answer(lambda: self._lake.review(incident_id, *about, who, asked.key), 201)

    async def _assign(self, incident_id: str, _: Any, body: bytes, client: str) -> Answer:
        asked = _read(body, Assignment)
        who = self._who(client, asked.reviewer)
        return await _answer(lambda: self._lake.assign(incident_id, asked.to, who, asked.key), 201)

    async def _entity(self, _: str, asked: Query, *__: Any) -> Answer:
        entity, entity_id = asked.get("entity", ""), asked.get("id", "")
        if not entity or not entity_id:
            raise RequestError(400, "name an entity: /entities?entity=user&id=u17")
        return await _answer(lambda: self._lake.of_entity(entity, entity_id))

    async def _silences(self, *_: Any) -> Answer:
        return await _answer(lambda: {"silences": self._lake.silences()})

    async def _silence(self, _: Any, __: Any, body: bytes, client: str) -> Answer:
        asked = _read(body, Silencing)
        who = self._who(client, asked.reviewer)
        about = (asked.matchers, asked.hours, asked.why, who, asked.key)
        return await _answer(lambda: self._lake.silence(*about), 201)

    async def _end_silence(self, silence_id: str, *_: Any) -> Answer:
        return await _answer(lambda: self._lake.end_silence(silence_id))

    async def _precision(self, *_: Any) -> Answer:
        return await _answer(lambda: self._lake.desk().figures())

    def _who(self, client: str, named: str) -> str:
        """The reviewer: whose token it is; where no tokens are asked for, who it says."""
        return client or named.strip() or "somebody"


async def _answer(work: Callable[[], dict[str, Any]], status: int = 200) -> Answer:
    return Answer(status, encoded(await asyncio.to_thread(work)), headers=PLAIN)


def _read(body: bytes, kind: type[Read]) -> Read:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as problem:
        raise RequestError(400, explained(str(problem), kind)) from None
    except (UnicodeDecodeError, RecursionError) as problem:
        raise RequestError(400, f"the body is not JSON that can be read: {problem}") from None
