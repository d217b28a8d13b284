"""Acts grouped by entity and window, and what can be said of each group in a few passes over all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.anomalies.acts import Acts

Numbers = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).min


class Groups:
    """Acts of some windows of one length, in the order of window, entity, time.

    `start` (epoch ms), `entity` (hash) and `size` have one value for each group; `of_row` is each act's
    group, `first` each group's first act. `gap` is the time (ms) since the act before, 0 for the first.
    """

    def __init__(self, acts: Acts, entity: str, length: int) -> None:
        """Group acts that all have an entity of that kind."""
        start = acts["at"] // length * length
        order = np.lexsort((acts["id"], acts["at"], acts[entity], start))
        self.acts, self.length = acts[order], length
        start, owner, at = start[order], self.acts[entity], self.acts["at"]
        opens = np.ones(len(acts), bool)
        opens[1:] = (np.diff(start) != 0) | (np.diff(owner) != 0)
        self.first = np.flatnonzero(opens)
        self.start, self.entity = start[self.first], owner[self.first]
        self.size = np.diff(np.append(self.first, len(acts)))
        self.of_row = np.repeat(np.arange(len(self.first)), self.size)
        self.inside = ~opens
        self.gap: Ints = np.where(self.inside, np.diff(at, prepend=at[:1]), 0)

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self.first)

    def count(self, rows: Mask) -> Numbers:
        """How many of the marked acts each group has."""
        return self.per_group(self.of_row[rows])

    def add(self, values: Ints, rows: Mask) -> Numbers:
        """The sum of the marked acts' values; exact below 2^53, so that it does not depend on their order."""
        return self.per_group(self.of_row[rows], values[rows].astype(np.float64))

    def most(self, values: Ints) -> Numbers:
        """The greatest value of each group."""
        return np.maximum.reduceat(values, self.first).astype(np.float64)

    def least(self, values: Ints) -> Numbers:
        """The least value of each group."""
        return np.minimum.reduceat(values, self.first).astype(np.float64)

    def per_group(self, group: Ints, weights: Numbers | None = None) -> Numbers:
        """Rows, or their weights, added up by group."""
        return np.bincount(group, weights=weights, minlength=len(self)).astype(np.float64)

    def tally(self, codes: Ints, rows: Mask) -> tuple[Ints, Ints]:
        """The distinct pairs of group and code among the marked acts: each pair's group, and its number of
        acts."""
        group, code = self.of_row[rows], codes[rows]
        order = np.lexsort((code, group))
        group, code = group[order], code[order]
        opens = np.flatnonzero(np.r_[True, (np.diff(group) != 0) | (np.diff(code) != 0)][: len(group)])
        return group[opens], np.diff(np.append(opens, len(group)))

    def distinct(self, codes: Ints) -> Numbers:
        """How many codes other than 0 each group has."""
        return self.per_group(self.tally(codes, codes != 0)[0])

    def entropy(self, codes: Ints, rows: Mask) -> Numbers:
        """Shannon's entropy in bits of each group's codes among the marked acts, 0 without any."""
        group, sizes = self.tally(codes, rows)
        in_order = np.lexsort((sizes, group))
        group, share = group[in_order], sizes[in_order] / self.count(rows)[group[in_order]]
        return self.per_group(group, -share * np.log2(share))

    def first_marked(self, rows: Mask) -> Ints:
        """The first marked act of each group, by its place among `acts`; -1 where none is marked."""
        place = np.where(rows, np.arange(len(self.acts)), len(self.acts))
        found = np.minimum.reduceat(place, self.first) if len(self) else place
        return np.where(found < len(self.acts), found, -1)

    def first_value(self, name: str) -> Ints:
        """Of a column each group's first value, 0 where it has none."""
        row = self.first_marked(self.acts[name] != 0)
        return np.where(row >= 0, self.acts[name][row], 0)


def share(part: Numbers, whole: Numbers) -> Numbers:
    """`part` / `whole`, 0 where there is no whole."""
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))


