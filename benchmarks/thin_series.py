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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.anomalies.metric_watch import Learnt, ShopWatch
from pipelines.domain import Domain, Metric, load_domain
from pipelines.gold.engagement import ALL, has_item
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from pipelines.watch_sections import Watch

DAY_MS, MINUTE_MS = 86_400_000, 60_000
DAYS = 28
AGES = ((1, 3), (3, 7), (7, 14), (14, 28))
OUTAGES = {"day 4": (3,), "days 15 to 28": tuple(range(14, 28))}
OUTAGE_HOURS, NOON_HOUR = 5, 12
BOUGHT = ("purchases", "revenue", "conversion")
Numbers = dict[tuple[str, str], float]
Window = dict[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class Case:
    """A shop of `rate` events a second, watched in windows of so many minutes from `warm_up` hours on."""

    rate: float
    minutes: int
    floor: float
    warm_up: int


CASES = (Case(0.15, 30, 3.0, 48), Case(0.15, 5, 10.0, 24), Case(1.0, 30, 3.0, 48))


def windows(case: Case, seed: int, domain: Domain) -> dict[int, Window]:
    """The metrics of each window by its start, as gold.engagement's minutes put together."""
    config = ShopConfig(seed=seed, rate=case.rate, bot_share=0.0, stolen_share=0.0, malformed_share=0.0)
    length, end = case.minutes * MINUTE_MS, config.start_ms + DAYS * DAY_MS
    found: dict[int, Numbers] = {
        begin: collections.defaultdict(float) for begin in range(config.start_ms, end, length)
    }
    category: dict[str, str] = {}
    people: set[tuple[int, str, str]] = set()
    for record in _until(config, end):
        if record.get("record") == "item":
            category[record["item_id"]] = record["attributes"]["category"]
            continue
        minute = record["event_time"] // MINUTE_MS * MINUTE_MS
        numbers = found.get(minute // length * length)
        if numbers is None:
            continue
        for segment, kind, times in _parts(record, category):
            for metric in domain.metrics:
                numbers[metric.name, segment] += times * _counts(metric, kind, record)
            if kind != "shown" and (minute, segment, record["user_id"]) not in people:
                people.add((minute, segment, record["user_id"]))
                numbers["active_users", segment] += 1
    return {begin: _published(numbers, domain) for begin, numbers in found.items()}


def _until(config: ShopConfig, end_ms: int) -> Iterator[dict]:  # type: ignore[type-arg]
    for chunk in records(config):
        yield from map(msgspec.json.decode, chunk.lines)
        if chunk.arrivals and chunk.arrivals[-1] > end_ms + DAY_MS:
            return


def _parts(record: dict, category: dict[str, str]) -> Iterator[tuple[str, str, int]]:  # type: ignore[type-arg]
    """Segment, kind of event, and how often."""
    source, kind, item = f"source={record['source']}", record["event_type"], record.get("item_id")
    if kind != "decision":
        named = [f"category={category[item]}"] if item else []
        yield from ((segment, kind, 1) for segment in [ALL, source, *named])
        return
    yield from ((segment, "shown", len(record["items"])) for segment in (ALL, source))
    shown = collections.Counter(category[item] for item in record["items"])
    yield from ((f"category={name}", "shown", times) for name, times in shown.items())


def _counts(metric: Metric, kind: str, record: dict) -> float:  # type: ignore[type-arg]
    if metric.sum:
        return float(record["price_minor"] * record["quantity"]) if kind in metric.of else 0.0
    return float(metric.count == kind or (metric.count == "any" and kind != "shown"))


def _published(numbers: Numbers, domain: Domain) -> Window:
    made: Window = {}
    for segment in {segment for _, segment in numbers}:
        for metric in domain.metrics:
            if segment.startswith("category=") and not has_item(metric, domain):
                continue
            if metric.ratio:
                part, whole = (numbers.get((name, segment), 0.0) for name in metric.ratio)
                if whole > 0:
                    made[metric.name, segment] = (part / whole, whole)
            elif numbers.get((metric.name, segment), 0.0) > 0:
                made[metric.name, segment] = (numbers[metric.name, segment], 0.0)
    return made


def judged(
    case: Case, watch: Watch, domain: Domain, seed: int
) -> tuple[collections.Counter, dict[str, list[bool]]]:  # type: ignore[type-arg]
    """Alerts by (is of the whole shop, age), and whether each outage was found."""
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
    return alerts, outages


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
        ages = []
        for begin, end in AGES:
            scored = end - max(begin, case.warm_up / 24)
            number = sum(alerts[is_all, (begin, end)] for alerts, _ in runs)
            ages.append(number / len(domain.metrics) / len(seeds) * DAYS / scored if scored > 0 else None)
        shares = []
        for outage in OUTAGES:
            found = [hit for _, outages in runs for hit in outages[outage]]
            shares.append(sum(found) / len(found) if is_all else None)
        made.append([name, "whole" if is_all else "segments, together", *ages, *shares])
    return made


def main() -> None:
    """Print the table and keep it in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=1_000)
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    rows = []
    for case in CASES:
        rows += lines(case, seeds)
        harness.console.print(*rows[-2:], sep="\n")
    ages = [f"day {begin + 1} to {end}" for begin, end in AGES]
    columns = ["shop, windows", "of a metric", *ages, *(f"outage found, {name}" for name in OUTAGES)]
    title = f"Young and thin series: false alerts of a metric in 28 days by age, {args.seeds} shops"
    harness.publish("thin_series", title, columns, rows)


if __name__ == "__main__":
    main()
