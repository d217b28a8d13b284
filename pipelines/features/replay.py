"""The replay carrier: folds history in arrival order and reads every decision's features as they were when it
was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.features.catalog import Catalog
from pipelines.features.compiled import compiled
from pipelines.features.definitions import Definitions
from pipelines.features.history import History
from pipelines.features.kernel import Happenings, advance
from pipelines.features.lookups import Lookups
from pipelines.features.program import USER_EVENTS, Ints, Program, States
from pipelines.features.reading import read
from pipelines.features.rows import Rows, grown
from pipelines.features.state import empty
from pipelines.features.vectors import no_vectors
from pipelines.features.vectors_kernel import Spaces


@dataclass(frozen=True)
class Probes:
    """What was read for the decisions of a history. Decision k's candidates are the rows `starts[k]:starts[k
    + 1]`.

    `baselines` are, per row, the item's outcomes so far and their smoothed rate. `is_late` marks a decision
    made before something that an earlier call had folded already: its features may know of its future, so
    nothing is to be learnt from it.
    """

    decision_rows: Ints
    starts: Ints
    features: npt.NDArray[np.float32]
    baselines: npt.NDArray[np.float32]
    earlier_events: Ints
    is_late: npt.NDArray[np.bool_]


class Replay:
    """State records of everything seen so far, in memory. Deterministic: equal histories give equal records
    and features."""

    def __init__(self, definitions: Definitions, catalog: Catalog) -> None:
        """Nothing has happened yet."""
        self.definitions = definitions
        self.catalog = catalog
        self.users = Rows()
        layouts = definitions.layouts
        self.states = States(
            empty(layouts.everything, 1), *(empty(k, 0) for k in (layouts.item, layouts.value, layouts.user))
        )
        self.tally = np.zeros(3, np.int64)
        self._newest = np.iinfo(np.int64).min

    def advance(self, history: History) -> Probes:
        """Fold the history; before each decision, and before all that arrived after it was made, read its
        features."""
        batch = happenings(history, self.catalog, self.users.of(history.users))
        kept, catalog = self.states, self.catalog
        self.states = States(
            kept.everything,
            grown(kept.items, catalog.items.count),
            grown(kept.values, catalog.values.count),
            grown(kept.users, self.users.count),
        )
        probes = fold(self.definitions, catalog, self.states, history, batch, self.tally, self._newest)
        if len(history):
            self._newest = max(self._newest, int(history.arrived[-1]))
        return probes


def happenings(history: History, catalog: Catalog, users: Ints) -> Happenings:
    """The history as the kernel takes it: items by their rows in the catalog, users by the given ones."""
    items, listed = catalog.items.of(history.items), catalog.items.of(history.listed)
    lists = (history.lists_from, history.lists_to, listed)
    queries = (history.queries_from, history.queries_to, history.terms)
    who = (users, history.users, history.ids)
    return Happenings(history.times, history.codes, *who, items, *lists, *queries)


def fold(
    definitions: Definitions,
    catalog: Catalog,
    states: States,
    history: History,
    batch: Happenings,
    tally: Ints,
    newest: int,
) -> Probes:
    """Fold the history (and `batch`, the same for the kernel) into the states, and read its decisions on
    the way.

    `tally` counts on, see `kernel.advance`; `newest` (ms) is the latest arrival that the states have seen
    before.
    """
    where = probed(history)
    decisions, _, made, starts = where
    width = len(definitions.names)
    features = np.empty((starts[-1], width + 2), np.float32)
    earlier = np.empty(decisions.size, np.int64)
    kernel = (definitions.program, states, catalog.lookups(), catalog.spaces())
    _carry(*kernel, batch, *where, features, earlier, tally)
    rows = history.decision_rows[decisions]
    return Probes(rows, starts, features[:, :width], features[:, width:], earlier, made < newest)


def fold_only(
    definitions: Definitions,
    catalog: Catalog,
    states: States,
    batch: Happenings,
    tally: Ints,
    spaces: Spaces | None = None,
) -> None:
    """As `fold`, with the same states in the end, without a look at the decisions: no vectors are needed, so
    `spaces` may be any; None makes empty ones."""
    nothing, features = np.zeros(0, np.int64), np.empty((0, len(definitions.names) + 2), np.float32)
    if spaces is None:
        spaces = no_vectors().spaces(catalog.items.keys())
    kernel = (definitions.program, states, catalog.lookups(), spaces)
    _carry(*kernel, batch, nothing, nothing, nothing, np.zeros(1, np.int64), features, nothing, tally)


def probed(history: History) -> tuple[Ints, Ints, Ints, Ints]:
    """Of each decision its place in the history, the place before which everything is its past, and when it
    was made, in the order in which they are read; and where each one's candidates start."""
    decisions = np.flatnonzero(history.decision_rows >= 0)
    made = history.as_of[decisions]
    # What arrived by then and stands before it; a decision is no part of its own past.
    places = np.minimum(np.searchsorted(history.arrived, made, side="right"), decisions)
    order = np.argsort(places, kind="stable")
    decisions, places, made = decisions[order], places[order], made[order]
    starts = np.append(0, np.cumsum(history.lists_to[decisions] - history.lists_from[decisions]))
    return decisions, places, made, starts


@compiled
def _carry(
    program: Program,
    states: States,
    lookups: Lookups,
    spaces: Spaces,
    batch: Happenings,
    decisions: Ints,
    places: Ints,
    made: Ints,
    starts: Ints,
    features: npt.NDArray[np.float32],
    earlier: Ints,
    tally: Ints,
) -> None:
    folded = 0
    for k in range(decisions.size + 1):
        until = int(places[k]) if k < decisions.size else batch.times.size
        advance(program, states, lookups, batch, folded, until, tally)
        folded = until
        if k == decisions.size:
            break
        i = decisions[k]
        user, items = batch.users[i], batch.listed[batch.lists_from[i] : batch.lists_to[i]]
        query = batch.terms[batch.queries_from[i] : batch.queries_to[i]]
        positions = np.arange(1, items.size + 1)
        found = read(program, states, lookups, spaces, user, items, positions, query, made[k])
        for j in range(found.shape[0]):
            for f in range(found.shape[1]):
                features[starts[k] + j, f] = found[j, f]
        earlier[k] = states.users[user, USER_EVENTS]
