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
from pipelines.features.kernel import Happenings, advance, read
from pipelines.features.lookups import Lookups
from pipelines.features.program import USER_EVENTS, Ints, Program, States
from pipelines.features.rows import Rows, grown
from pipelines.features.state import empty
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
        batch = self._happenings(history)
        decisions = np.flatnonzero(history.decision_rows >= 0)
        made = history.as_of[decisions]
        # What arrived by then and stands before it; a decision is no part of its own past.
        places = np.minimum(np.searchsorted(history.arrived, made, side="right"), decisions)
        order = np.argsort(places, kind="stable")
        decisions, places, made = decisions[order], places[order], made[order]
        starts = np.append(0, np.cumsum(history.lists_to[decisions] - history.lists_from[decisions]))
        width = len(self.definitions.names)
        features = np.empty((starts[-1], width + 2), np.float32)
        earlier = np.empty(decisions.size, np.int64)
        program, lookups = self.definitions.program, self.catalog.lookups()
        asked = history.queries_from, history.queries_to, history.terms
        _carry(
            program,
            self.states,
            lookups,
            self.catalog.spaces(),
            batch,
            asked,
            decisions,
            places,
            made,
            starts,
            features,
            earlier,
            self.tally,
        )
        late = made < self._newest
        if len(history):
            self._newest = max(self._newest, int(history.arrived[-1]))
        rows = history.decision_rows[decisions]
        return Probes(rows, starts, features[:, :width], features[:, width:], earlier, late)

    def _happenings(self, history: History) -> Happenings:
        users, items = self.users.of(history.users), self.catalog.items.of(history.items)
        listed = self.catalog.items.of(history.listed)
        kept = self.states
        self.states = States(
            kept.everything,
            grown(kept.items, self.catalog.items.count),
            grown(kept.values, self.catalog.values.count),
            grown(kept.users, self.users.count),
        )
        lists = (history.lists_from, history.lists_to, listed)
        return Happenings(history.times, history.codes, users, history.ids, items, *lists)


@compiled
def _carry(
    program: Program,
    states: States,
    lookups: Lookups,
    spaces: Spaces,
    batch: Happenings,
    asked: tuple[Ints, Ints, Ints],
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
        query, positions = asked[2][asked[0][i] : asked[1][i]], np.arange(1, items.size + 1)
        found = read(program, states, lookups, spaces, user, items, positions, query, made[k])
        for j in range(found.shape[0]):
            for f in range(found.shape[1]):
                features[starts[k] + j, f] = found[j, f]
        earlier[k] = states.users[user, USER_EVENTS]
