"""One window of one metric: expected, judged, learnt. Compiled: one series and many get the same bits.

A window's number has the variance v + α w²: v that of its kind (Poisson, binomial, in proportion to the
mean), w = d mean / d η, α the spread that is learnt. So a sum of windows is negative binomial or, for a
ratio, binomial with fewer trials. Its tail probability becomes a standard normal number z, which is divided
by the root of its own realised variance (never less than 1): windows that depend on each other need no model.
"""

from __future__ import annotations

import math

import numpy as np

from pipelines.anomalies.drop_expected import as_eta, expect, first_eta, moments, uncertain
from pipelines.anomalies.drop_learning import (
    BY_DAY,
    BY_WEEK,
    CUT,
    MOST_STEP,
    ROLLING,
    WIDE_DAY,
    WIDE_WEEK,
    begin_phase,
    kept,
    learn_pattern,
    learn_scale,
    learn_spread,
    within,
)
from pipelines.anomalies.machine import compiled
from pipelines.anomalies.tails import (
    counts_above,
    counts_below,
    normal_below,
    normal_quantile,
    share_above,
    share_below,
)

CENTRAL = 2.5758
"""A standard normal number is within ± this with chance .99."""
POWER = 1.2816
"""A standard normal number is below this with chance .9."""
FAR_WORSE = 3.0
"""How many times the score of its last alert an episode must reach to alert again."""
JUDGED, NO_VALUE, INCOMPLETE, NO_EXPOSURE, KNOWN, WARMING_UP, LITTLE = range(7)
SCORE, P, EXPECTED, LOW, HIGH, DETECTABLE = range(6)
ALERT, REASON, PHASE, SUM, DIRECTION, ONGOING = range(6)


@compiled
def tail(kind, seen, mean, variance, exposure, unit):  # type: ignore[no-untyped-def]
    """The standard normal number that is as unusual as `seen`: negative below the mean."""
    is_below = seen <= mean
    if kind == 1:
        chance = mean / exposure
        fewer = max(1.0, variance / (mean * (1.0 - chance)))
        k, n = min(seen, exposure) / fewer, exposure / fewer
        p = share_below(k, n, chance) if is_below else share_above(k, n, chance)
    else:
        k, m, v = seen / unit, mean / unit, variance / (unit * unit)
        v = max(v, m * (1.0 + 1e-6))
        p = counts_below(k, m, v) if is_below else counts_above(k, m, v)
    z = normal_quantile(min(max(p, 1e-300), 0.5))
    return z if is_below else -z


@compiled
def heaviness(peaks, windows):  # type: ignore[no-untyped-def]
    """By how much scores, -log10 p, are too high: median and upper quartile of the days' highest, beside
    those of as many independent uniform p-values. At least 1."""
    ordered = np.sort(peaks)
    most = 1.0
    for quantile in (0.5, 0.75):
        place = quantile * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        found = ordered[low] + (place - low) * (ordered[high] - ordered[low])
        most = max(most, found / -math.log10(-math.expm1(math.log(quantile) / windows)))
    return most


@compiled
def push(s, i, seen, means, total, exposure):  # type: ignore[no-untyped-def]
    """Remember a window for the sums."""
    ring = s.ring[i]
    ring[0, s.ring_at[i]], ring[1, s.ring_at[i]], ring[2, s.ring_at[i]] = seen, means[0], total
    ring[3, s.ring_at[i]], ring[4, s.ring_at[i]] = means[2], exposure
    s.ring_at[i] = (s.ring_at[i] + 1) % ring.shape[1]
    s.ring_filled[i] = min(s.ring_filled[i] + 1, ring.shape[1])


@compiled
def standardised(s, i, rules, common, unit, z):  # type: ignore[no-untyped-def]
    """Fill `z` with the signed standard normal number of each sum of latest windows, NaN where there are too
    few windows or too little is expected."""
    ring = s.ring[i]
    length = ring.shape[1]
    seen, mean, variance, move, exposure, done = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for j in range(len(rules.sums)):
        z[j] = np.nan
        if rules.sums[j] > s.ring_filled[i]:
            continue
        while done < rules.sums[j]:
            place = (s.ring_at[i] - 1 - done) % length
            seen += ring[0, place]
            mean += ring[1, place]
            variance += ring[2, place]
            move += ring[3, place]
            exposure += ring[4, place]
            done += 1
        if (exposure if rules.kind == 1 else mean) >= rules.floor:
            z[j] = tail(rules.kind, seen, mean, variance + common * move * move, exposure, unit)


