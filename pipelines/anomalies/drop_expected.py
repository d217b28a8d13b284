"""What a window is expected to be, and how uncertain that is.

On the scale η of the logarithm (of counts and amounts) or the logit (of ratios) a window is expected at

    η = week[time of the week] + fine[slot of the day] + level   once this time of the week was seen before,
    η = day[slot of the day] + level                             from the third day on,
    η = rolling                                                  before
"""

from __future__ import annotations

import math

from pipelines.anomalies.drop_learning import (
    BY_DAY,
    BY_WEEK,
    FINE_DAYS,
    LEAST_LOG,
    MOST_LOG,
    MOST_LOGIT,
    ROLLING,
    WIDE_DAY,
    WIDE_WEEK,
    kept,
    within,
)
from pipelines.anomalies.machine import compiled


@compiled
def share_at(eta):  # type: ignore[no-untyped-def]
    """The share that a ratio is expected to be."""
    return 1.0 / (1.0 + math.exp(-within(eta, MOST_LOGIT)))


@compiled
def moments(kind, eta, exposure, unit, out):  # type: ignore[no-untyped-def]
    """Fill `out` with a window's mean, its variance v without the learnt spread, and w."""
    if kind == 1:
        share = share_at(eta)
        out[0], out[2] = exposure * share, exposure * share * (1.0 - share)
        out[1] = out[2] * unit
    else:
        out[0] = math.exp(min(max(eta, LEAST_LOG), MOST_LOG))
        out[1], out[2] = out[0] * unit, out[0]


@compiled
def as_eta(kind, seen, exposure):  # type: ignore[no-untyped-def]
    """A single window's number on the scale η."""
    return math.log((seen + 0.5) / (exposure - seen + 0.5)) if kind == 1 else math.log(seen + 0.5)


@compiled
def first_eta(kind, seen, exposure, eta, unit, wide):  # type: ignore[no-untyped-def]
    """Where a new part of a pattern begins, on the scale η: the mean, given the first window that falls into
    it, of what is expected at `eta` before, with a deviation of `wide` (gamma, beta)."""
    trust = 1.0 / (wide * wide)
    if kind == 1:
        share = share_at(eta)
        like = trust / (share * (1.0 - share))
        share = (like * share + seen / unit) / (like + exposure / unit)
        share = min(max(share, 1e-9), 1.0 - 1e-9)
        return math.log(share / (1.0 - share))
    mean = math.exp(kept(kind, eta)) / unit
    return eta + math.log((trust + seen / unit) / (trust + mean))


@compiled
def expect(s, i, rules, when, weeks, eta):  # type: ignore[no-untyped-def]
    """Fill `eta` with what each phase expects, on the scale η; the best phase that is known well enough."""
    slot, node, part = when[2], when[3], when[4] / 1e6
    week = (1.0 - part) * s.week[i, node] + part * s.week[i, (node + 1) % s.week.shape[1]]
    eta[ROLLING] = s.rolling[i]
    eta[BY_DAY] = s.day[i, slot] + s.level[i, BY_DAY]
    eta[BY_WEEK] = week + s.fine[i, slot] + s.level[i, BY_WEEK]
    if weeks >= 0.8:
        return BY_WEEK
    return BY_DAY if s.day_seen[i, slot] >= 2.0 else ROLLING


@compiled
def uncertain(s, i, rules, phase, weeks, slot, noise):  # type: ignore[no-untyped-def]
    """How uncertain a pattern is: what each window has of its own, in units of a window's variance; what
    neighbours share, on the scale η, where a window's variance is `noise`; and the variance of how a weekday
    that was never seen may differ."""
    if phase == ROLLING:
        return 0.0, 0.0, 0.0
    unseen, level = rules.unseen**2 / (1.0 + (2.2 * weeks) ** 4), 0.5 * rules.level_gain * noise
    if phase == BY_DAY:
        return 1.0 / (min(s.day_seen[i, slot], 2.0 * rules.days) + noise / WIDE_DAY**2), level, unseen
    own = 1.0 / (min(s.fine_seen[i, slot], 2.0 * rules.days) + FINE_DAYS)
    known = rules.node_windows * max(1.0, min(weeks, 2.0 * rules.weeks))
    return own, noise / (known + noise / WIDE_WEEK**2) + level, unseen
