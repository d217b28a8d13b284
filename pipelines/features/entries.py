"""What features have one number of: the candidates, the values of their attributes, or nothing of theirs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features.compiled import compiled
from pipelines.features.lookups import MISSING, Lookups, values_of
from pipelines.features.program import Ints


class Entries(NamedTuple):
    """What a feature has one number of, by what it counts by: the attributes, then the items themselves, then
    what is the same for all candidates. Each is named once, however many candidates have it."""

    starts: Ints  # [kinds, candidates + 1]: candidate j's entries are links[kind, starts[j]:starts[j + 1]]
    links: Ints  # [kinds, most]: numbers of entries
    rows: Ints  # [kinds, most]: an entry's row of the item or of the attribute value
    keys: Ints  # [kinds, most]: its hash
    counts: Ints  # [kinds]: how many entries there are, MISSING before they are looked up
    places: Ints  # a table with open addressing to tell values apart; a power of two


@compiled
def entries_for(catalog: Lookups, versions: Ints) -> Entries:
    """Room for the entries of candidates with these versions, none of them looked up yet."""
    attributes, most, places = catalog.value_starts.shape[0], max(versions.size, 1), 2
    for key in range(attributes):
        held = 0
        for version in versions:
            first, last = values_of(catalog, key, version)
            held += last - first
        most = max(most, held)
    while places < 2 * most:
        places *= 2
    kinds = attributes + 2
    return Entries(
        np.empty((kinds, versions.size + 1), np.int64),
        np.empty((kinds, most), np.int64),
        np.empty((kinds, most), np.int64),
        np.empty((kinds, most), np.int64),
        np.full(kinds, MISSING),
        np.empty(places, np.int64),
    )


@compiled
def enter(catalog: Lookups, items: Ints, versions: Ints, kind: int, entries: Entries) -> None:
    """Name the entries of this kind, unless they are, and say which ones a candidate has."""
    if entries.counts[kind] != MISSING:
        return
    attributes = catalog.value_starts.shape[0]
    if kind >= attributes:
        of_items = kind == attributes
        for j in range(items.size + 1):
            entries.starts[kind, j] = j
        for j in range(items.size):
            entries.links[kind, j] = j if of_items else 0
            entries.rows[kind, j], entries.keys[kind, j] = items[j], catalog.item_keys[items[j]]
        entries.counts[kind] = items.size if of_items else min(items.size, 1)
        return
    entries.places[:] = MISSING
    at, count = 0, 0
    for j in range(items.size):
        entries.starts[kind, j] = at
        first, last = values_of(catalog, kind, versions[j])
        for i in range(first, last):
            row = catalog.value_rows[i]
            place = _place(entries, kind, row)
            if entries.places[place] == MISSING:
                entries.places[place] = count
                entries.rows[kind, count], entries.keys[kind, count] = row, catalog.value_keys[row]
                count += 1
            entries.links[kind, at] = entries.places[place]
            at += 1
    entries.starts[kind, items.size], entries.counts[kind] = at, count


@compiled
def tell_apart(entries: Entries, kind: int) -> None:
    """Make `entry_of` tell the entries of this kind, which were entered before."""
    entries.places[:] = MISSING
    for e in range(entries.counts[kind]):
        entries.places[_place(entries, kind, entries.rows[kind, e])] = e


@compiled
def entry_of(entries: Entries, kind: int, row: int) -> int:
    """The entry of an attribute value, by its row; MISSING where no candidate has it."""
    return int(entries.places[_place(entries, kind, row)])


@compiled
def _place(entries: Entries, kind: int, row: int) -> int:
    """Where the row's entry stands in the table, or would."""
    last = entries.places.size - 1
    place = row & last
    while entries.places[place] != MISSING and entries.rows[kind, entries.places[place]] != row:
        place = (place + 1) & last
    return int(place)
