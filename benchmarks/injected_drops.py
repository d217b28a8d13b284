"""Drops injected into simulated counts: what share is found within half an hour, and what it costs in false
alerts.

Each stream has a day and a week of its own (its peak 2,000 in five minutes), negative binomial noise and a
level that wanders by `wander` a day. It is watched for `weeks` from nothing. False alerts are those of the
untouched stream after the second week (`at first`: before). In the last two weeks the watch is copied at
random times, the copy sees the next half hour with a part of the mean gone, and has found it when it alerts.

`possible` is what a test finds that knows the mean, the noise and the size of the drop, and needs only to
find out whether and when: the likelihood ratio of the last windows, as many of up to six as make it largest
(Page's test over half an hour), alerting as often without a drop as the budget allows.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from pipelines.anomalies.drops import MetricWatches, WatchConfig

Floats = NDArray[np.float64]
WINDOW_S, PEAK = 300, 2_000
DAY, WEEK = 288, 2_016
START_MS = 1_767_571_200_000  # Monday, 2026-01-05
HALF_AN_HOUR = 6
DROPS = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class Case:
    """A kind of stream: variance = mean + mean² / size."""

    name: str
    size: float
    wander: float


CASES = (
    Case("noise 3 %", 1_000.0, 0.0),
    Case("noise 7 %", 200.0, 0.0),
    Case("noise 10 %", 100.0, 0.0),
    Case("noise 10 %, level wanders 2 % a day", 100.0, 0.02),
    Case("noise 14 %", 50.0, 0.0),
)


def means(seed: int, weeks: int, wander: float) -> Floats:
    """Expected counts of a stream's windows."""
    chance = np.random.default_rng([seed, 1])
    hour = np.arange(DAY) / 12.0
    busy = [(chance.uniform(18, 22), 3.0, 1.0), (chance.uniform(11, 14), 3.0, chance.uniform(0.2, 0.6))]
    day = np.full(DAY, 0.08)
    for middle, width, height in busy:
        apart = np.abs(hour - middle)
        day += height * np.exp(-0.5 * (np.minimum(apart, 24 - apart) / width) ** 2)
    weekdays = np.append(chance.uniform(0.9, 1.0, 5), chance.uniform(0.6, 1.3, 2))
    place = np.arange(WEEK) / DAY - 0.5  # weekdays pass into each other around midnight, within three hours
    before = np.floor(place).astype(int)
    share = np.clip((place - before - 0.5) * 8 + 0.5, 0, 1)
    week = np.tile(day, 7) * ((1 - share) * weekdays[before % 7] + share * weekdays[(before + 1) % 7])
    level = np.exp(np.cumsum(chance.normal(0, wander, weeks * 7 + 1)))
    drift = np.interp(np.arange(weeks * WEEK) / DAY, np.arange(weeks * 7 + 1), level)
    return np.asarray(PEAK * np.tile(week / week.max(), weeks) * drift)


def drawn(chance: np.random.Generator, mean: Floats, size: float) -> Floats:
    """Negative binomial counts."""
    return chance.poisson(chance.gamma(size, mean / size)).astype(np.float64)


def watched(case: Case, seeds: int, weeks: int, times: int, **config: Any) -> dict[str, float]:
    """Recall of each drop, and false alerts in 28 days."""
    expected = np.array([means(seed, weeks, case.wander) for seed in range(seeds)])
    chance = np.random.default_rng([seeds, int(case.size), weeks])
    counts = drawn(chance, expected, case.size)
    watch = MetricWatches(WatchConfig(window_s=WINDOW_S, **config), seeds)
    last = (weeks - 2) * WEEK
    injected = set(chance.choice(np.arange(last, weeks * WEEK - HALF_AN_HOUR), times, replace=False).tolist())
    alerts, found = np.zeros(weeks * WEEK), dict.fromkeys(DROPS, 0)
    for window in range(weeks * WEEK):
        if window in injected:
            kept = watch.save()
            for drop in DROPS:
                ahead = expected[:, window : window + HALF_AN_HOUR] * (1 - drop)
                found[drop] += _found(
                    MetricWatches.load(watch.config, kept), window, drawn(chance, ahead, case.size)
                )
        alerts[window] = watch.update(START_MS + window * WINDOW_S * 1000, counts[:, window]).alert.sum()
    per_28_days = 4 * WEEK / seeds
    figures = {f"{drop:.0%}": found[drop] / (seeds * times) for drop in DROPS}
    figures["false"] = alerts[2 * WEEK :].sum() * per_28_days / ((weeks - 2) * WEEK)
    figures["at first"] = alerts[: 2 * WEEK].sum() * per_28_days / (2 * WEEK)
    return figures


