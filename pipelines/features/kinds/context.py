"""Kinds that need no history: the candidate itself, its place, the moment, and the list around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.declarations import VALUED, Declaration
from pipelines.features.entries import Entries
from pipelines.features.lookups import MISSING, Lookups
from pipelines.features.measures import Measured
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
    "median": p.LIST_MEDIAN,
    "median_difference": p.LIST_MEDIAN_DIFFERENCE,
}
SHARE = "share"
MEASURED: dict[str, tuple[str, ...]] = {"number": ("number",), "words": ("text",), "index": VALUED}
"""How an attribute is read as a number -> the kinds of attributes that can be."""


class Attribute(Declaration, frozen=True, tag="attribute"):
    """An attribute of the candidate as a number x, or log(1 + x).

    A number itself; the number of words of a text, which are what stands between blanks; or the `index` of
    its category, or of the first of its tags, among `values`: from 1, and 0 for any other. Missing where the
    candidate has no such attribute.
    """

    of: str
    log: bool = False
    measure: Literal["number", "words", "index"] = "number"
    values: tuple[str, ...] = ()

    def check(self, checker: Checker) -> None:
        """An attribute that can be read so; values for an index and for nothing else."""
        others = (name for name in MEASURED if name != self.measure)
        hint = ", ".join(f"`measure: {name}` takes {' or '.join(MEASURED[name])}" for name in others)
        checker.attribute("of", self.of, *MEASURED[self.measure], hint=f" ({hint})")
        checker.listed("values", self.values, "measure: index", self.measure == "index")

    def reading(self, compiler: Compiler) -> Reading:
        """A column of the catalog's numbers."""
        if self.measure == "number":
            return Reading(p.NUMBER, arg=compiler.number(self.of, self.log))
        measured = Measured(self.of, self.log, self.measure, self.values)
        return Reading(p.NUMBER, arg=compiler.measured(measured))


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
    """Another feature `of` the candidate against the same feature of the whole list; or, as `share`, how
    common its values of an attribute `of` are in the list.

    share = Σ n(v) over the candidate's values v / Σ n(v) over all values, where n(v) candidates of the list
    have v, this one among them. It is Metarank's `diversity` of texts without its `top`
    (github.com/metarank/metarank, DiversityFeature.scala, read on 2026-11-27), as `median_difference` is that
    of numbers.
    """

    of: str
    measure: Literal[
        "mean", "std", "zscore", "rank", "difference", "median", "median_difference", "share"
    ] = "zscore"

    @property
    def beside(self) -> str | None:
        """The name of the feature that it looks at; None where it looks at an attribute."""
        return None if self.measure == SHARE else self.of

    def check(self, checker: Checker) -> None:
        """A feature declared above, or an attribute with values to share."""
        if self.measure == SHARE:
            checker.attribute("of", self.of, *VALUED)
        else:
            checker.feature("of", self.of)

    def reading(self, compiler: Compiler) -> Reading:
        """The column of the other feature, or the values of the attribute."""
        if self.measure == SHARE:
            return Reading(p.LIST_SHARE, key=compiler.attribute(self.of))
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
    cycle, wave = program.feature_values[f], np.nan
    if op == p.TIME:
        angle = 2.0 * np.pi * (as_of % np.int64(cycle)) / cycle
        is_sine = program.features[f, p.FEATURE_AGGREGATE] == p.SINE
        wave = np.sin(angle) if is_sine else np.cos(angle)
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
            features[j, f] = wave


@compiled
def in_list(features: Floats, of: int, measure: int, f: int) -> None:
    """Fill column `f`: column `of` against its mean, median, deviation or order within the list."""
    known, mean, square = 0, 0.0, 0.0
    for j in range(features.shape[0]):
        if not np.isnan(features[j, of]):
            known += 1
            step = features[j, of] - mean
            mean += step / known
            square += step * (features[j, of] - mean)
    deviation = np.sqrt(square / known)
    is_by_median = measure == p.LIST_MEDIAN or measure == p.LIST_MEDIAN_DIFFERENCE
    middle = _median(features, of, known) if is_by_median else mean
    for j in range(features.shape[0]):
        away = features[j, of] - middle if known else np.nan
        if measure == p.LIST_MEAN or measure == p.LIST_MEDIAN:
            features[j, f] = middle if known else np.nan
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


@compiled
def _median(features: Floats, of: int, known: int) -> float:
    """The middle one of the `known` values of the column, or the mean of the two in the middle; NaN of
    none."""
    values, found = np.empty(known), 0
    for j in range(features.shape[0]):
        if not np.isnan(features[j, of]):
            values[found] = features[j, of]
            found += 1
    values = np.sort(values)
    return (values[(known - 1) // 2] + values[known // 2]) / 2.0 if known else np.nan


@compiled
def shares(entries: Entries, attribute: int, f: int, features: Floats) -> None:
    """Fill column `f`: how much of all values of the attribute that the list has are those of the
    candidate."""
    starts, links = entries.starts[attribute], entries.links[attribute]
    counts, total = np.zeros(entries.counts[attribute], np.int64), starts[features.shape[0]]
    for at in range(total):
        counts[links[at]] += 1
    for j in range(features.shape[0]):
        alike = 0
        for at in range(starts[j], starts[j + 1]):
            alike += counts[links[at]]
        features[j, f] = alike / total if starts[j + 1] > starts[j] else np.nan
