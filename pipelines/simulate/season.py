"""When people come: hours, weekdays, spikes; and when engagement breaks."""

from __future__ import annotations

import numpy as np

from pipelines.simulate.config import DAY_MS, HOUR_MS, SOURCES, ShopConfig
from pipelines.simulate.rows import Numbers

# Visits by hour of the day (UTC) and by weekday from Monday, before they are scaled to a mean of 1.
HOURS = np.array(
    [14, 9, 6, 5, 5, 7, 14, 25, 36, 45, 52, 57, 62, 60, 57, 56, 58, 64, 76, 92, 100, 92, 66, 34], float
)
WEEKDAYS = np.array([96, 92, 92, 95, 98, 110, 117], float)
_THURSDAY = 3  # weekday of 1970-01-01


def busyness(times: Numbers, config: ShopConfig) -> Numbers:
    """How busy the shop is at these times (epoch ms), as a factor of its mean."""
    hour = (times / HOUR_MS) % 24
    daily = np.interp(hour, np.arange(25), np.append(HOURS, HOURS[0])) / HOURS.mean()
    weekly = WEEKDAYS[(times // DAY_MS + _THURSDAY).astype(int) % 7] / WEEKDAYS.mean()
    factor: Numbers = 1 + config.season_strength * (daily * weekly - 1)
    for spike in config.spikes:
        factor = factor * np.where(_within(times, spike.at_h, spike.hours, config), spike.factor, 1.0)
    return factor


def visit_starts(
    rng: np.random.Generator, from_ms: int, to_ms: int, per_ms: float, config: ShopConfig
) -> Numbers:
    """Sorted times (epoch ms) of a Poisson process with the rate `per_ms` x busyness, by thinning."""
    most = 1 + config.season_strength * (HOURS.max() * WEEKDAYS.max() / HOURS.mean() / WEEKDAYS.mean() - 1)
    for spike in config.spikes:
        most *= max(1.0, spike.factor)
    count = rng.poisson(per_ms * most * (to_ms - from_ms))
    times = np.sort(rng.integers(from_ms, to_ms, count))
    starts: Numbers = times[rng.random(count) * most < busyness(times, config)]
    return starts


def kept(event_type: str, times: Numbers, sources: Numbers, config: ShopConfig) -> Numbers | float:
    """The share of such events that still happens at these times and on these sources (their codes)."""
    share: Numbers | float = 1.0
    for drop in config.drops:
        if drop.event_type == event_type:
            hit = _within(times, drop.at_h, drop.hours, config)
            if drop.source:
                hit = hit & (sources == SOURCES.index(drop.source))
            share = share * np.where(hit, drop.keep, 1.0)
    return share


def _within(times: Numbers, at_h: float, hours: float, config: ShopConfig) -> Numbers:
    begin = config.start_ms + at_h * HOUR_MS
    inside: Numbers = (times >= begin) & (times < begin + hours * HOUR_MS)
    return inside
