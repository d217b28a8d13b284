"""The kernel that reads features of candidates from what records keep; the families have the formulas."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features import program as p
from pipelines.features.arithmetic import aggregated
from pipelines.features.compiled import compiled
from pipelines.features.kinds.amounts import added_up, different
from pipelines.features.kinds.counters import counted
from pipelines.features.kinds.preferences import learnt, preferred
from pipelines.features.kinds.session import in_session
from pipelines.features.lookups import MISSING, Lookups, values_of
from pipelines.features.program import Floats, Ints, Program, States
from pipelines.features.records import count_in_buckets, find_slot


class Asked(NamedTuple):
    """Who asks, and when."""

    user: int  # row of the user's record
    session: int  # number of the user's session, 0 for a new one
    query: int  # hash of the query, 0 without one
    as_of: int  # ms


@compiled
def by_record(
    program: Program,
    states: States,
    catalog: Lookups,
    asked: Asked,
    items: Ints,
    versions: Ints,
    f: int,
    n: Floats,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate; `n` is room for numbers."""
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    of_values = scope == p.VALUE or (scope >= p.SLOT and key >= 0)
    changed = p.EVERYTHING
    for j in range(items.size):
        first, last, whose = 0, 1, catalog.item_keys[items[j]]
        if of_values:
            first, last = values_of(catalog, key, versions[j])
        total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
        for at in range(first, last):
            value = MISSING
            if of_values:
                value = catalog.value_rows[at]
                whose = catalog.value_keys[value]
            _look_up(program, states, catalog, asked, items[j], versions[j], value, whose, f, changed, n)
            changed = p.VALUE
            one = _formula(program, f, asked.as_of, n)
            if not np.isnan(one):
                total, largest, smallest, found = (
                    total + one,
                    max(largest, one),
                    min(smallest, one),
                    found + 1,
                )
        for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
            how = program.features[g, p.FEATURE_AGGREGATE]
            features[j, g] = aggregated(how, total, largest, smallest, found)
        changed = min(changed, p.ITEM)


@compiled
def _look_up(
    program: Program,
    states: States,
    catalog: Lookups,
    asked: Asked,
    item: int,
    version: int,
    value: int,
    whose: int,
    f: int,
    changed: int,
    n: Floats,
) -> None:
    """Fill `n` with what the feature needs; numbers of scopes before `changed` are there already."""
    block = _block(program, states, asked, whose, f)
    for i in range(p.MAX_STEPS):
        s = program.features[f, p.FEATURE_STEPS + i]
        if s == p.NO_STEP:
            break
        scope, key = program.steps[s, p.STEP_SCOPE], program.steps[s, p.STEP_KEY]
        if scope < changed:
            continue
        records, row, at = states.everything, 0, program.steps[s, p.STEP_OFFSET]
        if scope == p.ITEM or (scope == p.QUERY and key == p.ITEM_KEY):
            records, row = states.items, item
        elif scope == p.VALUE or (scope == p.QUERY and key >= 0):
            records, row = states.values, value
        elif scope in (p.USER, p.SLOT, p.SESSION):
            records, row = states.users, asked.user
        if scope >= p.SLOT:
            if block == MISSING:
                is_unknown = program.steps[s, p.STEP_OP] == p.LEARN or scope == p.QUERY
                n[i] = np.nan if is_unknown else 0.0
                continue
            at += block
        if scope == p.VALUE and value == MISSING:
            n[i] = _pooled(program, states, catalog, version, s, at, asked.as_of)
        else:
            longer = program.features[f, p.FEATURE_OP] == p.TREND and i > 0
            window = program.features[f, p.FEATURE_ARG if longer else p.FEATURE_BUCKETS]
            n[i] = _stored(program, records, row, s, at, window, asked.as_of)


@compiled
def _block(program: Program, states: States, asked: Asked, whose: int, f: int) -> int:
    """Where the words of a key begin in the table that the feature looks into; MISSING when it is not
    there."""
    t = program.features[f, p.FEATURE_TARGET]
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    table, slots = program.targets[t, p.TARGET_TABLE], program.targets[t, p.TARGET_SLOTS]
    words = program.targets[t, p.TARGET_WORDS]
    if scope < p.SLOT:
        return 0
    if scope == p.QUERY:
        return int(table + asked.query % slots * words) if asked.query else MISSING
    wanted = whose
    if scope == p.SESSION:
        if not asked.session:
            return MISSING
        wanted = in_session(0 if key == p.ALONE else whose, asked.session)
    slot = find_slot(states.users, asked.user, table, slots, wanted)
    return int(table + 2 * slots + slot * words) if slot != MISSING else MISSING


@compiled
def _stored(program: Program, records: Ints, row: int, s: int, at: int, window: int, as_of: int) -> float:
    """What step `s` keeps at word `at` of the record, in the latest `window` buckets as of a moment."""
    op, width, arg = program.steps[s, p.STEP_OP], program.steps[s, p.STEP_WIDTH], program.steps[s, p.STEP_ARG]
    buckets = program.steps[s, p.STEP_BUCKETS]
    if op == p.LEARN:
        return float(learnt(records.view(np.float64), row, at, arg, as_of))
    if op == p.DISTINCT:
        return float(different(records, row, at, width, buckets, window, as_of))
    found = records[row, at]
    if width:
        found = count_in_buckets(records, row, at, buckets, as_of // width, window)
    if op == p.FIRST:
        return float(p.LATER_THAN_ALL - found) if found else 0.0
    return found / p.FIXED_POINT if op in (p.AMOUNT, p.WEIGHT) else float(found)


@compiled
def _pooled(
    program: Program, states: States, catalog: Lookups, version: int, s: int, at: int, as_of: int
) -> float:
    """The step's numbers of all values of the version's attribute together."""
    total = 0.0
    first, last = values_of(catalog, program.steps[s, p.STEP_KEY], version)
    for value in range(first, last):
        total += _stored(program, states.values, catalog.value_rows[value], s, at, 0, as_of)
    return total


@compiled
def _formula(program: Program, f: int, as_of: int, n: Floats) -> float:
    op = program.features[f, p.FEATURE_OP]
    if op in (p.COUNT, p.RATE, p.RECENCY, p.IS_NEW, p.TREND):
        return float(counted(program, f, as_of, n))
    if op in (p.SUM_OF, p.MEAN_OF, p.DISTINCT_OF):
        return float(added_up(program, f, n))
    return float(preferred(program, f, n) if op == p.PREFERENCE else n[0])
