"""The kernel that reads the features of candidates: it hands each to the family that has its formula."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.entries import enter
from pipelines.features.formulas import Asked, Room, by_record, room_for
from pipelines.features.kernel import as_query
from pipelines.features.kinds.context import given, in_list, shares
from pipelines.features.kinds.preferences import tastes
from pipelines.features.kinds.rings import relatives, similarities
from pipelines.features.kinds.session import session_at, session_so_far
from pipelines.features.lent import lent
from pipelines.features.lookups import Lookups, version_at
from pipelines.features.program import Floats, Ints, Program, States
from pipelines.features.vectors_kernel import Spaces, alone, beside_latest


@compiled
def read(
    program: Program,
    states: States,
    catalog: Lookups,
    spaces: Spaces,
    user: int,
    items: Ints,
    positions: Ints,
    query: Ints,
    as_of: int,
) -> npt.NDArray[np.float32]:
    """Features of candidates for a user at `as_of` (ms) as float32[len(items), features]; NaN where unknown
    or not finite.

    `items` are rows of item records; `positions` are the places in the list, or their stand-in while ranking;
    `query` are the hashes of the query's terms, see `words.query_terms`.
    """
    program, states, catalog, spaces = lent(program), lent(states), lent(catalog), lent(spaces)
    items, positions, query = lent(items), lent(positions), lent(query)
    columns = np.empty((program.features.shape[0], items.size), np.float64)
    found = np.empty((items.size, program.features.shape[0]), np.float32)
    versions = np.empty(items.size, np.int64)
    for j in range(items.size):
        versions[j] = version_at(catalog, items[j], as_of)
    room = room_for(program, catalog, versions)
    asked = Asked(user, session_at(states.users, user, as_of, program.gap), as_query(query), as_of)
    _fill(
        program,
        states,
        catalog,
        spaces,
        asked,
        items,
        lent(versions),
        positions,
        query,
        lent(room),
        lent(columns).T,
    )
    for j in range(items.size):
        for f in range(columns.shape[0]):
            value = np.float32(columns[f, j])
            found[j, f] = value if np.isfinite(value) else np.nan  # a learner takes no infinity
    return _beyond(found, versions, room)


@compiled
def _beyond(found: npt.NDArray[np.float32], versions: Ints, room: Room) -> npt.NDArray[np.float32]:
    """What was found, once nobody works any longer in what was lent."""
    return found


@compiled
def _fill(
    program: Program,
    states: States,
    catalog: Lookups,
    spaces: Spaces,
    asked: Asked,
    items: Ints,
    versions: Ints,
    positions: Ints,
    query: Ints,
    room: Room,
    features: Floats,
) -> None:
    user, as_of = asked.user, asked.as_of
    for f in range(program.features.shape[0]):
        op, arg = program.features[f, p.FEATURE_OP], program.features[f, p.FEATURE_ARG]
        key = program.features[f, p.FEATURE_KEY]
        if op == p.TASTE:
            tastes(program, states, catalog, user, versions, f, features)
        elif op == p.CONTEXT:
            in_list(features, arg, program.features[f, p.FEATURE_AGGREGATE], f)
        elif op == p.QUERY_MATCH or op == p.HAS_VECTOR:
            alone(program, spaces, items, query, as_of, f, features)
        elif op == p.SESSION_SO_FAR:
            session_so_far(program, states, user, asked.session, as_of, f, features)
        elif op in (p.NUMBER, p.AGE, p.POSITION, p.TIME):
            given(program, catalog, items, versions, positions, as_of, f, features)
        elif op == p.RELATIVE:
            relatives(program, states, catalog, user, versions, as_of, f, features)
        elif op == p.LIST_SHARE:
            enter(catalog, items, versions, key, room.entries)
            shares(room.entries, key, f, features)
        elif program.features[f, p.FEATURE_SHARE] == 0:
            continue  # computed with a feature before it
        elif op == p.SIMILARITY:
            enter(catalog, items, versions, key, room.entries)
            similarities(program, states, catalog, user, versions, as_of, f, room.entries, features)
        elif op == p.TO_LATEST or op == p.COVISITED:
            beside_latest(program, states, catalog, spaces, user, items, as_of, f, features)
        else:
            by_record(program, states, catalog, asked, items, versions, f, room, features)
