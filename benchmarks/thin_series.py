"""Young and thin series: false alerts of a small simulated shop by the age of its history, whole and in its
segments, most of which have few events or none in a window; and whether an outage of the checkout is found.

The shop runs for four weeks without intruders, its metrics are watched from its first event on as
`watch_metrics` does. On some days at noon the watch is copied, the copy sees the next five hours without a
purchase, and has found the outage when `purchases`, `revenue` or `conversion` of the whole shop alerts.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.anomalies.metric_watch import Learnt, ShopWatch
from pipelines.domain import Domain, load_domain
from pipelines.gold.engagement import ALL, has_item
from pipelines.simulate.catalog import NOUNS
from pipelines.simulate.config import SOURCES, ShopConfig
from pipelines.simulate.delivery import Chunk
from pipelines.simulate.rows import DUPLICATE, KIND, NOTHING, Rows
from pipelines.simulate.shop import Shop
from pipelines.watch_sections import Watch

DAY_MS, MINUTE_MS = 86_400_000, 60_000
DAYS = 28
SHOPS = 6
AGES = ((1, 3), (3, 7), (7, 14), (14, 28))
OUTAGES = {"day 4": (3,), "days 15 to 28": tuple(range(14, 28))}
OUTAGE_HOURS, NOON_HOUR = 5, 12
BOUGHT = ("purchases", "revenue", "conversion")
Whole = NDArray[np.int64]
Window = dict[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class Case:
    """A shop of `rate` events a second, watched in windows of so many minutes from `warm_up` hours on."""

    rate: float
    minutes: int
    floor: float
    warm_up: int


CASES = (Case(0.15, 30, 3.0, 48), Case(0.15, 5, 10.0, 24), Case(1.0, 30, 3.0, 48))


class Unsent:
    """Takes the place of a shop's delivery: rows stay numbers, none of them late or twice."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []

    def expect(self, rows: Rows) -> None:
        """These rows happen."""
        self.rows.append(rows[rows["noise"] & DUPLICATE == 0])

    def leave(self, *_: object) -> Chunk:
        """Nothing."""
        return Chunk([], [], [], 0)


@dataclass
class Counted:
    """Numbers by window and segment: array[window, segment] of each metric that is no ratio."""

    segments: list[str]
    numbers: dict[str, NDArray[np.float64]]

    def add(self, metric: str, window: Whole, segment: Whole, weights: Whole | None = None) -> None:
        """Add rows, each with its window and segment."""
        into = self.numbers[metric]
        place = window * into.shape[1] + segment
        into += np.bincount(place, weights, into.size).reshape(into.shape)


