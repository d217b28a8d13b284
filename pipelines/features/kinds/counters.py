"""Kinds that count what happens: how often, at which rate, how long ago, more or less than before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from pipelines.features import program as p
from pipelines.features.arithmetic import log_of, smoothed
from pipelines.features.cells import cell, put
from pipelines.features.compiled import compiled
from pipelines.features.declarations import (
    ALL,
    ITEM,
    SHOWN,
    SLOTS,
    VALUED,
    Aggregate,
    Declaration,
    bucket_ms,
    window_ms,
)
from pipelines.features.needs import AGGREGATES, Need, Reading
from pipelines.features.program import Floats, Ints, Program
from pipelines.features.records import add_in_bucket

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler


class Count(Declaration, frozen=True, tag="count"):
    """How often `of` happened in the window to what `by` names, or log(1 + that)."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    window: str = ALL
    aggregate: Aggregate = "mean"
    log: bool = False
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """Something to count by."""
        checker.by(self.by)

    def reading(self, compiler: Compiler) -> Reading:
        """One count."""
        reading = reading_by(compiler, p.COUNT, self, self.window)
        need = Need(reading.scope, reading.key, p.ADD, compiler.mask(self.of), width_of(self.window))
        reading.needs, reading.log = (need,), self.log
        return compiler.keep(reading)


class ColdStart(Declaration, frozen=True, tag="cold_start"):
    """1 while `of` happened fewer than `below` times to what `by` names, otherwise 0."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    below: float = 1.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """Something to count by."""
        checker.by(self.by)

    def reading(self, compiler: Compiler) -> Reading:
        """One count."""
        reading = reading_by(compiler, p.IS_NEW, self, ALL)
        reading.needs = (Need(reading.scope, reading.key, p.ADD, compiler.mask(self.of)),)
        reading.value = self.below
        return compiler.keep(reading)


class Rate(Declaration, frozen=True, tag="rate"):
    """`of` per `per` in the window, smoothed by `smooth` imagined `per` at the rate of everything so far,
    or of the candidate's values of the attribute `prior`.

    With `place_power`, what is shown at place k of a list counts as k ** -place_power: as much as it is
    looked at.
    """

    of: tuple[str, ...]
    by: tuple[str, ...]
    per: tuple[str, ...] = (SHOWN,)
    window: str = ALL
    smooth: float = 10.0
    prior: str = ALL
    place_power: float = 0.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """Something to count by, and a prior of the item's."""
        checker.by(self.by)
        if self.prior != ALL:
            checker.attribute("prior", self.prior, *VALUED)
            checker.ends_in("prior", self.by, ITEM)

    def reading(self, compiler: Compiler) -> Reading:
        """Both counts, both of everything, and both of the values that the prior is of."""
        reading = reading_by(compiler, p.RATE, self, self.window)
        whose = [(reading.scope, reading.key, width_of(self.window)), (p.EVERYTHING, 0, 0)]
        if self.prior != ALL:
            reading.arg = 1
            whose.append((p.VALUE, compiler.attribute(self.prior), 0))
        of, per = compiler.mask(self.of), compiler.mask(self.per)
        weight = p.WEIGHT if self.place_power else p.ADD
        reading.needs = tuple(
            need
            for scope, key, width in whose
            for need in (
                Need(scope, key, p.ADD, of, width),
                Need(scope, key, weight, per, width, rate=self.place_power),
            )
        )
        reading.value = self.smooth
        return compiler.keep(reading)


class Trend(Declaration, frozen=True, tag="trend"):
    """log of how often `of` happens in the window per how often it happened in the longer window `against`,
    both for a time as long as the shorter one, with `smooth` imagined ones in each."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    window: str
    against: str
    smooth: float = 1.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """Something to count by, and two windows, the second the longer one."""
        checker.by(self.by)
        checker.window("window", self.window)
        checker.window("against", self.against)
        checker.longer("against", self.against, self.window)

    def reading(self, compiler: Compiler) -> Reading:
        """Two counts; the longer window's buckets are the reading's `arg`."""
        reading = reading_by(compiler, p.TREND, self, self.window)
        mask = compiler.mask(self.of)
        reading.needs = tuple(
            Need(reading.scope, reading.key, p.ADD, mask, width_of(w)) for w in (self.window, self.against)
        )
        reading.arg, reading.value = buckets_of(self.against), self.smooth
        return compiler.keep(reading)


class Recency(Declaration, frozen=True, tag="recency"):
    """log(1 + seconds) since `of` happened to what `by` names, for the latest or the first time."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    since: Literal["latest", "first"] = "latest"
    aggregate: Aggregate = "min"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """Something to keep times by."""
        checker.by(self.by)

    def reading(self, compiler: Compiler) -> Reading:
        """One time."""
        reading = reading_by(compiler, p.RECENCY, self, ALL)
        op = p.LATEST if self.since == "latest" else p.FIRST
        reading.needs = (Need(reading.scope, reading.key, op, compiler.mask(self.of)),)
        return compiler.keep(reading)


