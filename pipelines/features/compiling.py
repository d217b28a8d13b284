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
from pipelines.features.program import Program
from pipelines.features.state import LayoutBuilder, Layouts
from pipelines.features.vectors_kernel import BEHAVIOUR, BM25, COSINE_OF_TEXT, IMAGE, TEXT

AGGREGATES = {"mean": p.MEAN, "max": p.MAX, "min": p.MIN, "sum": p.TOTAL}
CONTEXTS = {
    "mean": p.LIST_MEAN,
    "std": p.LIST_STD,
    "zscore": p.LIST_ZSCORE,
    "rank": p.LIST_RANK,
    "difference": p.LIST_DIFFERENCE,
}
SPACES = {"text": TEXT, "behaviour": BEHAVIOUR, "image": IMAGE}
MEASURES = {"distance": p.DISTANCE, "difference": p.DIFFERENCE, "lean": p.LEAN}
CYCLES = {"day": 86_400_000.0, "week": 7 * 86_400_000.0}


@dataclass(frozen=True, order=True)
class Need:
    """One number that a state keeps: whose, of which events, in buckets of which width (0: since ever)."""

    scope: int
    key: int
    op: int
    mask: int
    width: int = 0
    arg: int = 0
    rate: float = 0.0

    def words(self, buckets: int) -> int:
        """How many words it takes: with buckets, the newest bucket's number stands before them."""
        if self.op in (p.LEARN, p.SUM):
            return 2
        return 1 + buckets if self.width else 1


@dataclass
class Reading:
    """How a feature is read: the columns of its row in the program, with needs that have no place yet."""

    op: int
    needs: tuple[Need, ...] = ()
    scope: int = p.EVERYTHING
    key: int = 0
    aggregate: int = p.MEAN
    log: bool = False
    buckets: int = 0
    arg: int = 0
    value: float = 0.0


