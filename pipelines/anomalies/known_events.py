"""The calendar of known events: times in which a metric is expected to be unusual."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml

from pipelines.errors import WatchError, nearest

KEYS = ("name", "start", "end", "metrics", "segments")


@dataclass(frozen=True)
class KnownEvent:
    """Windows that begin in [start_ms, end_ms) are neither scored nor learnt from, for metrics and segments
    whose names match (`*` and `?` as in file names)."""

    name: str
    start_ms: int
    end_ms: int
    metrics: str = "*"
    segments: str = "*"


def parse_calendar(text: str, origin: str) -> tuple[KnownEvent, ...]:
    """The events of a calendar file: a YAML list of {name, start, end, metrics, segments}; times are ISO
    8601, UTC unless they say otherwise. Raises WatchError that names the file and the entry."""
    try:
        entries = yaml.safe_load(text) or []
    except yaml.YAMLError as problem:
        raise WatchError(f"{origin} is not YAML: {problem}") from None
    if not isinstance(entries, list):
        raise WatchError(f"{origin} must be a list of events")
    return tuple(_event(entry, f"{origin}, event {number + 1}") for number, entry in enumerate(entries))


def _event(entry: Any, where: str) -> KnownEvent:
    if not isinstance(entry, dict):
        raise WatchError(f"{where} must have {', '.join(KEYS)}")
    for key in entry:
        if key not in KEYS:
            raise WatchError(f"{where} has an unknown key {key!r}{nearest(str(key), KEYS)}")
    for key in KEYS[:3]:
        if key not in entry:
            raise WatchError(f"{where} lacks {key!r}")
    start, end = (_as_ms(entry[key], f"{where}: {key}") for key in ("start", "end"))
    if end <= start:
        raise WatchError(f"{where} ends before it starts")
    patterns = (str(entry.get(key, "*")) for key in ("metrics", "segments"))
    return KnownEvent(str(entry["name"]), start, end, *patterns)


def _as_ms(value: Any, where: str) -> int:
    try:
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        when = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(str(value))
    except ValueError:
        raise WatchError(f"{where} must be a time such as 2026-11-27T00:00:00Z, not {value!r}") from None
    when = when if when.tzinfo else when.replace(tzinfo=datetime.UTC)
    return int(when.timestamp() * 1000)


def of_metric(events: Sequence[KnownEvent], metric: str, segment: str) -> tuple[KnownEvent, ...]:
    """The events that concern a metric of a segment."""
    return tuple(e for e in events if fnmatchcase(metric, e.metrics) and fnmatchcase(segment, e.segments))


def known_at(events: Sequence[KnownEvent], time_ms: int) -> str:
    """The name of an event that is on at a time; empty when none is."""
    return next((e.name for e in events if e.start_ms <= time_ms < e.end_ms), "")
