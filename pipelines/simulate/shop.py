"""The simulated shop as a stream: slice after slice of time is played, records leave as they arrive."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np

from pipelines.simulate.catalog import Catalog
from pipelines.simulate.config import DAY_MS, HOUR_MS, THEFT, ShopConfig
from pipelines.simulate.delivery import Chunk, Delivery, Label
from pipelines.simulate.intruders import CAMPAIGN_EVENTS, Intruders
from pipelines.simulate.lists import Shelf
from pipelines.simulate.noise import with_late_and_doubled
from pipelines.simulate.people import People
from pipelines.simulate.render import Renderer
from pipelines.simulate.rows import Numbers, Rows
from pipelines.simulate.season import visit_starts
from pipelines.simulate.visits import Visits

MOST_VISITS = 4_096  # in a slice, on average: enough for numpy, little for memory
LEAST_VISITS = 256
LONGEST_SLICE_MS = 6 * HOUR_MS
REHEARSED_VISITS = 1_500

# What a random generator is for: each has its own stream, so that noise does not move what visitors do.
_CATALOG, _PEOPLE, _REHEARSAL, _TURN, _DRIFT, _CHANGE, _VISITS, _INTRUDERS, _NOISE, _BREAKAGE = range(10)
_FOUNDING = (_CATALOG, _PEOPLE, _REHEARSAL)


def records(config: ShopConfig, count: int | None = None) -> Iterator[Chunk]:
    """The shop's records without an end, or until `count` of them that are not the catalog's.

    The catalog's records come first, later ones in between. The same configuration gives the same lines,
    whatever the count.
    """
    left, lines = count, 0
    for chunk in Shop(config).chunks():
        events = len(chunk.lines) - chunk.news
        if left is not None and events >= left:
            yield _cut(chunk, chunk.news + left, before=lines)
            return
        left = None if left is None else left - events
        lines += len(chunk.lines)
        yield chunk


def _cut(chunk: Chunk, count: int, before: int) -> Chunk:
    """The first lines of a chunk that has `before` lines before it, their labels and incidents so far."""
    last = chunk.arrivals[count - 1] if count else 0
    labels = [
        label
        for label in chunk.labels
        if label.get("line", 0) <= before + count and label.get("from", 0) <= last
    ]
    return Chunk(chunk.lines[:count], chunk.arrivals[:count], labels, chunk.news)


class Shop:
    """One run of the shop, from its first moment on; its catalog and people are as of the latest chunk."""

    def __init__(self, config: ShopConfig) -> None:
        self.config = config
        self.catalog = Catalog(self._rng(_CATALOG), config)
        self.people = People(self._rng(_PEOPLE), config)
        self.intruders = Intruders(config, self.people)
        self.delivery = Delivery(config, Renderer(config.namespace, self.catalog.query_texts()))
        self.visits_per_ms = config.rate / 1000 / self._events_per_visit()
        self.sessions = self.decisions = self.events = 0

    def chunks(self) -> Iterator[Chunk]:
        """Slice after slice; everything that arrives in a slice leaves with it."""
        news = self.catalog.records(np.arange(self.config.items), self.config.start_ms)
        begin = self.config.start_ms
        for number, end in enumerate(self._slice_ends()):
            days = (end - begin) / DAY_MS
            if number:
                news = self.catalog.turn(self._rng(_TURN, number), begin, days, self.config)
                self.people.drift(self._rng(_DRIFT, number), self.config.taste_drift, days)
            self._change_tastes(begin, number)
            self.delivery.expect(self._happens(number, begin, end))
            chunk = self.delivery.leave(self._rng(_BREAKAGE, number), begin, end, news)
            yield dataclasses.replace(chunk, labels=self._incidents(begin, end) + chunk.labels)
            begin = end

    def _rng(self, purpose: int, number: int = 0) -> np.random.Generator:
        # What the shop is follows from the seed; what happens in it, from the first moment too: another start
        # is another stretch of the same customers' lives.
        moment = 0 if purpose in _FOUNDING else self.config.start_ms
        return np.random.default_rng([self.config.seed, purpose, moment, number])

    def _slice_ends(self) -> Iterator[int]:
        """Ends of the slices: a visit per customer on average, and never across a change of taste."""
        visits = min(max(self.config.users, LEAST_VISITS), MOST_VISITS)
        step = int(min(max(visits / self.visits_per_ms, 1_000), LONGEST_SLICE_MS))
        changes = sorted(self._moment(change.at_h) for change in self.config.taste_changes)
        end = self.config.start_ms
        while True:
            end = min([end + step, *(moment for moment in changes if moment > end)])
            yield end

    def _moment(self, at_h: float) -> int:
        return self.config.start_ms + int(at_h * HOUR_MS)

    def _change_tastes(self, begin: int, number: int) -> None:
        for change in self.config.taste_changes:
            if self._moment(change.at_h) == begin:
                self.people.change(self._rng(_CHANGE, number), change.share)

    def _events_per_visit(self) -> float:
        """What a visit makes in an undisturbed hour, found by playing some."""
        quiet = dataclasses.replace(self.config, drops=())
        starts = np.full(REHEARSED_VISITS, self.config.start_ms)
        shelf = Shelf(self.catalog, self.config.start_ms)
        rng = self._rng(_REHEARSAL)
        visits = Visits(rng, quiet, shelf, copy.deepcopy(self.people), starts, 0, 0)
        return len(visits.rows()) / REHEARSED_VISITS

    def _happens(self, number: int, begin: int, end: int) -> Rows:
        """All events of the visits and intrusions that begin in this slice, as they will arrive."""
        rng = self._rng(_VISITS, number)
        shelf = Shelf(self.catalog, begin)
        starts = visit_starts(rng, begin, end, self.visits_per_ms, self.config)
        visits = Visits(rng, self.config, shelf, self.people, starts, self.sessions, self.decisions)
        ordinary = visits.rows()
        intruding = self._rng(_INTRUDERS, number)
        foreign = self.intruders.rows(
            intruding,
            shelf,
            self._attacks(intruding, begin, end),
            self.sessions + len(starts),
            visits.decisions,
        )
        self.sessions, self.decisions = self.intruders.session, self.intruders.decision
        rows = np.concatenate([ordinary, foreign])
        rows["number"] = self.events + np.arange(len(rows))
        self.events += len(rows)
        return with_late_and_doubled(self._rng(_NOISE, number), rows, self.config)

    def _attacks(self, rng: np.random.Generator, begin: int, end: int) -> list[tuple[int, str]]:
        """When intruders begin in this slice, and how: by chance, and as planned."""
        campaigns_per_ms = self.config.bot_share * self.config.rate / 1000 / CAMPAIGN_EVENTS
        campaigns = _moments(rng, begin, end, campaigns_per_ms)
        thefts = _moments(rng, begin, end, self.config.stolen_share * self.visits_per_ms)
        planned = [(self._moment(attack.at_h), attack.kind) for attack in self.config.attacks]
        return [
            *((start, "") for start in campaigns.tolist()),
            *((start, THEFT) for start in thefts.tolist()),
            *(attack for attack in planned if begin <= attack[0] < end),
        ]

    def _incidents(self, begin: int, end: int) -> list[Label]:
        """What the side file says of planned incidents, in the slice in which they begin."""
        labels: list[Label] = []
        config = self.config
        for name, incidents in (
            ("spike", config.spikes),
            ("drop", config.drops),
            ("attack", config.attacks),
            ("taste_change", config.taste_changes),
        ):
            for incident in incidents:
                start = self._moment(incident.at_h)
                if begin <= start < end:
                    about = dataclasses.asdict(incident)
                    about.pop("at_h")
                    until = {"to": start + int(about.pop("hours") * HOUR_MS)} if "hours" in about else {}
                    labels.append({"label": name, "from": start} | until | about)
        return labels


def _moments(rng: np.random.Generator, begin: int, end: int, per_ms: float) -> Numbers:
    """Sorted times of a Poisson process of constant rate."""
    return np.sort(rng.integers(begin, end, rng.poisson(per_ms * (end - begin))))
