"""Kernels that compute features of all candidates of a list from numbers that the records keep."""

from __future__ import annotations

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.lookups import MISSING, Lookups, jaccard, row_of, version_at
from pipelines.features.program import Floats, Ints, Program, States
from pipelines.features.records import count_in_buckets, find_slot


@compiled
def by_record(
    program: Program,
    states: States,
    catalog: Lookups,
    user: int,
    items: Ints,
    versions: Ints,
    as_of: int,
    f: int,
    n: Floats,
    features: Floats,
) -> None:
    """Fill column `f`, and the next ones that only differ in how they aggregate; `n` is room for numbers."""
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    share = program.features[f, p.FEATURE_SHARE]
    of_values = scope == p.VALUE or (scope == p.SLOT and key != p.ITEM_KEY)
    _fill(program, states.everything, 0, 0, f, p.EVERYTHING, as_of, n)
    _fill(program, states.users, user, 0, f, p.USER, as_of, n)
    for j in range(items.size):
        if items[j] >= 0:
            _fill(program, states.items, items[j], 0, f, p.ITEM, as_of, n)
        if of_values:
            _over_values(program, states, catalog, user, versions[j], as_of, f, n, features[j])
            continue
        if scope == p.SLOT:
            _fill_slot(program, states.users, user, catalog.item_keys[items[j]], f, as_of, n)
        features[j, f : f + share] = _formula(program, f, as_of, n)


@compiled
def _over_values(
    program: Program,
    states: States,
    catalog: Lookups,
    user: int,
    version: int,
    as_of: int,
    f: int,
    n: Floats,
    out: Floats,
) -> None:
    scope, key = program.features[f, p.FEATURE_SCOPE], program.features[f, p.FEATURE_KEY]
    total, largest, smallest, found = 0.0, -np.inf, np.inf, 0
    if version != MISSING:
        for at in range(catalog.value_starts[key, version], catalog.value_starts[key, version + 1]):
            value = catalog.value_rows[at]
            _fill(program, states.values, value, 0, f, p.VALUE, as_of, n)
            if scope == p.SLOT:
                _fill_slot(program, states.users, user, catalog.value_keys[value], f, as_of, n)
            one = _formula(program, f, as_of, n)
            if not np.isnan(one):
                total, largest, smallest, found = (
                    total + one,
                    max(largest, one),
                    min(smallest, one),
                    found + 1,
                )
    for g in range(f, f + program.features[f, p.FEATURE_SHARE]):
        out[g] = aggregated(program.features[g, p.FEATURE_AGGREGATE], total, largest, smallest, found)


@compiled
def aggregated(how: int, total: float, largest: float, smallest: float, found: int) -> float:
    """The chosen one of mean, max, min and sum of `found` numbers; NaN of none."""
    if found == 0:
        return np.nan
    if how == p.MEAN:
        return total / found
    if how == p.MAX:
        return largest
    return smallest if how == p.MIN else total


@compiled
def _fill_slot(program: Program, users: Ints, user: int, key: int, f: int, as_of: int, n: Floats) -> None:
    t = program.features[f, p.FEATURE_TARGET]
    table, slots, words = (
        program.targets[t, p.TARGET_TABLE],
        program.targets[t, p.TARGET_SLOTS],
        program.targets[t, p.TARGET_WORDS],
    )
    slot = find_slot(users, user, table, slots, key)
    _fill(
        program,
        users,
        user,
        table + 2 * slots + slot * words if slot != MISSING else MISSING,
        f,
        p.SLOT,
        as_of,
        n,
    )


@compiled
def _fill(
    program: Program, records: Ints, row: int, block: int, f: int, scope: int, as_of: int, n: Floats
) -> None:
    window = program.features[f, p.FEATURE_BUCKETS]
    for i in range(p.MAX_STEPS):
        s = program.features[f, p.FEATURE_STEPS + i]
        if s == p.NO_STEP:
            break
        if program.steps[s, p.STEP_SCOPE] != scope:
            continue
        op, width = program.steps[s, p.STEP_OP], program.steps[s, p.STEP_WIDTH]
        at = block + program.steps[s, p.STEP_OFFSET]
        if block == MISSING:
            n[i] = np.nan if op == p.LEARN else 0.0
        elif op == p.LEARN:
            n[i] = records.view(np.float64)[row, at + 1]
        elif width:
            n[i] = count_in_buckets(
                records, row, at, program.steps[s, p.STEP_BUCKETS], as_of // width, window
            )
        else:
            n[i] = records[row, at]


@compiled
def _formula(program: Program, f: int, as_of: int, n: Floats) -> float:
    op, smooth = program.features[f, p.FEATURE_OP], program.feature_values[f]
    if op == p.COUNT:
        return float(np.log1p(n[0]) if program.features[f, p.FEATURE_LOG] else n[0])
    if op == p.RATE:
        return _rate(n[0], n[1], n[2] / n[3], smooth)
    if op == p.PREFERENCE:
        overall = n[6] / n[7]
        expected = _rate(n[2], n[3], overall, smooth) * _rate(n[4], n[5], overall, smooth) / overall
        return float(_rate(n[0], n[1], expected, smooth) - expected)
    if op == p.RECENCY:
        return float(np.log1p(max(as_of - n[0], 0.0) / 1000.0)) if n[0] else np.nan
    return float(n[0])


@compiled
def _rate(part: float, whole: float, prior: float, smooth: float) -> float:
    return (part + smooth * prior) / (whole + smooth) if smooth else part / whole


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
    wanted = _rate(kept[user, liked + 1], kept[user, liked], usual, smooth)
    measure = program.features[f, p.FEATURE_AGGREGATE]
    for j in range(versions.size):
        difference = catalog.numbers[versions[j], column] - wanted if versions[j] != MISSING else np.nan
        if measure == p.LEAN:
            features[j, f] = wanted - usual
        else:
            features[j, f] = abs(difference) if measure == p.DISTANCE else difference


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
    attribute, last = program.features[f, p.FEATURE_KEY], program.features[f, p.FEATURE_BUCKETS]
    ring = program.features[f, p.FEATURE_ARG]
    at, length = program.rings[ring, p.RING_OFFSET], program.rings[ring, p.RING_LENGTH]
    count = min(states.users[user, at], last)
    others = np.empty(count, np.int64)
    for back in range(count):
        key = states.users[user, at + 1 + (states.users[user, at] - 1 - back) % length]
        others[back] = version_at(catalog, row_of(catalog, key), as_of)
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


@compiled
def in_list(features: Floats, of: int, measure: int, f: int) -> None:
    """Fill column `f`: column `of` against its mean, deviation or order within the list."""
    column = features[:, of]
    known = column[~np.isnan(column)]
    mean = known.mean() if known.size else np.nan
    deviation = known.std() if known.size else np.nan
    for j in range(column.size):
        if measure == p.LIST_MEAN:
            features[j, f] = mean
        elif measure == p.LIST_STD:
            features[j, f] = deviation
        elif measure == p.LIST_DIFFERENCE:
            features[j, f] = column[j] - mean
        elif measure == p.LIST_ZSCORE:
            features[j, f] = (column[j] - mean) / deviation if deviation > 0.0 else column[j] - mean
        else:
            features[j, f] = np.nan if np.isnan(column[j]) else (known > column[j]).sum() + 1.0