def possible(case: Case, seeds: int, weeks: int, drop: float, rounds: int = 4) -> float:
    """Share of drops of that size that are found by the test that knows all but whether there is one."""
    chance = np.random.default_rng([seeds, int(case.size), weeks, round(100 * drop)])
    expected = np.tile(np.array([means(seed, weeks, case.wander) for seed in range(seeds)]), (rounds, 1))
    least, most = 0.0, 30.0
    usual = _largest(_evidence(drawn(chance, expected, case.size), expected, case.size, drop))
    allowed = expected.size / (4 * WEEK)
    while most - least > 1e-3:
        threshold = (least + most) / 2
        least, most = (threshold, most) if _episodes(usual > threshold) > allowed else (least, threshold)
    begins = chance.integers(HALF_AN_HOUR, expected.shape[1] - HALF_AN_HOUR, 20_000)
    rows = chance.integers(0, len(expected), len(begins))
    span = begins[:, None] + np.arange(1 - HALF_AN_HOUR, HALF_AN_HOUR)
    ahead = expected[rows[:, None], span]
    seen = drawn(chance, ahead * np.where(span >= begins[:, None], 1 - drop, 1.0), case.size)
    evidence = _largest(_evidence(seen, ahead, case.size, drop))
    return float((evidence[:, HALF_AN_HOUR - 1 :] > most).any(axis=1).mean())


def _evidence(counts: Floats, expected: Floats, size: float, drop: float) -> Floats:
    """Logarithm of how much more likely negative binomial counts are with the drop than without."""
    without, with_it = (np.log(size + expected * part) for part in (1.0, 1.0 - drop))
    return np.asarray(counts * np.log(1 - drop) + (counts + size) * (without - with_it))


def _largest(evidence: Floats) -> Floats:
    """The largest sum of up to half an hour of evidence that ends in each window."""
    before = np.cumsum(np.pad(evidence, ((0, 0), (HALF_AN_HOUR, 0))), axis=1)
    width = evidence.shape[1]
    sums = [
        before[:, HALF_AN_HOUR:] - before[:, HALF_AN_HOUR - k : HALF_AN_HOUR - k + width]
        for k in range(1, HALF_AN_HOUR + 1)
    ]
    return np.asarray(np.max(sums, axis=0))


def _episodes(is_alert: NDArray[np.bool_]) -> int:
    """Alerts that no other was within an hour before."""
    pause = 2 * HALF_AN_HOUR
    before = np.cumsum(np.pad(is_alert, ((0, 0), (pause + 1, 0))), axis=1)
    lately = before[:, pause:-1] - before[:, : -pause - 1]
    return int((is_alert & (lately == 0)).sum())


def _found(watch: MetricWatches, window: int, counts: Floats) -> int:
    alerted = np.zeros(len(watch), bool)
    for step in range(counts.shape[1]):
        alerted |= watch.update(START_MS + (window + step) * WINDOW_S * 1000, counts[:, step]).alert
    return int(alerted.sum())


def main() -> None:
    """Print the table and keep it in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--weeks", type=int, default=10, help="of each stream")
    parser.add_argument("--times", type=int, default=50, help="at which each stream drops")
    args = parser.parse_args()
    rows = []
    for case in CASES:
        figures = watched(case, args.seeds, args.weeks, args.times)
        for drop in DROPS[1:]:
            figures[f"possible {drop:.0%}"] = possible(case, args.seeds, args.weeks, drop)
        rows.append([case.name, *(round(float(figure), 3) for figure in figures.values())])
        harness.console.print(rows[-1])
    columns = [
        "stream",
        *(f"{drop:.0%} drop" for drop in DROPS),
        "false alerts in 28 days",
        "same, first 14 days",
        *(f"{drop:.0%} drop, possible" for drop in DROPS[1:]),
    ]
    what = f"{args.seeds} streams of {args.weeks} weeks, {args.times} times each, peak {PEAK:,} in 5 minutes"
    title = f"Drops found within 30 minutes: {what}"
    harness.publish("injected_drops", title, columns, rows)


if __name__ == "__main__":
    main()
