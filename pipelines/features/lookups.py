"""What is known of items: attribute values and numbers by version, and kernels that look them up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.program import Floats, Ints, Program, States

MISSING = -1


class Lookups(NamedTuple):
    """The catalog as the kernel takes it. An item has versions, each valid from its time until the next."""

    item_keys: Ints  # [n_items]: hash of the id
    versions: Ints  # [n_items + 1]: an item's versions are versions[i]:versions[i + 1]
    valid_from: Ints  # [n_versions]: ms, ascending within an item
    value_starts: (
        Ints  # [n_attributes, n_versions + 1]: where a version's values of an attribute are in value_rows
    )
    value_rows: Ints  # rows of values, ascending within a version and attribute
    value_keys: Ints  # [n_values]: hash of attribute and value
    numbers: Floats  # [n_versions, n_numbers]
    index_keys: (
        Ints  # open addressing from an item's hash to its row; a power of two of places, key 0 is free
    )
    index_rows: Ints


@compiled
def version_at(catalog: Lookups, item: int, time: int) -> int:
    """The item's version at `time`, MISSING for no item or one that was not known then."""
    if item < 0:
        return MISSING
    for version in range(catalog.versions[item + 1] - 1, catalog.versions[item] - 1, -1):
        if catalog.valid_from[version] <= time:
            return version
    return MISSING


@compiled
def values_of(catalog: Lookups, attribute: int, version: int) -> tuple[int, int]:
    """Where the version's values of the attribute begin and end in `value_rows`."""
    if version == MISSING:
        return 0, 0
    return int(catalog.value_starts[attribute, version]), int(catalog.value_starts[attribute, version + 1])


@compiled
def fill_index(index_keys: Ints, index_rows: Ints, keys: Ints) -> None:
    """Write every key and its row into an empty index that has more places than there are keys."""
    last = index_keys.size - 1
    for row in range(keys.size):
        place = keys[row] & last
        while index_keys[place] != 0:
            place = (place + 1) & last
        index_keys[place] = keys[row]
        index_rows[place] = row


@compiled
def row_in(index_keys: Ints, index_rows: Ints, key: int) -> int:
    """The row that an index with open addressing has for the key, MISSING for an unknown one: a power of two
    of places, key 0 is free."""
    last = index_keys.size - 1
    place = key & last
    while index_keys[place] != 0:
        if index_keys[place] == key:
            return int(index_rows[place])
        place = (place + 1) & last
    return MISSING


@compiled
def row_of(catalog: Lookups, key: int) -> int:
    """Row of the item with this hash, MISSING for an unknown one."""
    return int(row_in(catalog.index_keys, catalog.index_rows, key))


@compiled
def latest_rows(program: Program, states: States, catalog: Lookups, user: int, f: int) -> Ints:
    """Rows of the latest items in the feature's ring, the newest first; MISSING for one that the catalog does
    not know."""
    ring, last = program.features[f, p.FEATURE_ARG], program.features[f, p.FEATURE_BUCKETS]
    at, length = program.rings[ring, p.RING_OFFSET], program.rings[ring, p.RING_LENGTH]
    rows = np.empty(min(states.users[user, at], last), np.int64)
    for back in range(rows.size):
        place = (states.users[user, at] - 1 - back) % length
        rows[back] = row_of(catalog, states.users[user, at + 1 + place])
    return rows
