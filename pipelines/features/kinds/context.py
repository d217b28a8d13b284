"""Kinds that need no history: the candidate itself, its place, the moment, and the list around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.declarations import Declaration
from pipelines.features.lookups import MISSING, Lookups
from pipelines.features.needs import Reading
from pipelines.features.program import Floats, Ints, Program

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler

CYCLES = {"day": 86_400_000.0, "week": 7 * 86_400_000.0}
MEASURES = {
    "mean": p.LIST_MEAN,
    "std": p.LIST_STD,
    "zscore": p.LIST_ZSCORE,
    "rank": p.LIST_RANK,
    "difference": p.LIST_DIFFERENCE,
}


class Attribute(Declaration, frozen=True, tag="attribute"):
    """The candidate's number attribute, or its logarithm log(1 + x)."""

    of: str
    log: bool = False

    def check(self, checker: Checker) -> None:
        """A number."""
        checker.attribute("of", self.of, "number")

    def reading(self, compiler: Compiler) -> Reading:
        """A column of the catalog's numbers."""
        return Reading(p.NUMBER, arg=compiler.number(self.of, self.log))


class Age(Declaration, frozen=True, tag="age"):
    """log(1 + seconds) since the catalog knows the candidate."""

    def reading(self, compiler: Compiler) -> Reading:
        """The first version's time."""
        return Reading(p.AGE)


class Position(Declaration, frozen=True, tag="position"):
    """The place in the shown list, from 1, when a model learns; `fixed` whenever it ranks."""

    fixed: float = 1.0

    def reading(self, compiler: Compiler) -> Reading:
        """Nothing but the list."""
        return Reading(p.POSITION, value=self.fixed)


class Time(Declaration, frozen=True, tag="time"):
    """Where in its cycle the moment of the decision is, in UTC, as a point of a circle."""

    cycle: Literal["day", "week"]
    wave: Literal["sin", "cos"]

    def reading(self, compiler: Compiler) -> Reading:
        """Nothing but the moment."""
        wave = p.SINE if self.wave == "sin" else p.COSINE
        return Reading(p.TIME, aggregate=wave, value=CYCLES[self.cycle])


class Context(Declaration, frozen=True, tag="context"):
    """Another feature `of` the candidate against the same feature of the whole list."""

    of: str
    measure: Literal["mean", "std", "zscore", "rank", "difference"] = "zscore"

    def check(self, checker: Checker) -> None:
        """A feature declared above."""
        checker.feature("of", self.of)

    def reading(self, compiler: Compiler) -> Reading:
        """The column of the other feature."""
        return Reading(p.CONTEXT, aggregate=MEASURES[self.measure], arg=compiler.column(self.of))


@compiled
def given(
    program: Program,
    catalog: Lookups,
    items: Ints,
    versions: Ints,
    positions: Ints,
    as_of: int,
    f: int,
    features: Floats,
) -> None:
    """Fill column `f` from the request and the catalog: a number of the item, its age, its position, the
    time."""
    op, column = program.features[f, p.FEATURE_OP], program.features[f, p.FEATURE_ARG]
    cycle = program.feature_values[f]
    for j in range(versions.size):
        if op == p.NUMBER:
            features[j, f] = catalog.numbers[versions[j], column] if versions[j] != MISSING else np.nan
        elif op == p.AGE:
            known = versions[j] != MISSING
            since = catalog.valid_from[catalog.versions[items[j]]] if known else 0
            features[j, f] = np.log1p((as_of - since) / 1000.0) if known else np.nan
        elif op == p.POSITION:
            features[j, f] = positions[j]
        else:
            angle = 2.0 * np.pi * (as_of % np.int64(cycle)) / cycle
            is_sine = program.features[f, p.FEATURE_AGGREGATE] == p.SINE
            features[j, f] = np.sin(angle) if is_sine else np.cos(angle)


@compiled
def in_list(features: Floats, of: int, measure: int, f: int) -> None:
    """Fill column `f`: column `of` against its mean, deviation or order within the list."""
    known, mean, square = 0, 0.0, 0.0
    for j in range(features.shape[0]):
        if not np.isnan(features[j, of]):
            known += 1
            step = features[j, of] - mean
            mean += step / known
            square += step * (features[j, of] - mean)
    deviation = np.sqrt(square / known)
    for j in range(features.shape[0]):
        away = features[j, of] - mean if known else np.nan
        if measure == p.LIST_MEAN:
            features[j, f] = mean if known else np.nan
        elif measure == p.LIST_STD:
            features[j, f] = deviation
        elif measure == p.LIST_RANK:
            features[j, f] = _rank(features, j, of)
        else:
            scale = deviation if measure == p.LIST_ZSCORE and deviation > 0.0 else 1.0
            features[j, f] = away / scale


@compiled
def _rank(features: Floats, j: int, of: int) -> float:
    """1 for the largest value of the column; NaN for a missing one."""
    larger = 0
    for other in range(features.shape[0]):
        larger += features[other, of] > features[j, of]
    return np.nan if np.isnan(features[j, of]) else larger + 1.0