@compiled
def judge(s, i, rules, phase, z, numbers, marks):  # type: ignore[no-untyped-def]
    """Fill in score, p, and which sum and direction are the most unusual."""
    best, p = 0, math.inf
    for j in range(len(rules.sums)):
        if math.isnan(z[j]):
            continue
        scaled = z[j] / max(1.0, math.sqrt(s.scale[i, phase, j]))
        one = normal_below(scaled) if rules.direction == 0 else normal_below(-scaled)
        if rules.direction == 2:
            one = 2.0 * normal_below(-abs(scaled))
        one *= rules.looks[j]
        if one < p:
            best, p = j, one
    raw = -math.log10(max(1e-300, min(1.0, p)))
    s.peak_of_today[i] = max(s.peak_of_today[i], raw)
    s.windows_today[i] += 1
    numbers[SCORE] = raw / s.heavy[i]
    numbers[P] = 10.0 ** -numbers[SCORE]
    marks[SUM] = rules.sums[best]
    marks[DIRECTION] = -1 if z[best] < 0 else 1
    if numbers[P] <= rules.alert_p and (s.is_episode[i] == 0 or numbers[SCORE] >= s.worst[i] * FAR_WORSE):
        marks[ALERT], s.is_episode[i], s.calm[i], s.worst[i] = 1, 1, 0, numbers[SCORE]
    elif s.is_episode[i] == 1:
        s.calm[i] = s.calm[i] + 1 if numbers[P] > 0.01 else 0
        if s.calm[i] >= rules.calm:
            s.is_episode[i] = 0
    marks[ONGOING] = s.is_episode[i]


@compiled
def detectable(s, i, rules, phase, means, total, common, exposure):  # type: ignore[no-untyped-def]
    """The least drop, as a share of what is expected, that alerts within half an hour with chance .9; normal
    approximation."""
    sides = 2.0 if rules.direction == 2 else 1.0
    p = 10.0 ** (math.log10(rules.alert_p) * s.heavy[i]) / sides
    least = math.inf
    for j in range(len(rules.sums)):
        m = rules.sums[j]
        if m > rules.soon and j > 0:
            break
        if m * (exposure if rules.kind == 1 else means[0]) < rules.floor:
            continue
        need = -normal_quantile(max(p / rules.looks[j], 1e-300))
        sd = math.sqrt(m * total + common * (m * means[2]) ** 2)
        scale = max(1.0, math.sqrt(s.scale[i, phase, j]))
        least = min(least, (need * scale + POWER) * sd / (m * means[0]))
    return least


@compiled
def begin_day(s, i, rules, today):  # type: ignore[no-untyped-def]
    """Keep yesterday's highest score, if most of the day was scored."""
    if 2 * s.windows_today[i] >= rules.day_windows:
        s.peaks[i, s.peaks_seen[i] % s.peaks.shape[1]] = s.peak_of_today[i]
        s.peaks_seen[i] += 1
        if s.peaks_seen[i] >= 7:
            s.heavy[i] = heaviness(s.peaks[i, : min(s.peaks_seen[i], s.peaks.shape[1])], rules.day_windows)
    s.today[i], s.peak_of_today[i], s.windows_today[i] = today, 0.0, 0