class By(Protocol):
    """A declaration of something that is kept apart."""

    @property
    def by(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def aggregate(self) -> Aggregate: ...  # noqa: D102
    @property
    def slots(self) -> int: ...  # noqa: D102


def reading_by(compiler: Compiler, op: int, declaration: By, window: str) -> Reading:
    """A reading of what `by` names, in as many buckets as the window covers. The bucket that the window
    starts in counts too: a window covers its length at least, one bucket more at most."""
    scope, key = compiler.whose(declaration.by, declaration.slots)
    how, buckets = AGGREGATES[declaration.aggregate], buckets_of(window)
    return Reading(op, scope=scope, key=key, aggregate=how, buckets=buckets)


def width_of(window: str) -> int:
    """Length in ms of the buckets of a window; 0 for one without end."""
    return bucket_ms(window_ms(window))


def buckets_of(window: str) -> int:
    """How many buckets a window reads; 0 for one without end."""
    return window_ms(window) // width_of(window) + 1 if width_of(window) else 0


@compiled
def count(records: Ints, row: int, at: int, width: int, buckets: int, time: int, amount: int) -> bool:
    """Add the amount at word `at`; False when its bucket is too old to be kept."""
    if width:
        return add_in_bucket(records, row, at, buckets, time // width, amount)
    put(records, row, at, cell(records, row, at) + amount)
    return True


@compiled
def counted(program: Program, f: int, as_of: int, n: Floats, count: int, values: Floats) -> None:
    """Fill values[:count] of COUNT, RATE, RECENCY, IS_NEW and TREND, of the numbers n[:, :count] that they
    need."""
    op, value = program.features[f, p.FEATURE_OP], program.feature_values[f]
    is_log = program.features[f, p.FEATURE_LOG] != 0
    for e in range(count):
        if op == p.COUNT:
            values[e] = log_of(n[0, e]) if is_log else n[0, e]
        elif op == p.IS_NEW:
            is_new = 1.0 if n[0, e] < value else 0.0
            values[e] = np.nan if np.isnan(n[0, e]) else is_new
        elif op == p.RECENCY:
            passed = np.log1p(max(as_of - n[0, e], 0.0) / 1000.0)
            values[e] = passed if n[0, e] > 0.0 else np.nan
    if op == p.RATE:
        _rates(n, count, value, program.features[f, p.FEATURE_ARG] != 0, values)
    elif op == p.TREND:
        _trends(program, f, as_of, n, count, values)


@compiled
def _rates(n: Floats, count: int, smooth: float, has_prior: bool, values: Floats) -> None:
    for e in range(count):
        prior = n[2, e] / n[3, e]
        if has_prior:
            prior = smoothed(n[4, e], n[5, e], prior, smooth)
        values[e] = smoothed(n[0, e], n[1, e], prior, smooth)


@compiled
def _trends(program: Program, f: int, as_of: int, n: Floats, count: int, values: Floats) -> None:
    shorter = _covered(program, f, 0, program.features[f, p.FEATURE_BUCKETS], as_of)
    longer = _covered(program, f, 1, program.features[f, p.FEATURE_ARG], as_of)
    smooth = program.feature_values[f]
    for e in range(count):
        values[e] = np.log((n[0, e] + smooth) / (n[1, e] * shorter / longer + smooth))


@compiled
def _covered(program: Program, f: int, i: int, buckets: int, as_of: int) -> int:
    """How much time (ms) lies in the buckets of the feature's number `i`: the newest one is not over yet."""
    width = program.steps[program.features[f, p.FEATURE_STEPS + i], p.STEP_WIDTH]
    return int((buckets - 1) * width + as_of % width + 1)
