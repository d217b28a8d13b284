"""Every metric of a shop in every segment, window by window: judged together, with the cause of a drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from pipelines.anomalies.drop_config import AMOUNT, COUNT, RATIO, WatchConfig
from pipelines.anomalies.drop_verdicts import Verdict, Verdicts
from pipelines.anomalies.drops import MetricWatches
from pipelines.anomalies.known_events import KnownEvent, known_at, of_metric
from pipelines.domain import Metric
from pipelines.gold.engagement import ALL
from pipelines.watch_sections import Watch

Key = tuple[str, str]
"""Metric and segment."""
Window = Mapping[Key, tuple[float, float]]
"""A window's numbers: value (of a ratio the share) and exposure (of a ratio its denominator, else 0)."""
Row = dict[str, Any]
MINUTE_MS = 60_000
FEW_CAUSES = 5


def kind_of(metric: Metric) -> str:
    """How a metric's numbers spread."""
    if metric.ratio:
        return RATIO
    return AMOUNT if metric.sum else COUNT


def config_of(settings: Watch, kind: str, is_all: bool) -> WatchConfig:
    """The configuration of the watches of a kind: those of the whole shop, or those of segments."""
    return WatchConfig(
        kind=kind,
        window_s=60 * settings.window_minutes,
        direction=settings.direction,
        alerts_per_28_days=settings.alerts_per_28_days if is_all else settings.segment_alerts_per_28_days,
        floor=settings.floor,
        warm_up_s=3600 * settings.warm_up_hours,
        lag_s=60 * settings.level_lag_minutes,
        level_half_life_s=3600 * settings.level_half_life_hours,
        timezone=settings.timezone,
    )


class Group(msgspec.Struct):
    """Metrics that are watched with one configuration, in the order of their state."""

    kind: str
    is_all: bool
    keys: list[Key] = []
    state: bytes = b""


class Learnt(msgspec.Struct):
    """All that the watch remembers between two micro-batches."""

    next_ms: int = -1  # start of the first window that was not judged yet; -1 before any
    newest_ms: int = -1  # end of the newest minute that has a row
    is_live: bool = False  # that minute was recent when it came
    groups: list[Group] = []


