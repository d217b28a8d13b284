"""Kinds that add up a number of the items that something happened with, or count how many different ones it
were.

Records that users share hold integers that commute: amounts in thousandths, and of different ones a few
bits of their hashes (linear counting: Whang, Vander-Zanden and Taylor, ACM TODS 1990).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.features import program as p
from pipelines.features.arithmetic import log_of, smoothed
from pipelines.features.compiled import compiled
from pipelines.features.declarations import ALL, ITEM, SLOTS, USER, VALUED, Aggregate, Declaration
from pipelines.features.kinds.counters import reading_by, width_of
from pipelines.features.lookups import MISSING
from pipelines.features.needs import Need, Reading
from pipelines.features.program import Floats, Ints, Program
from pipelines.features.records import place_in_ring

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler

BITS = 64 * p.SKETCH_WORDS
OF_USERS, OF_ITEMS = -2, -1  # what is told apart; from 0 on the values of an attribute


class Sum(Declaration, frozen=True, tag="sum"):
    """The sum of the items' `number` over `of` in the window, by what `by` names, or log(1 + that)."""

    of: tuple[str, ...]
    number: str
    by: tuple[str, ...]
    window: str = ALL
    aggregate: Aggregate = "mean"
    log: bool = False
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """A number, and something to add it up by."""
        checker.attribute("number", self.number, "number")
        checker.by(self.by)

    def reading(self, compiler: Compiler) -> Reading:
        """One amount."""
        reading = reading_by(compiler, p.SUM_OF, self, self.window)
        mask, column = compiler.mask(self.of), compiler.number(self.number, False)
        need = Need(reading.scope, reading.key, p.AMOUNT, mask, width_of(self.window), column)
        reading.needs, reading.log = (need,), self.log
        return compiler.keep(reading)


class Mean(Declaration, frozen=True, tag="mean"):
    """The mean of the items' `number` over `of` in the window, smoothed by `smooth` imagined ones at the
    mean of everything so far."""

    of: tuple[str, ...]
    number: str
    by: tuple[str, ...]
    window: str = ALL
    smooth: float = 3.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """A number, and something to take its mean by."""
        checker.attribute("number", self.number, "number")
        checker.by(self.by)

    def reading(self, compiler: Compiler) -> Reading:
        """The amount and how many have one, and both of everything."""
        reading = reading_by(compiler, p.MEAN_OF, self, self.window)
        mask, column = compiler.mask(self.of), compiler.number(self.number, False)
        whose = ((reading.scope, reading.key, width_of(self.window)), (p.EVERYTHING, 0, 0))
        reading.needs = tuple(
            Need(scope, key, op, mask, width, column)
            for scope, key, width in whose
            for op in (p.AMOUNT, p.PRESENT)
        )
        reading.value = self.smooth
        return compiler.keep(reading)


class Distinct(Declaration, frozen=True, tag="distinct"):
    """About how many different users, items or values of an attribute (`what`) `of` happened with in the
    window, by what `by` names, or log(1 + that)."""

    of: tuple[str, ...]
    what: str
    by: tuple[str, ...]
    window: str = ALL
    aggregate: Aggregate = "mean"
    log: bool = False
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """Something to tell apart, and something to do it by."""
        if self.what not in (USER, ITEM):
            checker.attribute("what", self.what, *VALUED)
        checker.by(self.by)

    def reading(self, compiler: Compiler) -> Reading:
        """One sketch."""
        reading = reading_by(compiler, p.DISTINCT_OF, self, self.window)
        told = {USER: OF_USERS, ITEM: OF_ITEMS}
        what = told[self.what] if self.what in told else compiler.attribute(self.what)
        mask, width = compiler.mask(self.of), width_of(self.window)
        need = Need(reading.scope, reading.key, p.DISTINCT, mask, width, what)
        reading.needs, reading.log = (need,), self.log
        return compiler.keep(reading)


@compiled
def in_thousandths(number: float) -> int:
    """The number in fixed point, cut off at 10^9; 0 for a missing one."""
    if np.isnan(number):
        return 0
    return int(np.int64(np.rint(max(min(number, p.LARGEST), -p.LARGEST) * p.FIXED_POINT)))


@compiled
def remember(records: Ints, row: int, at: int, width: int, buckets: int, time: int, key: int) -> bool:
    """Set the key's bit in the sketch at word `at`; False when its bucket is too old to be kept."""
    place = at
    if width:
        place = place_in_ring(records, row, at, buckets, p.SKETCH_WORDS, time // width)
    if place == MISSING:
        return False
    bit = np.int64(key) & (BITS - 1)
    records[row, place + (bit >> 6)] |= np.int64(1) << (bit & 63)
    return True


@compiled
def different(records: Ints, row: int, at: int, width: int, buckets: int, window: int, as_of: int) -> float:
    """About how many keys were remembered in the latest `window` buckets of a sketch: -m ln(z/m) with z of
    m bits not set, rounded."""
    unset = 0
    for w in range(p.SKETCH_WORDS):
        word = records[row, at + w]
        if width:
            word, bucket, newest = np.int64(0), as_of // width, records[row, at]
            for b in range(max(bucket - window, newest - buckets) + 1, min(bucket, newest) + 1):
                word |= records[row, at + 1 + b % buckets * p.SKETCH_WORDS + w]
        unset += 64 - _ones(np.uint64(word))
    return float(np.rint(BITS * np.log(BITS / max(unset, 1))))


@compiled
def _ones(word: np.uint64) -> int:
    """How many bits are set (Warren, Hacker's Delight, 5-1)."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int(np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56)))


@compiled
def added_up(program: Program, f: int, n: Floats, count: int, values: Floats) -> None:
    """Fill values[:count] of SUM_OF, MEAN_OF and DISTINCT_OF, of the numbers n[:, :count] that they need."""
    is_mean, is_log = program.features[f, p.FEATURE_OP] == p.MEAN_OF, program.features[f, p.FEATURE_LOG] != 0
    for e in range(count):
        if is_mean:
            values[e] = smoothed(n[0, e], n[1, e], n[2, e] / n[3, e], program.feature_values[f])
        else:
            # A logarithm is for sizes; below zero there is none, and the value counts as unknown.
            values[e] = log_of(n[0, e]) if is_log else n[0, e]
