"""Kinds that say what a user likes more than others do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.features import program as p
from pipelines.features.arithmetic import smoothed
from pipelines.features.cells import put, real_cell
from pipelines.features.compiled import compiled
from pipelines.features.declarations import ALL, SHOWN, SLOTS, VALUED, Aggregate, Declaration, window_ms
from pipelines.features.lookups import MISSING, Lookups
from pipelines.features.needs import AGGREGATES, Need, Reading
from pipelines.features.program import Floats, Ints, Program, States

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler

MEASURES = {"distance": p.DISTANCE, "difference": p.DIFFERENCE, "lean": p.LEAN}


class Preference(Declaration, frozen=True, tag="preference"):
    """How much more often than expected the user does `of` per `per` with items of the candidate's attribute
    values."""

    of: tuple[str, ...]
    by: str
    per: tuple[str, ...] = (SHOWN,)
    smooth: float = 3.0
    aggregate: Aggregate = "mean"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """An attribute with values."""
        checker.attribute("by", self.by, *VALUED)

    def reading(self, compiler: Compiler) -> Reading:
        """Both counts, of the user and the value, of the value, of the user and of everything."""
        scope, key = compiler.of_user_and_value(self.by, self.slots)
        whose = ((scope, key), (p.VALUE, key), (p.USER, 0), (p.EVERYTHING, 0))
        masks = compiler.mask(self.of), compiler.mask(self.per)
        needs = tuple(Need(scope, whom, p.ADD, mask) for scope, whom in whose for mask in masks)
        how = AGGREGATES[self.aggregate]
        return compiler.keep(Reading(p.PREFERENCE, needs, scope, key, how, value=self.smooth))


class Learned(Declaration, frozen=True, tag="learned"):
    """The user's value Q of the candidate's attribute values: Q += a (R - Q) with the domain's rewards R, a =
    max(1/n, rate). With a half-life, Q and n fade by half in that time without an event."""

    of: tuple[str, ...]
    by: str
    rate: float = 0.1
    half_life: str = ALL
    aggregate: Aggregate = "mean"
    slots: int = SLOTS

    def check(self, checker: Checker) -> None:
        """An attribute with values, and a time."""
        checker.attribute("by", self.by, *VALUED)
        checker.window("half_life", self.half_life)

    def reading(self, compiler: Compiler) -> Reading:
        """n and Q, for the user and the value, and when they were changed where they fade."""
        scope, key = compiler.of_user_and_value(self.by, self.slots)
        mask, half_life = compiler.mask(self.of), window_ms(self.half_life)
        need = Need(scope, key, p.LEARN, mask, arg=half_life, rate=self.rate)
        return compiler.keep(Reading(p.LEARNED, (need,), scope, key, AGGREGATES[self.aggregate]))


class Taste(Declaration, frozen=True, tag="taste"):
    """The candidate's number attribute against the mean over the user's items with `of`, shrunk to that over
    `per`."""

    of: tuple[str, ...]
    attribute: str
    per: tuple[str, ...] = (SHOWN,)
    smooth: float = 3.0
    log: bool = False
    measure: Literal["distance", "difference", "lean"] = "distance"

    def check(self, checker: Checker) -> None:
        """A number."""
        checker.attribute("attribute", self.attribute, "number")

    def reading(self, compiler: Compiler) -> Reading:
        """Two sums with their numbers: over `of`, over `per`."""
        column = compiler.number(self.attribute, self.log)
        needs = tuple(Need(p.USER, 0, p.SUM, compiler.mask(of), arg=column) for of in (self.of, self.per))
        measure = MEASURES[self.measure]
        return compiler.keep(Reading(p.TASTE, needs, aggregate=measure, arg=column, value=self.smooth))


@compiled
def learn(records: Ints, row: int, at: int, reward: float, rate: float, half_life: int, time: int) -> None:
    """Move the value Q at word `at + 1` towards the reward; `at` holds n, `at + 2` the time where both
    fade."""
    n, value = real_cell(records, row, at), real_cell(records, row, at + 1)
    if half_life:
        since = real_cell(records, row, at + 2) if n else float(time)
        faded = fading(since, time, half_life)
        n, value = n * faded, value * faded
        put(records, row, at + 2, max(since, float(time)) if n else float(time))
    n += 1.0
    put(records, row, at, n)
    put(records, row, at + 1, value + max(1.0 / n, rate) * (reward - value))


@compiled
def learnt(records: Ints, row: int, at: int, half_life: int, as_of: int) -> float:
    """Q as of a moment."""
    faded = fading(real_cell(records, row, at + 2), as_of, half_life) if half_life else 1.0
    return float(real_cell(records, row, at + 1) * faded)


@compiled
def fading(since: float, time: int, half_life: int) -> float:
    """What is left of 1 at `time`, by half in each half-life; nothing fades backwards."""
    return float(2.0 ** (-max(time - since, 0.0) / half_life))


@compiled
def add_up(records: Ints, row: int, at: int, number: float) -> None:
    """One more number at word `at`, and their sum behind it; a missing one changes nothing."""
    if not np.isnan(number):
        put(records, row, at, real_cell(records, row, at) + 1.0)
        put(records, row, at + 1, real_cell(records, row, at + 1) + number)


@compiled
def preferred(n: Floats, smooth: float, count: int, values: Floats) -> None:
    """Fill values[:count] of PREFERENCE, of the numbers n[:, :count] that it needs."""
    for e in range(count):
        overall = n[6, e] / n[7, e]
        expected = (
            smoothed(n[2, e], n[3, e], overall, smooth)
            * smoothed(n[4, e], n[5, e], overall, smooth)
            / overall
        )
        values[e] = smoothed(n[0, e], n[1, e], expected, smooth) - expected


@compiled
def tastes(
    program: Program, states: States, catalog: Lookups, user: int, versions: Ints, f: int, features: Floats
) -> None:
    """Fill column `f`: the candidates' number against the mean over what the user liked."""
    kept = states.users.view(np.float64)
    column, smooth = program.features[f, p.FEATURE_ARG], program.feature_values[f]
    liked = program.steps[program.features[f, p.FEATURE_STEPS], p.STEP_OFFSET]
    seen = program.steps[program.features[f, p.FEATURE_STEPS + 1], p.STEP_OFFSET]
    usual = (
        kept[user, seen + 1] / kept[user, seen]
        if kept[user, seen]
        else kept[user, liked + 1] / kept[user, liked]
    )
    wanted = smoothed(kept[user, liked + 1], kept[user, liked], usual, smooth)
    measure = program.features[f, p.FEATURE_AGGREGATE]
    for j in range(versions.size):
        difference = catalog.numbers[versions[j], column] - wanted if versions[j] != MISSING else np.nan
        if measure == p.LEAN:
            features[j, f] = wanted - usual
        else:
            features[j, f] = abs(difference) if measure == p.DISTANCE else difference