class ShopWatch:
    """The watches of a domain's metrics. Metrics and segments join as they first have a number."""

    def __init__(self, metrics: Sequence[Metric], settings: Watch, learnt: Learnt) -> None:
        """Goes on from what was learnt. Raises WatchError when that has another configuration."""
        self._settings, self.learnt = settings, learnt
        self._kinds = {metric.name: kind_of(metric) for metric in metrics}
        self._groups = [(group, self._watches(group)) for group in learnt.groups]
        self._known = {key for group in learnt.groups for key in group.keys}
        self._length_ms = MINUTE_MS * settings.window_minutes

    def _watches(self, group: Group) -> MetricWatches:
        config = config_of(self._settings, group.kind, group.is_all)
        return MetricWatches.load(config, group.state) if group.state else MetricWatches(config, 0)

    @property
    def is_still(self) -> bool:
        """Whether there is nothing that a window without numbers could change."""
        return all(watches.is_still for _, watches in self._groups)

    def silence(self, begins: range) -> None:
        """As `judge` of windows without numbers, without their rows; one step however many they are once
        `is_still`."""
        for _, watches in self._groups:
            watches.silence(begins[0], len(begins))
        self.learnt.next_ms = begins.stop

    def judge(
        self, begin_ms: int, window: Window, events: Sequence[KnownEvent], *, every: bool = True
    ) -> list[Row]:
        """Rows of gold.metric_verdicts, without revision, of one complete window: one for each metric and
        segment that ever had a number; unless `every`, only of the metrics that alert or are in an episode
        somewhere. A count or an amount that has none now is 0."""
        self._join(window)
        rows: list[Row] = []
        judged: list[tuple[Group, list[tuple[float, float]], Verdicts, MetricWatches]] = []
        told: set[str] = set()
        on = [event for event in events if known_at([event], begin_ms)]
        for group, watches in self._groups:
            numbers = [window.get(key, (0.0, 0.0)) for key in group.keys]
            known = [known_at(of_metric(on, *key), begin_ms) for key in group.keys] if on else None
            values, exposures = np.array(numbers).T
            verdicts = watches.update(begin_ms, values, exposures, known=known)
            judged.append((group, numbers, verdicts, watches))
            noted = verdicts.alert | verdicts.ongoing
            told |= {group.keys[i][0] for i in np.flatnonzero(noted)}
        for group, numbers, verdicts, watches in judged:
            wanted = [i for i, key in enumerate(group.keys) if every or key[0] in told]
            missing = watches.missing() if wanted else None
            version = watches.config.version if wanted else ""
            rows += [self._row(group, i, begin_ms, numbers[i], verdicts[i], missing, version) for i in wanted]
        _explain(rows)
        self.learnt.next_ms = begin_ms + self._length_ms
        return rows

    def _join(self, window: Window) -> None:
        room = self._settings.most_series - len(self._known)
        new = sorted(key for key in window if key not in self._known and key[0] in self._kinds)
        for key in [k for k in new if k[1] == ALL] + [k for k in new if k[1] != ALL][: max(0, room)]:
            wanted = (self._kinds[key[0]], key[1] == ALL)
            found = next((g for g in self._groups if (g[0].kind, g[0].is_all) == wanted), None)
            if found is None:
                group = Group(*wanted)
                found = (group, self._watches(group))
                self._groups.append(found)
                self.learnt.groups.append(group)
            found[0].keys.append(key)
            found[1].grow(len(found[0].keys))
            self._known.add(key)

    def _row(
        self,
        group: Group,
        i: int,
        begin_ms: int,
        number: tuple[float, float],
        verdict: Verdict,
        missing: Any,
        version: str,
    ) -> Row:
        (metric, segment), is_ratio = group.keys[i], group.kind == RATIO
        told = dict(vars(verdict))
        told |= {"seen_lately": missing[0][i], "expected_lately": missing[1][i]}
        has_value = not (is_ratio and number[1] == 0)
        return told | {
            "metric": metric,
            "segment": segment,
            "begin_ms": begin_ms,
            "end_ms": begin_ms + self._length_ms,
            "value": number[0] if has_value else None,
            "exposure": int(number[1]) if is_ratio else None,
            "calibration": version,
            "missing": None,
            "causes": [],
            "muted_by": None,
        }

    def remembered(self) -> Learnt:
        """What to keep until the next micro-batch."""
        for group, watches in self._groups:
            group.state = watches.save()
        return self.learnt


def _explain(rows: Sequence[Row]) -> None:
    """Put into alerts what is missing and which segments have how much of it; let a site-wide episode mute
    the alerts of its segments."""
    by_metric: dict[str, list[Row]] = {}
    for row in rows:
        by_metric.setdefault(row["metric"], []).append(row)
    for own in by_metric.values():
        whole = next((row for row in own if row["segment"] == ALL), None)
        for row in own:
            if row["ongoing"] or row["alert"]:
                row["missing"] = _missing(row, row["windows"])
            if row["alert"] and row is not whole and whole is not None and whole["ongoing"]:
                row["alert"], row["muted_by"] = False, ALL
        if whole is not None and whole["alert"]:
            whole["causes"] = _causes(whole, [row for row in own if row is not whole])


def _missing(row: Row, windows: int) -> float:
    """Expected minus seen, over so many latest windows."""
    return float(row["expected_lately"][windows - 1] - row["seen_lately"][windows - 1])


def _causes(whole: Row, segments: Sequence[Row]) -> list[Row]:
    """Segments by their share of what is missing in the whole, beside their share of what was expected."""
    windows = whole["windows"]
    total, expected = _missing(whole, windows), whole["expected_lately"][windows - 1]
    found = [
        {
            "segment": row["segment"],
            "share": _missing(row, windows) / total,
            "usual_share": float(row["expected_lately"][windows - 1] / expected),
        }
        for row in segments
        if row["reason"] in ("", "too little traffic") and total and expected
    ]
    return sorted(found, key=lambda cause: (-cause["share"], cause["segment"]))[:FEW_CAUSES]
