"""A replay for readers who know less: users as they were a while ago, or items without a past.

It shows what a model loses when its features come late, and what it still does for a user or an item that
nobody has met.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions
from pipelines.features.history import History
from pipelines.features.kernel import advance
from pipelines.features.program import USER_EVENTS, Ints, States
from pipelines.features.reading import read
from pipelines.features.replay import Probes, happenings, probed
from pipelines.features.rows import Rows
from pipelines.features.state import empty

NEVER = np.iinfo(np.int64).max
"""A delay after which nothing of a user is known."""


@dataclass(frozen=True)
class Knowledge:
    """What features are read from: the users' records as they were `user_delay_ms` before the decision, and
    the items' own records (never their attributes), or new ones instead."""

    user_delay_ms: int = 0
    knows_items: bool = True


def read_with(knowledge: Knowledge, history: History, definitions: Definitions, catalog: Catalog) -> Probes:
    """The features of every decision of the history, read by someone who knows this much. With all knowledge
    they are those of `Replay.advance`."""
    rows = Rows()
    batch = happenings(history, catalog, rows.of(history.users))
    states, past = (_nothing_happened(definitions, catalog, rows.count) for _ in range(2))
    decisions, places, made, starts = probed(history)
    behind = np.minimum(np.searchsorted(history.arrived, made - knowledge.user_delay_ms, "right"), places)
    program, lookups, spaces = definitions.program, catalog.lookups(), catalog.spaces()
    tally = np.zeros(3, np.int64)
    known = States(
        states.everything,
        states.items if knowledge.knows_items else past.items,
        states.values,
        past.users if knowledge.user_delay_ms else states.users,
    )
    width = len(definitions.names)
    features = np.empty((starts[-1], width + 2), np.float32)
    earlier: Ints = np.empty(decisions.size, np.int64)
    folded = forgotten = 0
    for k, i in enumerate(decisions):
        advance(program, states, lookups, batch, folded, int(places[k]), tally)
        folded = int(places[k])
        if knowledge.user_delay_ms and behind[k] > forgotten:
            advance(program, past, lookups, batch, forgotten, int(behind[k]), tally)
            forgotten = int(behind[k])
        user, items = batch.users[i], batch.listed[batch.lists_from[i] : batch.lists_to[i]]
        query = batch.terms[batch.queries_from[i] : batch.queries_to[i]]
        places_shown = np.arange(1, items.size + 1)
        found = read(program, known, lookups, spaces, user, items, places_shown, query, made[k])
        features[starts[k] : starts[k + 1]] = found
        earlier[k] = states.users[user, USER_EVENTS]
    late = np.zeros(decisions.size, bool)
    probed_rows = history.decision_rows[decisions]
    return Probes(probed_rows, starts, features[:, :width], features[:, width:], earlier, late)


def _nothing_happened(definitions: Definitions, catalog: Catalog, users: int) -> States:
    layouts = definitions.layouts
    return States(
        empty(layouts.everything, 1),
        empty(layouts.item, catalog.items.count),
        empty(layouts.value, catalog.values.count),
        empty(layouts.user, users),
    )
