"""What a watch learns of a window. Residuals are cut at 2.5 standard deviations before anything learns from
them, and the level waits for the lag: a drop is not learnt at once, a new level within days.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.anomalies.machine import compiled

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
CUT = 2.5
CUT_BACK = 1.0229
"""1 / E[min(Z², 2.5²)] of a standard normal Z."""
LEAST_SPREAD, FIRST_SPREAD = 1e-4, 0.01
ROLLING, BY_DAY, BY_WEEK = range(3)
LEAST_LOG, MOST_LOG, MOST_LOGIT = -7.0, 600.0, 12.0
"""Limits of η: a thousandth of a thing, and as much as a float holds; of ratios six millionths."""
MOST_STEP, MOST_LATE = 0.5, 2.0
"""By how much one window moves a pattern at most, and the residual of which its level hears at most."""
FINE_DAYS = 7.0
"""Days for which the fine pattern is held to be none before it has been seen."""


class States(NamedTuple):
    """What is remembered of n metrics; the first axis of each array is the metric."""

    first_ms: Whole
    last_ms: Whole
    windows: Whole  # learnt from
    rolling: Floats  # η of the last hour
    level: Floats  # [n, phase] lagged correction of the day's and the week's pattern
    information: Floats  # mean of what one window tells
    day: Floats  # [n, slot]
    day_seen: Floats
    week: Floats  # [n, node]
    week_seen: Floats
    fine: Floats  # [n, slot] what the week's polygon lacks, each day alike
    fine_seen: Floats
    spread: Floats  # [n, phase] what is above the spread of the kind, squared
    spread_seen: Floats
    unit: Floats  # variance per expected amount
    scale: Floats  # [n, phase, sum] realised variance of standardised sums
    scale_seen: Floats
    ring: Floats  # [n, 5, window] last windows: seen, mean, variance, w, exposure
    ring_filled: Whole
    ring_at: Whole
    late: Floats  # [n, 2, window] residual, weight; not yet learnt by the level
    late_at: Whole
    peak_of_today: Floats
    windows_today: Whole
    today: Whole
    peaks: Floats  # [n, day] highest scores of the last days
    peaks_seen: Whole
    heavy: Floats  # by how much tails are heavier than those of the kind
    is_episode: Whole
    calm: Whole
    worst: Floats  # score of the episode's last alert


class Rules(NamedTuple):
    """A WatchConfig as numbers."""

    kind: int
    direction: int
    window_ms: int
    warm_up_ms: int
    alert_p: float
    floor: float
    level_gain: float
    rolling_gain: float
    days: float
    weeks: float
    node_windows: float  # windows that a node of the week sees in a week
    day_windows: float
    unseen: float
    calm: int
    sums: NDArray[np.int64]
    at_once: float  # independent looks that the sums together are worth
    soon: int  # windows in half an hour


@compiled
def within(x, most):  # type: ignore[no-untyped-def]
    """x, but no further from 0 than `most`."""
    return min(max(x, -most), most)


@compiled
def kept(kind, eta):  # type: ignore[no-untyped-def]
    """η, but no further than its limits: after years of nothing it is still a number."""
    return within(eta, MOST_LOGIT) if kind == 1 else min(max(eta, LEAST_LOG), MOST_LOG)


@compiled
def learn_scale(s, i, rules, phase, z):  # type: ignore[no-untyped-def]
    """Realised variances of the sums, over two weeks."""
    for j in range(len(z)):
        if not math.isnan(z[j]):
            s.scale_seen[i, phase, j] = min(s.scale_seen[i, phase, j] + 1.0, 14.0 * rules.day_windows)
            cut = min(z[j] * z[j], CUT * CUT * max(1.0, s.scale[i, phase, j])) * CUT_BACK
            before = rules.day_windows / (24.0 if phase == ROLLING else 1.0)  # weight of the 1 it starts from
            s.scale[i, phase, j] += (cut - s.scale[i, phase, j]) / (s.scale_seen[i, phase, j] + before)


@compiled
def learn_spread(s, i, rules, phase, residual, means, inflated):  # type: ignore[no-untyped-def]
    """What is above the spread of the kind, over two weeks; windows that tell more of it weigh more. A
    residual's variance is `inflated` times that of a window, since what is expected is uncertain."""
    own = means[1] / (means[2] * means[2])
    if rules.kind == 2:
        s.spread_seen[i, phase] = min(s.spread_seen[i, phase] + 1.0, 14.0 * rules.day_windows)
        now = min(residual * residual, CUT * CUT * (own + s.spread[i, phase]) * inflated) * CUT_BACK
        now *= means[0] / inflated
        s.unit[i] += (max(now, 1e-9) - s.unit[i]) / (s.spread_seen[i, phase] + 20.0)
        return
    weight = 1.0 / (own + s.spread[i, phase]) ** 2
    if s.spread_seen[i, phase] == 0.0:
        s.spread_seen[i, phase] = 50.0 * weight
    s.spread_seen[i, phase] += weight - s.spread_seen[i, phase] / (14.0 * rules.day_windows)
    now = (
        min(residual * residual, CUT * CUT * (own + s.spread[i, phase]) * inflated) * CUT_BACK / inflated
        - own
    )
    s.spread[i, phase] = max(
        LEAST_SPREAD, s.spread[i, phase] + weight / s.spread_seen[i, phase] * (now - s.spread[i, phase])
    )


@compiled
def learn_pattern(s, i, rules, by, phase, when, residual, deviation, first):  # type: ignore[no-untyped-def]
    """Move the day's or the week's pattern by a window's residual, and its level by one that is older than
    the lag; where a part of the pattern is new, begin it with the window's own number, `first`."""
    slot, node, part = when[2], when[3], when[4] / 1e6
    cut = within(residual, CUT * deviation)
    if by == BY_DAY:
        if s.day_seen[i, slot] == 0.0:
            s.day[i, slot] = first - s.level[i, BY_DAY]
            cut = 0.0
        step = within(cut / (min(s.day_seen[i, slot], rules.days) + 1.0), MOST_STEP)
        s.day[i, slot] = kept(rules.kind, s.day[i, slot] + step)
    else:
        for side in range(2):
            corner = (node + side) % s.week.shape[1]
            near = part if side else 1.0 - part
            if near > 0.0:
                if s.week_seen[i, corner] == 0.0:
                    s.week[i, corner] = first - s.fine[i, slot] - s.level[i, BY_WEEK]
                else:
                    known = min(s.week_seen[i, corner], rules.weeks * rules.node_windows)
                    step = within(near * cut / (known + near), MOST_STEP)
                    s.week[i, corner] = kept(rules.kind, s.week[i, corner] + step)
                s.week_seen[i, corner] += near
        if phase == BY_WEEK:
            step = within(cut / (min(s.fine_seen[i, slot], rules.days) + FINE_DAYS), MOST_STEP)
            s.fine[i, slot] = within(s.fine[i, slot] + step, MOST_LOGIT)
            s.fine_seen[i, slot] += 1.0
    if phase != by:
        return
    weight = 1.0 / (deviation * deviation)
    s.information[i] += (weight - s.information[i]) / (
        min(float(s.windows[i]), 14.0 * rules.day_windows) + 1.0
    )
    at = s.late_at[i]
    moved = s.level[i, by] + rules.level_gain * s.late[i, 1, at] * s.late[i, 0, at]
    s.level[i, by] = within(moved, MOST_LOGIT)
    s.late[i, 0, at], s.late[i, 1, at] = within(cut, MOST_LATE), min(1.0, weight / s.information[i])
    s.late_at[i] = (at + 1) % s.late.shape[2]
