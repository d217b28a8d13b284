"""From declarations to a program: which numbers states must keep, where they lie, and which of them a feature
reads."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.domain import Domain
from pipelines.features import declarations as d
from pipelines.features import program as p
from pipelines.features.measures import Measured, Number
from pipelines.features.needs import Need, Reading
from pipelines.features.program import Program
from pipelines.features.state import LayoutBuilder, Layouts

PLAIN = {d.ALL: (p.EVERYTHING, 0), d.ITEM: (p.ITEM, 0), d.USER: (p.USER, 0)}
TABLES = {d.USER: p.SLOT, d.SESSION: p.SESSION, d.QUERY: p.QUERY}
OPS = ["count", "latest", "learned", "sum", "amount", "present", "weight", "distinct", "first"]
USER_HEAD = ["events", "touches", "query", "session", "since", "until", "acts", "recent_next"]


@dataclass
class Compiler:
    """Takes declarations one by one, then gives the program and the layouts."""

    domain: Domain
    events: dict[str, int]
    attributes: list[str] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _readings: list[Reading] = field(default_factory=list)
    _buckets: dict[Need, int] = field(default_factory=dict)
    _slots: dict[tuple[int, int], int] = field(default_factory=dict)
    _rings: dict[int, int] = field(default_factory=dict)

    def add(self, declaration: d.Declaration) -> None:
        """Take one more declaration; a context must come after the feature it looks at."""
        self._readings.append(declaration.reading(self))
        self._names.append(declaration.name)

    def keep(self, reading: Reading) -> Reading:
        """The reading, whose needs the records will keep, in as many buckets as the longest window reads."""
        for i, need in enumerate(reading.needs):
            buckets = reading.arg if reading.op == p.TREND and i else reading.buckets
            self._buckets[need] = max(self._buckets.get(need, 0), buckets if need.width else 0)
        return reading

    def whose(self, by: tuple[str, ...], slots: int) -> tuple[int, int]:
        """(scope, key) of what `by` names; its table, where it needs one, has `slots` of them at least."""
        if len(by) == 1 and by[0] in PLAIN:
            return PLAIN[by[0]]
        if len(by) == 1 and by[0] not in TABLES:
            return p.VALUE, self.attribute(by[0])
        scope, key = TABLES[by[0]], p.ALONE
        if len(by) == 2:
            key = p.ITEM_KEY if by[1] == d.ITEM else self.attribute(by[1])
        needed = 1 if by == (d.SESSION,) else slots
        self._slots[scope, key] = max(self._slots.get((scope, key), 0), needed)
        return scope, key

    def of_user_and_value(self, attribute: str, slots: int) -> tuple[int, int]:
        """(scope, key) of the user's table of the attribute's values, with `slots` of them at least."""
        return self.whose((d.USER, attribute), slots)

    def ring(self, of: tuple[str, ...], last: int) -> int:
        """The mask that names the ring of the latest items with `of`, now long enough for `last` of them."""
        mask = self.mask(of)
        self._rings[mask] = max(self._rings.get(mask, 0), last)
        return mask

    def mask(self, names: tuple[str, ...]) -> int:
        """One bit for each of the event types."""
        return sum(1 << self.events[name] for name in set(names))

    def column(self, name: str) -> int:
        """The column of a feature that was added before."""
        return self._names.index(name)

    def attribute(self, name: str) -> int:
        """The number of an attribute whose values are looked up."""
        if name not in self.attributes:
            self.attributes.append(name)
        return self.attributes.index(name)

    def number(self, name: str, log: bool) -> int:
        """The column of a number attribute, or of its logarithm."""
        return self._number((name, log))

    def measured(self, measured: Measured) -> int:
        """The column of a number that is read off an attribute of another kind."""
        return self._number(measured)

    def _number(self, number: Number) -> int:
        if number not in self.numbers:
            self.numbers.append(number)
        return self.numbers.index(number)

    def finish(self) -> tuple[Program, Layouts]:
        """The program and the layouts of everything that was added."""
        needs = sorted(self._buckets)
        builders = {scope: LayoutBuilder() for scope in (p.EVERYTHING, p.ITEM, p.VALUE, p.USER)}
        for name in USER_HEAD:
            builders[p.USER].place(name, "<i8", 1)
        builders[p.USER].place("recent", "<i8", p.RECENT_IDS)
        rings = self._place_rings(builders[p.USER])
        steps, targets = self._place(needs, builders)
        features = [self._row(index, needs, steps) for index in range(len(self._readings))]
        rewards = np.zeros(64)
        for name, event_type in self.domain.event_types.items():
            rewards[self.events[name]] = event_type.reward
        program = Program(
            steps=_table(steps, p.STEP_COLUMNS),
            step_values=np.array([need.rate for need in needs], np.float64),
            targets=_table(targets, p.TARGET_COLUMNS),
            rings=_table(rings, p.RING_COLUMNS),
            features=_table(features, p.FEATURE_COLUMNS),
            feature_values=np.array([reading.value for reading in self._readings], np.float64),
            rewards=rewards,
            gap=round(self.domain.session_minutes * 60_000),
        )
        return program, Layouts(*(builders[s].dtype() for s in (p.EVERYTHING, p.ITEM, p.VALUE, p.USER)))

    def _place_rings(self, user: LayoutBuilder) -> list[list[int]]:
        """A ring: how many were put in, then item hashes, then times."""
        return [
            [mask, user.place(f"latest_{mask:x}", "<i8", 1 + 2 * length), length]
            for mask, length in sorted(self._rings.items())
        ]

    def _place(
        self, needs: list[Need], builders: dict[int, LayoutBuilder]
    ) -> tuple[list[list[int]], list[list[int]]]:
        steps: list[list[int]] = []
        targets: list[list[int]] = []
        for scope, key in sorted({(need.scope, need.key) for need in needs}):
            first = len(steps)
            block = LayoutBuilder() if scope >= p.SLOT else builders[scope]
            for need in needs:
                if (need.scope, need.key) == (scope, key):
                    offset = self._place_need(need, block)
                    where = [offset, need.width, self._buckets[need], need.arg, len(targets)]
                    steps.append([scope, key, need.op, need.mask, *where])
            table, slots = 0, 0
            if scope >= p.SLOT:
                slots = self._slots[scope, key]
                table = self._place_table(scope, key, slots, block.words, builders)
            mask = functools.reduce(operator.or_, (step[p.STEP_MASK] for step in steps[first:]))
            targets.append([scope, key, first, len(steps), table, slots, block.words, mask])
        return steps, targets

    def _place_table(
        self, scope: int, key: int, slots: int, words: int, builders: dict[int, LayoutBuilder]
    ) -> int:
        """A user's table has a key and a time of touch for each block, see `records.take_slot`; a query's
        block is where its hash says, in the record of what it is paired with."""
        whose = {p.ITEM_KEY: "items", p.ALONE: "alone"}
        name = f"{['user', 'session', 'query'][scope - p.SLOT]}_{whose.get(key) or self.attributes[key]}"
        if scope != p.QUERY:
            return builders[p.USER].place(name, "<i8", slots * (2 + words))
        record = {p.ITEM_KEY: p.ITEM, p.ALONE: p.EVERYTHING}.get(key, p.VALUE)
        return builders[record].place(name, "<i8", slots * words)

    def _place_need(self, need: Need, block: LayoutBuilder) -> int:
        whose = "" if need.scope != p.VALUE else f"{self.attributes[need.key]}_"
        what = OPS[need.op]
        name = f"{whose}{what}_{need.mask:x}_{need.width}_{need.arg}_{need.rate:g}"
        kind = "<f8" if need.op in (p.LEARN, p.SUM) else "<i8"
        return block.place(name, kind, need.words(self._buckets[need]))

    def _row(self, index: int, needs: list[Need], steps: list[list[int]]) -> list[int]:
        reading = self._readings[index]
        own = [needs.index(need) for need in reading.needs]
        return [
            reading.op,
            reading.scope,
            reading.key,
            reading.aggregate,
            int(reading.log),
            reading.buckets,
            sorted(self._rings).index(reading.arg) if reading.op in p.WITH_RING else reading.arg,
            self._share(index),
            steps[own[0]][p.STEP_TARGET] if own else 0,
            *own,
            *[p.NO_STEP] * (p.MAX_STEPS - len(own)),
        ]

    def _share(self, index: int) -> int:
        """How many features from this one on differ in nothing but the aggregate; 0 for one that an earlier
        one includes."""
        alike = [replace(reading, aggregate=p.MEAN) for reading in self._readings]
        if self._readings[index].op not in p.AGGREGATED or (index and alike[index - 1] == alike[index]):
            return 0
        return next((i for i in range(index, len(alike)) if alike[i] != alike[index]), len(alike)) - index


def _table(rows: list[list[int]], columns: int) -> p.Ints:
    return np.array(rows, np.int64).reshape(len(rows), columns)
