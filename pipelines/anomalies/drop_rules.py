"""A watch's configuration as the kernel takes it, and where in day and week a window is."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pipelines.anomalies.drop_config import (
    BUDGET_DAYS,
    DAY_S,
    DIRECTIONS,
    KINDS,
    NODES,
    PHASES,
    WEEK_S,
    WatchConfig,
)
from pipelines.anomalies.drop_learning import FIRST_SPREAD, Rules, States
from pipelines.errors import WatchError

NODE_S = WEEK_S // NODES
HOUR_S = 3600
NESTED = 0.75
"""How many independent looks a look at one of several sums is worth, since they have windows in common."""


def rules_of(config: WatchConfig) -> Rules:
    """The configuration as numbers."""
    window = config.window_s
    soon = max(1, HOUR_S // 2 // window)
    return Rules(
        kind=KINDS.index(config.kind),
        direction=DIRECTIONS.index(config.direction),
        window_ms=window * 1000,
        warm_up_ms=config.warm_up_s * 1000,
        alert_p=config.alert_p,
        floor=float(config.floor),
        level_gain=1.0 - 0.5 ** (window / config.level_half_life_s),
        rolling_gain=1.0 - 0.5 ** (window / max(HOUR_S, 6 * window)),
        days=float(config.days_remembered),
        weeks=float(config.weeks_remembered),
        node_windows=max(1.0, NODE_S / window),
        day_windows=float(DAY_S // window),
        unseen=float(config.unseen_weekday),
        calm=int(config.calm_windows),
        sums=np.array(config.sums, np.int64),
        looks=looks_of(config.sums, soon),
        soon=soon,
    )


def looks_of(sums: Sequence[int], soon: int) -> NDArray[np.float64]:
    """By how much each sum's p-value is raised. All share the budget alike; where several fit into half an
    hour, the longest of these has half of it, all others the rest."""
    within = [number for number, length in enumerate(sums) if length <= soon]
    parts = np.full(len(sums), 1.0 / len(sums))
    if len(sums) == 1:
        return parts
    if len(within) > 1 and len(sums) > 2:
        parts[:] = 0.5 / (len(sums) - 1)
        parts[within[-1]] = 0.5
    return NESTED / parts


def new_states(config: WatchConfig, n: int) -> States:
    """What is remembered of `n` metrics before their first window."""
    slots, sums = DAY_S // config.window_s, len(config.sums)
    shapes = {
        "level": (len(PHASES),),
        "day": (slots,),
        "day_seen": (slots,),
        "week": (NODES,),
        "week_seen": (NODES,),
        "fine": (slots,),
        "fine_seen": (slots,),
        "spread": (len(PHASES),),
        "spread_seen": (len(PHASES),),
        "unit": (len(PHASES),),
        "unit_seen": (len(PHASES),),
        "both_seen": (len(PHASES),),
        "scale": (len(PHASES), sums),
        "scale_seen": (len(PHASES), sums),
        "ring": (5, max(config.sums)),
        "late": (2, max(1, config.lag_s // config.window_s)),
        "peaks": (BUDGET_DAYS,),
    }
    first = {"first_ms": -1, "last_ms": -1, "spread": FIRST_SPREAD, "unit": 1.0, "scale": 1.0, "heavy": 1.0}
    made = {}
    for name, kind in get_type_hints(States).items():
        made[name] = np.full((n, *shapes.get(name, ())), first.get(name, 0), kind.__args__[1].__args__[0])
    return States(**made)


class Place:
    """Where windows are in day and week, in the configuration's timezone."""

    def __init__(self, config: WatchConfig) -> None:
        self._window_s = config.window_s
        self._zone = ZoneInfo(config.timezone)

    def begin_ms(self, time: Any) -> int:
        """The start of the window that `time` is in. Raises WatchError for what is no time."""
        window_ms = self._window_s * 1000
        return _as_ms(time) // window_ms * window_ms

    def of(self, begin_ms: int) -> NDArray[np.int64]:
        """The window's start in ms, its local day, slot of the day and node of the week, and how far behind
        the node it begins, in millionths."""
        local = datetime.datetime.fromtimestamp(begin_ms / 1000, self._zone)
        second = local.hour * 3600 + local.minute * 60 + local.second
        node, behind = divmod(local.weekday() * DAY_S + second, NODE_S)
        millionths = round(1e6 * behind / NODE_S)
        return np.array([begin_ms, local.toordinal(), second // self._window_s, node, millionths])


def _as_ms(time: Any) -> int:
    if isinstance(time, str):
        try:
            time = datetime.datetime.fromisoformat(time)
        except ValueError:
            raise WatchError(f"{time!r} is no time") from None
    if isinstance(time, datetime.datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return round(aware.timestamp() * 1000)
    if isinstance(time, np.datetime64) and not np.isnat(time):
        return int(time.astype("datetime64[ms]").astype(np.int64))
    if isinstance(time, float) and 0 <= time < math.inf:
        return round(time * 1000)
    if isinstance(time, int | np.integer) and not isinstance(time, bool) and time >= 0:
        return int(time)
    raise WatchError(
        f"{time!r} is no time: give a datetime, ISO 8601, epoch milliseconds (int) or seconds (float)"
    )
