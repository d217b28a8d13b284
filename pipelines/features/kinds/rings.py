"""Kinds that look at the user's latest items, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.features import program as p
from pipelines.features.arithmetic import aggregated
from pipelines.features.compiled import compiled
from pipelines.features.declarations import VALUED, Aggregate, Declaration
from pipelines.features.lookups import MISSING, Lookups, jaccard, latest_rows, version_at
from pipelines.features.needs import AGGREGATES, Reading
from pipelines.features.program import Floats, Ints, Program, States

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler

MEASURES = {"ratio": p.RATIO, "difference": p.DIFFERENCE, "share_below": p.SHARE_BELOW}


class Similarity(Declaration, frozen=True, tag="similarity"):
    """Jaccard overlap of the candidate's attribute values with those of the user's `last` items with `of`."""

    of: tuple[str, ...]
    attribute: str
    last: int = 16
    aggregate: Aggregate = "mean"

    def check(self, checker: Checker) -> None:
        """An attribute with values."""
        checker.attribute("attribute", self.attribute, *VALUED)

    def reading(self, compiler: Compiler) -> Reading:
        """A ring, and the values of its items."""
        ring, key = compiler.ring(self.of, self.last), compiler.attribute(self.attribute)
        how = AGGREGATES[self.aggregate]
        return Reading(p.SIMILARITY, key=key, aggregate=how, arg=ring, buckets=self.last)


class Relative(Declaration, frozen=True, tag="relative"):
    """The candidate's number attribute against the median over the user's `last` items with `of`: x / m, x
    - m, or the share of those items that are below it."""

    of: tuple[str, ...]
    attribute: str
    last: int = 16
    measure: Literal["ratio", "difference", "share_below"] = "ratio"

    def check(self, checker: Checker) -> None:
        """A number."""
        checker.attribute("attribute", self.attribute, "number")

    def reading(self, compiler: Compiler) -> Reading:
        """A ring, and the number of its items."""
        ring, column = compiler.ring(self.of, self.last), compiler.number(self.attribute, False)
        measure = MEASURES[self.measure]
        return Reading(p.RELATIVE, key=column, aggregate=measure, arg=ring, buckets=self.last)


@compiled
def relatives(
    program: Program,
    states: States,
    catalog: Lookups,
    user: int,
    versions: Ints,
    as_of: int,
    f: int,
    features: Floats,
) -> None:
    """Fill column `f`: the candidates' number against those of the latest items."""
    column, measure = program.features[f, p.FEATURE_KEY], program.features[f, p.FEATURE_AGGREGATE]
    rows = latest_rows(program, states, catalog, user, f)
    others, found = np.empty(rows.size), 0
    for row in rows:
        version = version_at(catalog, row, as_of)
        if version != MISSING and not np.isnan(catalog.numbers[version, column]):
            others[found] = catalog.numbers[version, column]
            found += 1
    others = np.sort(others[:found])
    median = (others[(found - 1) // 2] + others[found // 2]) / 2.0 if found else np.nan
    for j in range(versions.size):
        number = catalog.numbers[versions[j], column] if versions[j] != MISSING else np.nan
        if measure == p.RATIO:
            features[j, f] = number / median
        elif measure == p.DIFFERENCE:
            features[j, f] = number - median
        else:
            known = found > 0 and not np.isnan(number)
            features[j, f] = np.searchsorted(others, number) / found if known else np.nan


@compiled
def similarities(
    program: Program,
    states: States,
    catalog: Lookups,
    user: int,
    versions: Ints,
    as_of: int,
    f: int,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate, over the latest items."""
    attribute = program.features[f, p.FEATURE_KEY]
    others = latest_rows(program, states, catalog, user, f)
    for i in range(others.size):
        others[i] = version_at(catalog, others[i], as_of)
    for j in range(versions.size):
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for other in others:
            if other == MISSING or versions[j] == MISSING:
                continue
            one = jaccard(catalog, attribute, versions[j], other)
            if not np.isnan(one):
                total, largest, smallest, found = (
                    total + one,
                    max(largest, one),
                    min(smallest, one),
                    found + 1,
                )
        for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
            features[j, g] = aggregated(
                program.features[g, p.FEATURE_AGGREGATE], total, largest, smallest, found
            )
