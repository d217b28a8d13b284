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
UNIT_WINDOWS, PASSED_ON, MOST_SKEW, ALIKE = 10.0, 10.0, 10.0, 0.98
WIDE_DAY, WIDE_WEEK, MOST_DOUBT = 1.0, 0.5, 4.0
FINE_DAYS = 7.0
"""Days for which the fine pattern is held to be none before it has been seen."""


class States(NamedTuple):
    """What is remembered of n metrics; the first axis of each array is the metric."""

    first_ms: Whole
    last_ms: Whole
    windows: Whole  # learnt from
    quiet: Whole  # latest windows without a number above 0
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
    unit: Floats  # [n, phase] variance per expected amount, or times that of the kind
    unit_seen: Floats
    both_seen: Floats
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
    looks: Floats  # of each sum: by how much its p-value is raised, since others are looked at as well
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
def begin_phase(s, i, phase):  # type: ignore[no-untyped-def]
    """A phase's spread begins where that of the one before it is; sums do not reach
    back over the lag of the rolling one."""
    if phase > ROLLING and s.unit_seen[i, phase] == 0.0:
        before = BY_DAY if s.unit_seen[i, BY_DAY] > 0.0 and phase > BY_DAY else ROLLING
        s.unit[i, phase] = s.unit[i, before]
        s.spread[i, phase] = min(s.spread[i, before], FIRST_SPREAD)
        trusted = min(1.0, PASSED_ON / s.windows[i])
        s.unit_seen[i, phase] = trusted * s.unit_seen[i, before]
        s.both_seen[i, phase] = trusted * s.both_seen[i, before]
        s.spread_seen[i, phase] = trusted * s.spread_seen[i, before]
        s.ring_filled[i] = 0 if before == ROLLING else s.ring_filled[i]


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
    unit, spread = s.unit[i, phase], s.spread[i, phase]
    own = means[1] / (means[2] * means[2])
    most = CUT * CUT * (own + spread) * (1.0 + min(own, MOST_SKEW))
    now = min(residual * residual / inflated, most) * CUT_BACK
    weight = 1.0 / ((own + spread) ** 2 * (1.0 + 0.5 * own))
    memory = 14.0 * rules.day_windows
    if s.spread_seen[i, phase] == 0.0:
        s.spread_seen[i, phase], s.unit_seen[i, phase] = 50.0 * weight, UNIT_WINDOWS * weight * own * own
    s.spread_seen[i, phase] += weight - s.spread_seen[i, phase] / memory
    s.unit_seen[i, phase] += weight * own * own - s.unit_seen[i, phase] / memory
    s.both_seen[i, phase] += weight * own - s.both_seen[i, phase] / memory
    of_spread, of_unit, of_both = s.spread_seen[i, phase], s.unit_seen[i, phase], s.both_seen[i, phase]
    error, apart = weight * (now - own - spread), of_spread * of_unit - ALIKE * of_both * of_both
    more = within(error * (of_spread * own - of_both) / apart, MOST_STEP)
    wider = spread + error * (of_unit - of_both * own) / apart
    least = 1e-9 if rules.kind == 2 else 1.0
    if wider < LEAST_SPREAD:
        wider, more = LEAST_SPREAD, within(error * own / of_unit, MOST_STEP)
    elif unit * (1.0 + more) < least:
        wider = max(LEAST_SPREAD, spread + error / of_spread)
    largest = max(unit, means[0] + residual * means[2])
    s.spread[i, phase], s.unit[i, phase] = wider, max(least, min(unit * (1.0 + more), largest))


@compiled
def learn_pattern(s, i, rules, by, phase, when, residual, deviation, first):  # type: ignore[no-untyped-def]
    """Move the day's or the week's pattern by a window's residual, and its level by one that is older than
    the lag; where a part of the pattern is new, begin it with the window's own number, `first`."""
    slot, node, part = when[2], when[3], when[4] / 1e6
    cut = within(residual, CUT * deviation)
    if by == BY_DAY:
        if s.day_seen[i, slot] == 0.0:
            s.day[i, slot] = kept(rules.kind, first - s.level[i, BY_DAY])
            cut = 0.0
        doubt = 1.0 + within(deviation / WIDE_DAY, MOST_DOUBT) ** 2
        step = within(cut / (min(s.day_seen[i, slot], rules.days) + doubt), MOST_STEP)
        s.day[i, slot] = kept(rules.kind, s.day[i, slot] + step)
    else:
        for side in range(2):
            corner = (node + side) % s.week.shape[1]
            near = part if side else 1.0 - part
            if near > 0.0:
                if s.week_seen[i, corner] == 0.0:
                    began = first - s.fine[i, slot] - s.level[i, BY_WEEK]
                    s.week[i, corner] = kept(rules.kind, began)
                else:
                    known = min(s.week_seen[i, corner], rules.weeks * rules.node_windows)
                    doubt = near + within(deviation / WIDE_WEEK, MOST_DOUBT) ** 2
                    step = within(near * cut / (known + doubt), MOST_STEP)
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
