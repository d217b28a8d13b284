"""The service without HTTP: what each request comes to, and what happens between requests."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from functools import partial
from typing import Any

import msgspec

from pipelines.contracts.answers import EventsAnswer, RankAnswer, RankedItem
from pipelines.contracts.records import CONTEXT
from pipelines.domain import Domain
from pipelines.errors import LakePulseError, ModelError, RequestError
from pipelines.features.carriers import Request
from pipelines.features.definitions import compile_definitions
from pipelines.serving import engine as engines
from pipelines.serving.accepted import Accepted, Taken
from pipelines.serving.decisions import Decision, DecisionWriter, feature_message
from pipelines.serving.engine import Engine
from pipelines.serving.explaining import explained_decision, user_state
from pipelines.serving.exploring import explored
from pipelines.serving.in_charge import InCharge
from pipelines.serving.intake import Event, Intake, decided
from pipelines.serving.metrics import Metrics
from pipelines.serving.ports import Outside
from pipelines.serving.ranking import FEWER_CANDIDATES, Ranked
from pipelines.serving.requests import RankRequest
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")
OWN_FIELDS = frozenset({"source", "device_id", "ip_hash"})
assert CONTEXT.keys() >= OWN_FIELDS
Explainable = tuple[Decision, InCharge]


class Service:
    """Answers requests of one domain, in one process; everything but `replace` runs in its event loop."""

    def __init__(self, domain: Domain, settings: Settings, outside: Outside, worker: int = 0) -> None:
        """Raises DomainError for a domain that cannot be served."""
        self.domain, self.settings, self.outside = domain, settings, outside
        self.definitions = compile_definitions(domain)
        self.intake = Intake(domain, settings.silver, self.definitions.events)
        self.writer = DecisionWriter(domain)
        self.accepted = Accepted(settings.serving.accepted_events)
        self.metrics = Metrics(worker)
        self.engine: Engine | None = None
        self._decisions: OrderedDict[str, Explainable] = OrderedDict()
        self._every = round(1 / share) if (share := settings.serving.features_share) else 0
        self._count = 0

    def ready(self) -> Engine:
        """The engine. Raises RequestError 503 while no version has been in charge."""
        if self.engine is None:
            raise RequestError(
                503, "no ranker has been promoted yet, or none is loaded: train one and promote it", 5
            )
        return self.engine

    def rank(self, asked: RankRequest) -> tuple[RankAnswer, Decision]:
        """The answer, and the decision that is to be logged once it is on its way."""
        engine, now = self.ready(), self.outside.now_ms()
        items, degraded = self._items(engine, asked, now)
        request = Request(asked.user_id, items, now, asked.query)
        ranked = engine.ranking.rank(request, self.outside.store, self.accepted)
        decision = self._explored(self._decision(engine, asked, ranked, now), asked)
        degraded += ranked.degraded
        for what in degraded:
            self.metrics.count("degraded_total", (("what", what),))
        self.metrics.count("ranked_items_total", by=len(items))
        listed = list(map(RankedItem, decision.items, decision.scores.tolist()))
        version = f"{decision.model_name}/{decision.model_version}"
        return RankAnswer(decision.decision_id, version, listed, degraded), decision

    def _items(self, engine: Engine, asked: RankRequest, now: int) -> tuple[list[str], list[str]]:
        if asked.items is not None:
            return list(dict.fromkeys(asked.items)), []
        count = asked.candidates or 0
        nothing = Request(asked.user_id, [], now)
        records = engine.ranking.records(nothing, self.outside.store, self.accepted).records
        found = engine.candidates.choose(asked.user_id, count, records)
        if not found:
            raise RequestError(503, "the catalog is empty, so there are no candidates: send items", 5)
        return found, [FEWER_CANDIDATES] if len(found) < count else []

    def _decision(self, engine: Engine, asked: RankRequest, ranked: Ranked, now: int) -> Decision:
        return Decision(
            decision_id=f"{now:012x}{secrets.token_hex(10)}",
            user_id=asked.user_id,
            as_of=now,
            items=ranked.items,
            scores=ranked.scores,
            features=ranked.features,
            model_name=engine.model.name,
            model_version=engine.model.version,
            definitions_hash=self.definitions.hash,
            fences=ranked.fences,
            session_id=asked.session_id,
            query=asked.query,
            context=asked.context or {},
        )

    def _explored(self, decision: Decision, asked: RankRequest) -> Decision:
        share = self.settings.serving.explore_share
        if not share or asked.explore is False:
            return decision
        order = explored(len(decision.items), share, decision.decision_id)
        return msgspec.structs.replace(
            decision,
            items=[decision.items[place] for place in order.order],
            scores=decision.scores[order.order],
            features=decision.features[order.order],
            propensity=order.propensity,
            explored=order.by_chance,
        )

    def log(self, decision: Decision) -> None:
        """Send the decision on its way to Kafka, count it as the user's past, and keep it to be explained."""
        about = (decision.user_id, decision.decision_id, decision.items, decision.query, decision.as_of)
        taken = Taken(partial(decided, *about), "interactions")
        self.accepted.take(decision.user_id, taken)
        key = decision.user_id.encode()
        outbox = self.outside.outbox
        outbox.decide(key, self.writer.record(decision), decision.as_of, partial(_place, taken))
        self._count += 1
        if self._every and self._count % self._every == 0:
            value = feature_message(decision)
            outbox.feature_values(decision.decision_id.encode(), value, decision.as_of)
        if self.engine is not None:
            self._decisions[decision.decision_id] = (decision, self.engine.model)
            if len(self._decisions) > self.settings.serving.remembered_decisions:
                self._decisions.popitem(last=False)

    async def events(self, body: bytes) -> EventsAnswer:
        """Take events: the good ones are Kafka's when this returns, and change the user's next list. Raises
        RequestError 503 when Kafka does not take one of them: the request can be repeated, ids make sure that
        nothing counts twice."""
        now = self.outside.now_ms()
        good, bad = self.intake.judge(body, now)
        loop = asyncio.get_running_loop()
        waiting = []
        for event in good:
            done: asyncio.Future[Heard] = loop.create_future()
            hear = partial(_hear, loop, done)
            self.outside.outbox.send(event.topic, event.key.encode(), event.value, now, hear)
            waiting.append(done)
        heard = await asyncio.gather(*waiting)
        for event, (problem, partition, offset) in zip(good, heard, strict=True):
            if problem is None:
                self._take(event, partition, offset, now)
        problems = [problem for problem, _, _ in heard if problem is not None]
        self.metrics.count("events_total", (("became", "accepted"),), len(good) - len(problems))
        self.metrics.count("events_total", (("became", "rejected"),), len(bad))
        self.metrics.count("events_total", (("became", "undelivered"),), len(problems))
        if problems:
            raise RequestError(503, f"Kafka did not take {len(problems)} of the events: {problems[0]}", 1)
        return EventsAnswer(len(good), bad)

    def _take(self, event: Event, partition: int, offset: int, now: int) -> None:
        history = partial(self.intake.history, event, now)
        self.accepted.take(event.key, Taken(history, event.topic, partition, offset))

    def user(self, user_id: str) -> dict[str, Any]:
        """What is known of a user."""
        ranking = self.ready().ranking
        return user_state(ranking, user_id, self.outside.store, self.accepted, self.outside.now_ms())

    def remembered(self, decision_id: str) -> Explainable | None:
        """The decision, when it is one of the newest of this process."""
        return self._decisions.get(decision_id)

    def explain(self, decision_id: str) -> dict[str, Any]:
        """Why a decision's items got their scores: from memory, otherwise from the lake. Raises RequestError
        404 for a decision that nobody knows. May take long: not for the event loop."""
        if (known := self.remembered(decision_id)) is not None:
            return explained_decision(*known)
        try:
            return dict(self.outside.decided(decision_id))
        except ModelError as problem:
            raise RequestError(404, str(problem)) from None

    def build(self, model: InCharge) -> Engine:
        """An engine of this model and the catalog as it is now. Slow: not for the event loop."""
        items = self.outside.items()
        sizes = engines.WARM if self.engine is None else engines.AGAIN
        return engines.build(model, items, self.definitions, self.outside.now_ms(), sizes)

    def replace(self, engine: Engine) -> None:
        """Answer with this engine from the next request on."""
        before, self.engine = self.engine, engine
        self.metrics.drop("model_version")
        labels = (("model", engine.model.name), ("version", engine.model.version))
        self.metrics.gauge("model_version", 1, labels)
        if before is None or before.model.version != engine.model.version:
            log.info("%s: version %s ranks from now on", engine.model.name, engine.model.version)

    async def refresh_popular(self, pause_s: float, at_once: int = 100) -> None:
        """Look through the catalog for what is popular, a little at a time."""
        engine = self.engine
        if engine is None:
            return
        found: dict[str, float] = {}
        ids = engine.candidates.ids
        for start in range(0, len(ids), at_once):
            part = ids[start : start + at_once]
            request = Request("", part, self.outside.now_ms())
            try:
                outcomes = engine.ranking.outcomes(request, self.outside.store)
            except LakePulseError as problem:
                log.warning("what is popular is not known now: %s", problem)
                return
            found.update(zip(part, outcomes, strict=True))
            await asyncio.sleep(pause_s)
        engine.candidates.learn_popular(found)


def _place(taken: Taken, problem: str | None, partition: int, offset: int) -> None:
    if problem is None:
        taken.partition, taken.offset = partition, offset


Heard = tuple[str | None, int, int]


def _hear(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[Heard],
    problem: str | None,
    partition: int,
    offset: int,
) -> None:
    loop.call_soon_threadsafe(_settle, done, (problem, partition, offset))


def _settle(done: asyncio.Future[Heard], heard: Heard) -> None:
    if not done.done():
        done.set_result(heard)