def medians(codes: Ints, values: Numbers, among: Mask) -> tuple[Numbers, Ints]:
    """(median of the marked values of each code, how many these are), for each value by its code, of which
    at least one is marked."""
    if not len(codes):
        return np.zeros(0), np.zeros(0, np.int64)
    own, marked = codes[among], values[among]
    order = np.lexsort((marked, own))
    ordered = own[order]
    opens = np.flatnonzero(np.r_[True, np.diff(ordered) != 0])
    size = np.diff(np.append(opens, len(own)))
    low, high = opens + (size - 1) // 2, opens + size // 2
    middle = (marked[order][low] + marked[order][high]) / 2
    place = np.searchsorted(ordered[opens], codes)
    return middle[place], size[place]


class History:
    """What the entities of some groups did before: acts of theirs, among them those of the groups."""

    def __init__(self, groups: Groups, acts: Acts, entity: str, reach: int) -> None:
        """`acts` are at least those of the groups' entities from `reach` (ms) before each group on."""
        self.groups, self.reach = groups, reach
        self.owners, self.owner = np.unique(groups.entity, return_inverse=True)
        place = np.searchsorted(self.owners, acts[entity])
        ours = (place < len(self.owners)) & (
            self.owners[np.minimum(place, len(self.owners) - 1)] == acts[entity]
        )
        self.acts, self.of = acts[ours], place[ours]
        at = self.acts["at"]
        self.base = int(min(at.min(initial=0), groups.start.min(initial=0) - 3 * reach))
        self.span = int(max(at.max(initial=0), groups.start.max(initial=0) + groups.length)) - self.base + 1
        self.keys = np.sort(self.of * self.span + (at - self.base))  # by owner, then by time

    def count(self, since: Ints, until: Ints) -> Numbers:
        """How many acts each group's entity had from one time (epoch ms) to before another."""
        low, high = (
            np.searchsorted(self.keys, self.owner * self.span + np.clip(t - self.base, 0, self.span - 1))
            for t in (since, until)
        )
        return (high - low).astype(np.float64)

    def before(self) -> Numbers:
        """How many acts each group's entity had in the reach before the group."""
        return self.count(self.groups.start - self.reach, self.groups.start)

    def distinct_and_new(self, name: str) -> tuple[Numbers, Numbers, Mask]:
        """Of a column: how many values each group has; how many of them its entity had not in the reach
        before; and which acts of the groups are the first with such a new value."""
        groups, values, at = self.groups, self.acts[name], self.acts["at"]
        known = np.flatnonzero(values != 0)
        order = known[np.lexsort((self.acts["id"][known], at[known], values[known], self.of[known]))]
        same = np.zeros(len(order), bool)
        same[1:] = (np.diff(values[order]) == 0) & (np.diff(self.of[order]) == 0)
        previous = np.full(len(order), NEVER)
        previous[1:] = np.where(same[1:], at[order][:-1], NEVER)
        start = at[order] // groups.length * groups.length
        opens = previous < start  # the value's first act in its window
        wanted = np.isin(start, np.unique(groups.start)) & opens
        row, fresh = order[wanted], previous[wanted] < start[wanted] - self.reach
        group = self._groups_of(self.of[row], start[wanted])
        distinct, new = groups.per_group(group), groups.per_group(group[fresh])
        marks = np.zeros(len(groups.acts), bool)
        if fresh.any():
            marks = np.isin(groups.acts["id"], self.acts["id"][row[fresh]])
        return distinct, new, marks

    def _groups_of(self, of: Ints, start: Ints) -> Ints:
        """The group of each pair of owner and window start, which exists."""
        keys = self._group_keys(self.owner, self.groups.start)
        order = np.argsort(keys)
        return np.asarray(order[np.searchsorted(keys[order], self._group_keys(of, start))])

    def _group_keys(self, of: Ints, start: Ints) -> Ints:
        return np.asarray(of * self.span + (start - self.base), np.int64)