@compiled
def learn_patterns(s, i, rules, phase, when, seen, exposure, eta, residual, limit, common):  # type: ignore[no-untyped-def]
    """Move what each phase expects by a window's number; a pattern begins at what was expected without it."""
    pattern, slot, unit = np.empty(3), when[2], s.unit[i, phase]
    if phase == ROLLING:
        s.rolling[i] += within(rules.rolling_gain * within(residual, limit), MOST_STEP)
        s.rolling[i] = kept(rules.kind, s.rolling[i])
    for by in (BY_DAY, BY_WEEK):
        before, wide = eta[ROLLING], WIDE_DAY
        if by == BY_WEEK and s.day_seen[i, slot] > 0.0:
            before, wide = eta[BY_DAY], WIDE_WEEK
        first = first_eta(rules.kind, seen, exposure, before, unit, wide)
        moments(rules.kind, eta[by], exposure, unit, pattern)
        deviation = math.sqrt(pattern[1] / pattern[2] ** 2 + s.spread[i, phase] + common)
        learn_pattern(s, i, rules, by, phase, when, (seen - pattern[0]) / pattern[2], deviation, first)
    s.day_seen[i, slot] += 1.0


@compiled
def advance(s, rules, when, values, exposures, status, numbers, marks):  # type: ignore[no-untyped-def]
    """Judge and learn one window of each series, which begins with its first number above 0. `when`: start in
    ms, day, slot of the day, node of the week, and the place after the node in millionths of the way to the
    next."""
    means, z, eta = np.empty(3), np.empty(len(rules.sums)), np.empty(3)
    now, today, slot, node, part = when[0], when[1], when[2], when[3], when[4] / 1e6
    for i in range(len(s.first_ms)):
        numbers[i, :] = np.nan
        marks[i, :] = 0
        marks[i, REASON] = status[i]
        exposure = exposures[i]
        seen = values[i] * exposure if rules.kind == 1 else values[i]
        if s.windows[i] == 0 and (status[i] != JUDGED or seen == 0.0):
            marks[i, REASON] = WARMING_UP if status[i] == JUDGED else status[i]
            continue
        s.quiet[i] = 0 if seen > 0.0 else s.quiet[i] + 1
        if today != s.today[i]:
            begin_day(s, i, rules, today)
        if s.last_ms[i] >= 0 and now - s.last_ms[i] != rules.window_ms:
            s.ring_filled[i] = 0
        s.last_ms[i] = now
        if s.first_ms[i] < 0:
            s.first_ms[i] = now
        weeks = (1.0 - part) * s.week_seen[i, node] + part * s.week_seen[i, (node + 1) % s.week.shape[1]]
        weeks /= rules.node_windows
        if s.windows[i] == 0:
            s.rolling[i] = as_eta(rules.kind, seen, exposure)
            s.unit[i, :] = seen if rules.kind == 2 else 1.0
        phase = expect(s, i, rules, when, weeks, eta)
        marks[i, PHASE] = phase
        if status[i] != JUDGED:
            s.ring_filled[i] = 0
            continue
        begin_phase(s, i, phase)
        moments(rules.kind, eta[phase], exposure, s.unit[i, phase], means)
        bare = means[1] + s.spread[i, phase] * means[2] ** 2
        noise = bare / means[2] ** 2
        own, shared, unseen = uncertain(s, i, rules, phase, weeks, slot, noise)
        total, common = bare * (1.0 + own), unseen + shared
        sd = math.sqrt(total + common * means[2] ** 2)
        out = 1.0 / exposure if rules.kind == 1 else 1.0
        numbers[i, EXPECTED] = means[0] * out
        numbers[i, LOW] = max(0.0, (means[0] - CENTRAL * sd) * out)
        numbers[i, HIGH] = (means[0] + CENTRAL * sd) * out
        if rules.kind == 1:
            numbers[i, HIGH] = min(1.0, numbers[i, HIGH])
        push(s, i, seen, means, total, exposure)
        standardised(s, i, rules, common, s.unit[i, phase], z)
        if now - s.first_ms[i] < rules.warm_up_ms:
            marks[i, REASON] = WARMING_UP
        elif np.isnan(z).all():
            marks[i, REASON] = LITTLE
        else:
            numbers[i, DETECTABLE] = detectable(s, i, rules, phase, means, total, common, exposure)
            judge(s, i, rules, phase, z, numbers[i], marks[i])
        learn_scale(s, i, rules, phase, z)
        residual = (seen - means[0]) / means[2]
        learn_spread(s, i, rules, phase, residual, means, 1.0 + own + shared / noise)
        learn_patterns(s, i, rules, phase, when, seen, exposure, eta, residual, CUT * sd / means[2], common)
        s.windows[i] += 1