@dataclass
class Compiler:
    """Takes declarations one by one, then gives the program and the layouts."""

    domain: Domain
    events: dict[str, int]
    attributes: list[str] = field(default_factory=list)
    numbers: list[tuple[str, bool]] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _readings: list[Reading] = field(default_factory=list)
    _buckets: dict[Need, int] = field(default_factory=dict)
    _slots: dict[int, int] = field(default_factory=dict)
    _rings: dict[int, int] = field(default_factory=dict)

    def add(self, declaration: d.Declaration) -> None:
        """Take one more declaration; a context must come after the feature it looks at."""
        self._readings.append(self._reading(declaration))
        self._names.append(declaration.name)

    def _reading(self, declaration: d.Declaration) -> Reading:
        match declaration:
            case d.Count() | d.Rate() | d.Recency():
                return self._by(declaration)
            case d.Preference() | d.Learned():
                return self._of_user_and_value(declaration)
            case d.VectorSimilarity() | d.Covisited():
                ring, how = self._ring(declaration.of, declaration.last), AGGREGATES[declaration.aggregate]
                if isinstance(declaration, d.Covisited):
                    return Reading(p.COVISITED, aggregate=how, arg=ring, buckets=declaration.last)
                space = SPACES[declaration.space]
                return Reading(p.TO_LATEST, key=space, aggregate=how, arg=ring, buckets=declaration.last)
            case d.QueryMatch():
                measure = BM25 if declaration.measure == "bm25" else COSINE_OF_TEXT
                return Reading(p.QUERY_MATCH, aggregate=measure)
            case d.HasVector():
                return Reading(p.HAS_VECTOR, key=SPACES[declaration.space])
            case d.Similarity():
                mask = self._ring(declaration.of, declaration.last)
                key, how = self._attribute(declaration.attribute), AGGREGATES[declaration.aggregate]
                return Reading(p.SIMILARITY, key=key, aggregate=how, arg=mask, buckets=declaration.last)
            case d.Taste():
                column = self._number(declaration.attribute, declaration.log)
                liked, seen = (
                    Need(p.USER, 0, p.SUM, self._mask(of), arg=column)
                    for of in (declaration.of, declaration.per)
                )
                measure = MEASURES[declaration.measure]
                return self._keep(
                    Reading(p.TASTE, (liked, seen), aggregate=measure, arg=column, value=declaration.smooth)
                )
            case d.Attribute():
                return Reading(p.NUMBER, arg=self._number(declaration.of, declaration.log))
            case d.Position():
                return Reading(p.POSITION, value=declaration.fixed)
            case d.Time():
                wave = p.SINE if declaration.wave == "sin" else p.COSINE
                return Reading(p.TIME, aggregate=wave, value=CYCLES[declaration.cycle])
            case d.Context():
                of = self._names.index(declaration.of)
                return Reading(p.CONTEXT, aggregate=CONTEXTS[declaration.measure], arg=of)
        raise TypeError(f"no reading for a {type(declaration).__name__}")

    def _ring(self, of: tuple[str, ...], last: int) -> int:
        """The mask that names the ring of the latest items with `of`, now long enough for `last` of them."""
        mask = self._mask(of)
        self._rings[mask] = max(self._rings.get(mask, 0), last)
        return mask

    def _by(self, declaration: d.Count | d.Rate | d.Recency) -> Reading:
        scope, key = self._whose(declaration.by)
        if scope == p.SLOT:
            self._slots[key] = max(self._slots.get(key, 0), declaration.slots)
        window = d.window_ms(getattr(declaration, "window", d.ALL))
        width = d.bucket_ms(window)
        of = self._mask(declaration.of)
        reading = Reading(p.RECENCY, scope=scope, key=key, aggregate=AGGREGATES[declaration.aggregate])
        # The bucket that the window starts in counts too: a window covers its length at least, one bucket
        # more at most.
        reading.buckets = window // width + 1 if width else 0
        if isinstance(declaration, d.Recency):
            reading.needs = (Need(scope, key, p.LATEST, of),)
        elif isinstance(declaration, d.Count):
            reading.op, reading.log = p.COUNT, declaration.log
            reading.needs = (Need(scope, key, p.ADD, of, width),)
        else:
            per = self._mask(declaration.per)
            reading.op, reading.value = p.RATE, declaration.smooth
            own = (Need(scope, key, p.ADD, of, width), Need(scope, key, p.ADD, per, width))
            reading.needs = (*own, Need(p.EVERYTHING, 0, p.ADD, of), Need(p.EVERYTHING, 0, p.ADD, per))
        return self._keep(reading)

    def _of_user_and_value(self, declaration: d.Preference | d.Learned) -> Reading:
        key = self._attribute(declaration.by)
        self._slots[key] = max(self._slots.get(key, 0), declaration.slots)
        aggregate = AGGREGATES[declaration.aggregate]
        of = self._mask(declaration.of)
        if isinstance(declaration, d.Learned):
            need = Need(p.SLOT, key, p.LEARN, of, rate=declaration.rate)
            return self._keep(Reading(p.LEARNED, (need,), p.SLOT, key, aggregate))
        both = (of, self._mask(declaration.per))
        whose = ((p.SLOT, key), (p.VALUE, key), (p.USER, 0), (p.EVERYTHING, 0))
        needs = tuple(Need(scope, whom, p.ADD, mask) for scope, whom in whose for mask in both)
        return self._keep(Reading(p.PREFERENCE, needs, p.SLOT, key, aggregate, value=declaration.smooth))

    def _keep(self, reading: Reading) -> Reading:
        for need in reading.needs:
            self._buckets[need] = max(self._buckets.get(need, 0), reading.buckets if need.width else 0)
        return reading

    def _whose(self, by: tuple[str, ...]) -> tuple[int, int]:
        single = {d.ALL: p.EVERYTHING, d.ITEM: p.ITEM, d.USER: p.USER}
        if len(by) == 1:
            return (single[by[0]], 0) if by[0] in single else (p.VALUE, self._attribute(by[0]))
        return p.SLOT, p.ITEM_KEY if by[1] == d.ITEM else self._attribute(by[1])

    def _mask(self, names: tuple[str, ...]) -> int:
        return sum(1 << self.events[name] for name in set(names))

    def _attribute(self, name: str) -> int:
        if name not in self.attributes:
            self.attributes.append(name)
        return self.attributes.index(name)

    def _number(self, name: str, log: bool) -> int:
        if (name, log) not in self.numbers:
            self.numbers.append((name, log))
        return self.numbers.index((name, log))

    def finish(self) -> tuple[Program, Layouts]:
        """The program and the layouts of everything that was added."""
        needs = sorted(self._buckets)
        builders = {scope: LayoutBuilder() for scope in (p.EVERYTHING, p.ITEM, p.VALUE, p.USER)}
        builders[p.USER].place("events", "<i8", 1)
        builders[p.USER].place("touches", "<i8", 1)
        builders[p.USER].place("recent_next", "<i8", 1)
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
            block = LayoutBuilder() if scope == p.SLOT else builders[scope]
            for need in needs:
                if (need.scope, need.key) == (scope, key):
                    offset = self._place_need(need, block)
                    where = [offset, need.width, self._buckets[need], need.arg, len(targets)]
                    steps.append([scope, key, need.op, need.mask, *where])
            table, slots = 0, 0
            if scope == p.SLOT:
                slots = self._slots[key]
                name = "items" if key == p.ITEM_KEY else self.attributes[key]
                table = builders[p.USER].place(f"{name}_table", "<i8", slots * (2 + block.words))
            mask = functools.reduce(operator.or_, (step[p.STEP_MASK] for step in steps[first:]))
            targets.append([scope, key, first, len(steps), table, slots, block.words, mask])
        return steps, targets

    def _place_need(self, need: Need, block: LayoutBuilder) -> int:
        whose = "" if need.scope != p.VALUE else f"{self.attributes[need.key]}_"
        what = ("count", "latest", "learned", "sum")[need.op]
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