def windows(case: Case, seed: int, domain: Domain) -> dict[int, Window]:
    """The metrics of each window by its start, as gold.engagement's minutes put together."""
    config = ShopConfig(seed=seed, rate=case.rate, bot_share=0.0, stolen_share=0.0, malformed_share=0.0)
    length, end = case.minutes * MINUTE_MS, config.start_ms + DAYS * DAY_MS
    begins = range(config.start_ms, end, length)
    names, rows, category = played(config, end)
    rows = rows[rows["time"] < end]
    segments = [ALL, *(f"source={name}" for name in SOURCES), *(f"category={name}" for name in names)]
    plain = [metric.name for metric in domain.metrics if not metric.ratio]
    found = Counted(segments, {name: np.zeros((len(begins), len(segments))) for name in plain})
    minute = (rows["time"] - config.start_ms) // MINUTE_MS
    lists = rows["kind"] == KIND["decision"]
    _count_lists(found, rows[lists], minute[lists] // case.minutes, category)
    happened, when = rows[~lists], minute[~lists]
    of_item = happened["item"] != NOTHING
    source = 1 + happened["source"].astype(np.int64)
    by_item = 1 + len(SOURCES) + category[happened["item"]]
    everyone = np.ones(len(happened), bool)
    for segment, chosen in ((np.zeros_like(source), everyone), (source, everyone), (by_item, of_item)):
        _count(found, happened[chosen], when[chosen], segment[chosen], domain, case.minutes)
    return {begin: _published(found, place, domain) for place, begin in enumerate(begins)}


def played(config: ShopConfig, end_ms: int) -> tuple[list[str], Rows, Whole]:
    """(categories by number, what happens before a time, and somewhat later; the category of each item)."""
    shop, unsent = Shop(config), Unsent()
    shop.delivery = unsent  # type: ignore[assignment]
    names = sorted({category for category, _, _ in NOUNS})
    of_noun = np.array([names.index(category) for category, _, _ in NOUNS])
    known: dict[int, int] = {}
    for _ in shop.chunks():
        catalog = shop.catalog
        known |= zip(catalog.number.tolist(), of_noun[catalog.noun].tolist(), strict=True)
        if len(unsent.rows[-1]) and unsent.rows[-1]["time"].min() >= end_ms:
            break
    return names, np.concatenate(unsent.rows), np.array([known[number] for number in range(len(known))])


def _count_lists(found: Counted, lists: Rows, window: Whole, category: Whole) -> None:
    shown = lists["shown"] != NOTHING
    each = np.repeat(window, shown.sum(axis=1))
    found.add("shown", each, np.zeros_like(each))
    found.add("shown", each, np.repeat(1 + lists["source"].astype(np.int64), shown.sum(axis=1)))
    found.add("shown", each, 1 + len(SOURCES) + category[lists["shown"][shown]])


def _count(found: Counted, rows: Rows, minute: Whole, segment: Whole, domain: Domain, minutes: int) -> None:
    window = minute // minutes
    for metric in domain.metrics:
        if metric.distinct:
            key = (minute * len(found.segments) + segment) * (rows["user"].max(initial=0) + 1) + rows["user"]
            first = np.unique(key, return_index=True)[1]
            found.add(metric.name, window[first], segment[first])
        elif metric.sum:
            bought = np.isin(rows["kind"], [KIND[name] for name in metric.of])
            money = (rows["price"] * rows["quantity"])[bought]
            found.add(metric.name, window[bought], segment[bought], money)
        elif metric.count and metric.count != "shown":
            counted = (
                np.full(len(rows), True) if metric.count == "any" else rows["kind"] == KIND[metric.count]
            )
            found.add(metric.name, window[counted], segment[counted])


def _published(found: Counted, place: int, domain: Domain) -> Window:
    made: Window = {}
    for number, segment in enumerate(found.segments):
        numbers = {name: float(of[place, number]) for name, of in found.numbers.items()}
        for metric in domain.metrics:
            if segment.startswith("category=") and not has_item(metric, domain):
                continue
            if metric.ratio:
                part, whole = (numbers[name] for name in metric.ratio)
                if whole > 0:
                    made[metric.name, segment] = (part / whole, whole)
            elif numbers[metric.name] > 0:
                made[metric.name, segment] = (numbers[metric.name], 0.0)
    return made


@dataclass
class Judged:
    """What a shop's watch said: alerts by (is of the whole shop, age), series by is of the whole shop, and
    whether each outage was found."""

    alerts: collections.Counter[tuple[bool, tuple[int, int]]]
    series: collections.Counter[bool]
    outages: dict[str, list[bool]]


def judged(case: Case, watch: Watch, domain: Domain, seed: int) -> Judged:
    """One shop's four weeks."""
    shop, found = ShopWatch(domain.metrics, watch, Learnt()), windows(case, seed, domain)
    alerts: collections.Counter[tuple[bool, tuple[int, int]]] = collections.Counter()
    outages: dict[str, list[bool]] = {name: [] for name in OUTAGES}
    begins, first = sorted(found), min(found)
    for place, begin in enumerate(begins):
        day, into = divmod(begin - first, DAY_MS)
        if into == NOON_HOUR * 60 * MINUTE_MS:
            ahead = begins[place : place + OUTAGE_HOURS * 60 // case.minutes]
            for name, days in OUTAGES.items():
                if day in days:
                    kept = msgspec.msgpack.encode(shop.remembered())
                    copy = ShopWatch(domain.metrics, watch, msgspec.msgpack.decode(kept, type=Learnt))
                    outages[name].append(_is_found(copy, {b: found[b] for b in ahead}))
        for row in shop.judge(begin, found[begin], (), every=False):
            if row["alert"]:
                age = next((age for age in AGES if age[0] <= day < age[1]), None)
                alerts[row["segment"] == ALL, age or AGES[0]] += 1
    series = collections.Counter(key[1] == ALL for group in shop.learnt.groups for key in group.keys)
    return Judged(alerts, series, outages)


def _is_found(shop: ShopWatch, ahead: dict[int, Window]) -> bool:
    for begin, window in ahead.items():
        closed = {key: (0.0, number[1]) if key[0] in BOUGHT else number for key, number in window.items()}
        rows = shop.judge(begin, closed, (), every=False)
        if any(row["alert"] and row["metric"] in BOUGHT and row["segment"] == ALL for row in rows):
            return True
    return False


def lines(case: Case, seeds: Sequence[int]) -> list[list[object]]:
    """Two lines of the table: the whole shop, and its segments."""
    settings = settings_module.load(environ={})
    domain = load_domain("shop", settings)
    told = {"window_minutes": case.minutes, "floor": case.floor, "warm_up_hours": case.warm_up}
    watch = dataclasses.replace(settings.watch, **told)
    runs = [judged(case, watch, domain, seed) for seed in seeds]
    name = f"{case.rate:g} events/s, {case.minutes} min"
    made: list[list[object]] = []
    for is_all in (True, False):
        days = [end - max(begin, case.warm_up / 24) for begin, end in AGES]
        scale = DAYS / len(domain.metrics) / len(seeds)
        numbers = [sum(run.alerts[is_all, age] for run in runs) for age in AGES]
        ages = [scale * number / of if of > 0 else None for number, of in zip(numbers, days, strict=True)]
        scored = sum(of for of in days if of > 0)
        by_shop = [float(sum(run.alerts[is_all, age] for age in AGES)) for run in runs]
        ends = [scale * end / scored for end in interval(by_shop)]
        series_days = round(scored * sum(run.series[is_all] for run in runs))
        shares = []
        for outage in OUTAGES:
            hits = [hit for run in runs for hit in run.outages[outage]]
            shares.append(sum(hits) / len(hits) if is_all else None)
        whole = [sum(numbers), scale * sum(numbers) / scored, *ends]
        made.append([name, "whole" if is_all else "segments, together", series_days, *whole, *ages, *shares])
    return made


def interval(by_shop: Sequence[float]) -> tuple[float, float]:
    """Of the alerts of all shops together a 95 % interval of their expected number: that of a Poisson number
    (Garwood 1936), as much wider as the shops' numbers differ more than such numbers do."""
    total, shops = sum(by_shop), len(by_shop)
    more = float(np.var(by_shop, ddof=1)) * shops / total if total and shops > 1 else 1.0
    spread = max(more, 1.0)
    low = chi2.ppf(0.025, 2 * total / spread) / 2 if total else 0.0
    return spread * float(low), spread * float(chi2.ppf(0.975, 2 * total / spread + 2)) / 2


def main() -> None:
    """Print the table and keep it in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shops", type=int, default=SHOPS, help=f"shops of each case (default: {SHOPS})")
    parser.add_argument("--first-seed", type=int, default=1_000)
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.shops)
    rows, began = [], time.monotonic()
    for case in CASES:
        rows += lines(case, seeds)
        harness.console.print(*rows[-2:], f"{time.monotonic() - began:.0f} s so far", sep="\n")
    ages = [f"day {begin + 1} to {end}" for begin, end in AGES]
    columns = ["shop, windows", "of a metric", "series-days", "alerts", "a metric in 28 days", "low", "high"]
    columns += [*ages, *(f"outage found, {name}" for name in OUTAGES)]
    title = f"Young and thin series: false alerts of a metric in 28 days by age, {args.shops} shops"
    harness.publish("thin_series", title, columns, rows)


if __name__ == "__main__":
    main()
