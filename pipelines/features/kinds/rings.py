"""Kinds that look at the user's latest items, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.features import program as p
from pipelines.features.arithmetic import aggregated
from pipelines.features.compiled import compiled
from pipelines.features.declarations import VALUED, Aggregate, Declaration
from pipelines.features.entries import Entries, entry_of, tell_apart
from pipelines.features.lookups import MISSING, Lookups, latest_rows, values_of, version_at
from pipelines.features.needs import AGGREGATES, Reading
from pipelines.features.program import Floats, Ints, Program, States

if TYPE_CHECKING:
    from pipelines.features.checks import Checker
    from pipelines.features.compiling import Compiler

_BITS = 63  # of a word that has a sign
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
    entries: Entries,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate, over the latest items.

    `entries` are the candidates' values of the attribute. What a candidate shares with each of the latest
    items is counted for all of them together: of each value it is noted which of them have it.
    """
    attribute = program.features[f, p.FEATURE_KEY]
    others = latest_rows(program, states, catalog, user, f)
    sizes, shared = np.empty(others.size, np.int64), np.zeros(others.size, np.int64)
    owners = np.zeros((entries.counts[attribute], -(-others.size // _BITS)), np.int64)
    known = 0
    tell_apart(entries, attribute)
    for other in others:
        version = version_at(catalog, other, as_of)
        if version == MISSING:
            continue
        first, last = values_of(catalog, attribute, version)
        sizes[known] = last - first
        for i in range(first, last):
            e = entry_of(entries, attribute, catalog.value_rows[i])
            if e != MISSING:
                owners[e, known // _BITS] |= 1 << known % _BITS
        known += 1
    for j in range(versions.size):
        first, last = entries.starts[attribute, j], entries.starts[attribute, j + 1]
        for at in range(first, last):
            for block in range(owners.shape[1]):
                bits = owners[entries.links[attribute, at], block]
                for i in range(block * _BITS, min((block + 1) * _BITS, known) if bits else 0):
                    shared[i] += bits >> i % _BITS & 1
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for i in range(known if versions[j] != MISSING else 0):
            both = last - first + sizes[i]
            if both:
                one = shared[i] / (both - shared[i])
                total, found = total + one, found + 1
                largest, smallest = max(largest, one), min(smallest, one)
            shared[i] = 0
        for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
            features[j, g] = aggregated(
                program.features[g, p.FEATURE_AGGREGATE], total, largest, smallest, found
            )
