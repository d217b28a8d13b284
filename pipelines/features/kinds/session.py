"""The kind that looks at the user's session, and the kernels that say which session an act belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.features import program as p
from pipelines.features.compiled import compiled
from pipelines.features.declarations import Declaration
from pipelines.features.needs import Reading
from pipelines.features.program import Floats, Ints, Program, States

if TYPE_CHECKING:
    from pipelines.features.compiling import Compiler

MEASURES = {"acts": p.ACTS, "length": p.LENGTH, "pause": p.PAUSE, "dwell": p.DWELL}
SPREAD = np.int64(-7046029254386353131)  # 2^64 over the golden ratio, odd: no two sessions share a product


class Session(Declaration, frozen=True, tag="session"):
    """The user's session so far: its acts (events and decisions), or log(1 + seconds) since it began, since
    its latest act, or from one act to the next on average."""

    measure: Literal["acts", "length", "pause", "dwell"] = "acts"

    def reading(self, compiler: Compiler) -> Reading:
        """The head of the user's record."""
        return Reading(p.SESSION_SO_FAR, aggregate=MEASURES[self.measure])


@compiled
def join_session(users: Ints, user: int, time: int, gap: int) -> bool:
    """Count an act in the user's session, a new one after a pause longer than `gap` (ms); False for an act
    of a session before."""
    if users[user, p.USER_SESSION] == 0 or time > users[user, p.USER_UNTIL] + gap:
        users[user, p.USER_SESSION] += 1
        users[user, p.USER_SINCE] = users[user, p.USER_UNTIL] = time
        users[user, p.USER_ACTS] = 0
    elif time < users[user, p.USER_SINCE] - gap:
        return False
    users[user, p.USER_SINCE] = min(users[user, p.USER_SINCE], time)
    users[user, p.USER_UNTIL] = max(users[user, p.USER_UNTIL], time)
    users[user, p.USER_ACTS] += 1
    return True


@compiled
def session_at(users: Ints, user: int, time: int, gap: int) -> int:
    """Number of the user's session when it goes on at `time`; 0 when a new one begins."""
    goes_on = users[user, p.USER_SINCE] - gap <= time <= users[user, p.USER_UNTIL] + gap
    return int(users[user, p.USER_SESSION]) if goes_on else 0


@compiled
def in_session(key: int, session: int) -> int:
    """The key under which a table keeps `key` of this session: the table's other entries are of sessions
    before, and make place as they grow old."""
    mixed = np.int64(key) ^ (np.int64(session) * SPREAD)
    return int(mixed) if mixed != 0 else 1


@compiled
def session_so_far(
    program: Program, states: States, user: int, session: int, as_of: int, f: int, features: Floats
) -> None:
    """Fill column `f` with the measure of the session; a new one has no acts, and neither pause nor dwell."""
    users, measure = states.users, program.features[f, p.FEATURE_AGGREGATE]
    since, until, acts = users[user, p.USER_SINCE], users[user, p.USER_UNTIL], users[user, p.USER_ACTS]
    if measure == p.ACTS:
        value = float(acts) if session else 0.0
    elif measure == p.LENGTH:
        value = _log_seconds(as_of - since) if session else 0.0
    elif measure == p.PAUSE:
        value = _log_seconds(as_of - until) if session else np.nan
    else:
        value = _log_seconds((until - since) / (acts - 1)) if session and acts > 1 else np.nan
    features[:, f] = value


@compiled
def _log_seconds(ms: float) -> float:
    return float(np.log1p(max(ms, 0.0) / 1000.0))
